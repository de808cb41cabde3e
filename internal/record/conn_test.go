package record

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"sluice/internal/wire"
)

// socketPair returns both ends of a connection.
func socketPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if near, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	near.SetDeadline(time.Now().Add(patience))
	far.SetDeadline(time.Now().Add(patience))
	return near, far
}

// take makes the handshake of c, which lies on w, and takes its records over.
func take(t *testing.T, w *wire.Conn, c *tls.Conn) *Conn {
	t.Helper()
	w.OneRecord(true)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	w.OneRecord(false)
	about := c.ConnectionState()
	state, ok := TakeFresh(c)
	if !ok {
		t.Fatal("the records were not taken over")
	}
	return NewConn(w, &about, &state, w.TakeAhead())
}

// freshly accepts one connection and takes its records over right after the handshake. With
// behind, the client's first data follow the Finished at once.
func freshly(t *testing.T, client, server *tls.Config, behind string) (c *tls.Conn, s *Conn) {
	t.Helper()
	near, far := socketPair(t)
	// What the client writes behind its Finished arrives with it, but where the server has to
	// answer before.
	twice := client.MaxVersion == tls.VersionTLS12 || server.CurvePreferences != nil
	held := &heldWrites{Conn: near, free: behind == "" || twice}
	c = tls.Client(held, client)
	shaken := make(chan error, 1)
	go func() {
		err := c.Handshake()
		if err == nil && behind != "" {
			_, err = c.Write([]byte(behind))
		}
		held.release()
		shaken <- err
	}()
	w := wire.NewTLS(far)
	w.StartCapture()
	s = take(t, w, tls.Server(w, w.HandshakeConfig(server)))
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	return c, s
}

// heldWrites holds what is written from the second flight of a client on until release.
type heldWrites struct {
	net.Conn
	writes int
	held   []byte
	free   bool
}

func (h *heldWrites) Write(p []byte) (int, error) {
	if h.writes++; h.free || h.writes == 1 {
		return h.Conn.Write(p)
	}
	h.held = append(h.held, p...)
	return len(p), nil
}

func (h *heldWrites) release() {
	h.free = true
	h.Conn.Write(h.held)
}

// configsOf returns the configurations of both ends, changed as a test wants them.
func configsOf(changeClient, changeServer func(*tls.Config)) (client, server *tls.Config) {
	client, server = clientConfig(), serverConfig()
	client.Certificates = []tls.Certificate{id().ecdsa}
	if changeClient != nil {
		changeClient(client)
	}
	if changeServer != nil {
		changeServer(server)
	}
	return client, server
}

func TestTakenRightAfterTheHandshake(t *testing.T) {
	for _, tt := range shakes {
		t.Run(tt.name, func(t *testing.T) {
			client, server := configsOf(tt.client, tt.server)
			if tt.resumed {
				client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
				server.SetSessionTicketKeys([][32]byte{{1}})
			}
			for i, behind := range []string{"", "hello", strings.Repeat("x", 40<<10)} {
				c, s := freshly(t, client, server, behind)
				if resumed := c.ConnectionState().DidResume; resumed != (tt.resumed && i > 0) {
					t.Fatalf("connection %d: resumed is %v", i, resumed)
				}
				expect(t, s, behind)
				go io.Copy(struct{ io.Writer }{s}, struct{ io.Reader }{s})
				converse(t, c)
			}
		})
	}
}

// The other end is the server. What it writes first follows its Finished, with its tickets.
func TestAClientIsTakenRightAfterTheHandshake(t *testing.T) {
	for _, tt := range shakes {
		t.Run(tt.name, func(t *testing.T) {
			client, server := configsOf(tt.client, tt.server)
			near, far := socketPair(t)
			s := tls.Server(far, server)
			shaken := make(chan error, 1)
			go func() {
				err := s.Handshake()
				if err == nil {
					_, err = s.Write([]byte("hello"))
				}
				shaken <- err
			}()
			w := wire.NewTLS(near)
			w.StartCapture()
			c := take(t, w, tls.Client(w, w.HandshakeConfig(client)))
			if err := <-shaken; err != nil {
				t.Fatal(err)
			}
			expect(t, c, "hello")
			go io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
			converse(t, s)
		})
	}
}

func TestEndsOfAConn(t *testing.T) {
	t.Run("close_notify of the client", func(t *testing.T) {
		c, s := freshly(t, clientConfig(), serverConfig(), "the end")
		c.CloseWrite()
		if all, err := io.ReadAll(s); string(all) != "the end" || err != nil {
			t.Errorf("read %q, %v", all, err)
		}
	})
	t.Run("the server's", func(t *testing.T) {
		c, s := freshly(t, clientConfig(), serverConfig(), "")
		s.Write([]byte("the end"))
		s.Close()
		if all, err := io.ReadAll(c); string(all) != "the end" || err != nil {
			t.Errorf("read %q, %v", all, err)
		}
	})
	t.Run("a FIN in a record", func(t *testing.T) {
		c, s := freshly(t, clientConfig(), serverConfig(), "")
		below := c.NetConn().(*heldWrites).Conn.(*net.TCPConn)
		below.Write([]byte{typeData, 3, 3})
		below.CloseWrite()
		if _, err := s.Read(make([]byte, 1)); err != io.ErrUnexpectedEOF {
			t.Errorf("read: %v", err)
		}
	})
	t.Run("a forged record", func(t *testing.T) {
		c, s := freshly(t, clientConfig(), serverConfig(), "")
		c.NetConn().(*heldWrites).Conn.Write(append([]byte{typeData, 3, 3, 0, 32}, make([]byte, 32)...))
		if _, err := s.Read(make([]byte, 1)); !wire.IsFatalAlert(err) {
			t.Errorf("read: %v; want an alert", err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
			t.Errorf("the client read: %v; want bad_record_mac", err)
		}
	})
	t.Run("a deadline", func(t *testing.T) {
		c, s := freshly(t, clientConfig(), serverConfig(), "")
		s.SetReadDeadline(time.Unix(1, 0))
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v; want the deadline", err)
		}
		s.SetReadDeadline(time.Now().Add(patience))
		c.Write([]byte("later"))
		expect(t, s, "later")
	})
}

// A connection goes from owner to owner without a byte lost, also in the middle of a record.
func TestConnIsReleased(t *testing.T) {
	c, s := freshly(t, clientConfig(), serverConfig(), strings.Repeat("x", 3*maxPlain)+"end")
	about := s.ConnectionState()
	expect(t, s, strings.Repeat("x", maxPlain+7))
	state, early, unread := s.Release()
	next := NewConn(s.Conn, &about, &state, unread)
	rest := strings.Repeat("x", 3*maxPlain-maxPlain-7) + "end"
	if !strings.HasPrefix(rest, string(early)) {
		t.Fatalf("%d early bytes are not those that follow", len(early))
	}
	expect(t, next, rest[len(early):])
	go io.Copy(struct{ io.Writer }{next}, struct{ io.Reader }{next})
	converse(t, c)
}

// A connection that goes on in the middle of a record is not held up by bytes that look like the
// beginning of another one.
func TestConnGoesOnInTheMiddleOfARecord(t *testing.T) {
	c, s := freshly(t, clientConfig(), serverConfig(), "")
	about := s.ConnectionState()
	for range 300 { // until the last byte is one that a record may begin with
		var sealed bytes.Buffer
		near := c.NetConn().(*heldWrites)
		real := near.Conn
		near.Conn = written{real, &sealed}
		c.Write([]byte("body"))
		near.Conn = real
		all := sealed.Bytes()
		last := len(all) - 1
		real.Write(all[:last])
		partial := make([]byte, last)
		if _, err := io.ReadFull(s.Conn, partial); err != nil {
			t.Fatal(err)
		}
		state, early, unread := s.Release()
		if len(early)+len(unread) > 0 {
			t.Fatalf("%d and %d bytes were read", len(early), len(unread))
		}
		s = NewConn(s.Conn, &about, &state, partial)
		real.Write(all[last:])
		expect(t, s, "body")
	}
}

// written keeps what is written instead of writing it.
type written struct {
	net.Conn
	to *bytes.Buffer
}

func (w written) Write(p []byte) (int, error) { return w.to.Write(p) }
