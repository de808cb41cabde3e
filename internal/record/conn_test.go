package record

import (
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

// freshly accepts one connection and takes its records over right after the handshake. With
// behind, the client's first data follow the Finished at once. It returns nil in the place of
// the server where its connection was not taken over, and stays in use through plain.
func freshly(t *testing.T, client, server *tls.Config, behind string) (c *tls.Conn, s *Conn, plain *tls.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	near.SetDeadline(time.Now().Add(patience))
	far.SetDeadline(time.Now().Add(patience))
	// What the client writes behind its Finished arrives with it.
	held := &heldWrites{Conn: near, free: behind == "" || client.MaxVersion == tls.VersionTLS12 || server.CurvePreferences != nil}
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
	w.OneRecord(true)
	plain = tls.Server(w, w.HandshakeConfig(server))
	if err := plain.Handshake(); err != nil {
		t.Fatal(err)
	}
	w.OneRecord(false)
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	about := plain.ConnectionState()
	state, ok := TakeFresh(plain)
	if !ok {
		return c, nil, plain
	}
	return c, NewConn(w, &about, &state, w.TakeAhead()), plain
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

func TestTakenRightAfterTheHandshake(t *testing.T) {
	for _, tt := range shakes {
		t.Run(tt.name, func(t *testing.T) {
			client, server := clientConfig(), serverConfig()
			client.Certificates = []tls.Certificate{id().ecdsa}
			if tt.client != nil {
				tt.client(client)
			}
			if tt.server != nil {
				tt.server(server)
			}
			for _, behind := range []string{"", "hello", strings.Repeat("x", 40<<10)} {
				c, s, plain := freshly(t, client, server, behind)
				taken := strings.HasPrefix(tt.name, "TLS 1.3")
				if (s != nil) != taken {
					t.Fatalf("taken over: %v, want %v", s != nil, taken)
				}
				var conn net.Conn = s
				if !taken {
					conn = plain
				}
				expect(t, conn, behind)
				go io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn})
				converse(t, c)
			}
		})
	}
}

func TestEndsOfAConn(t *testing.T) {
	t.Run("close_notify of the client", func(t *testing.T) {
		c, s, _ := freshly(t, clientConfig(), serverConfig(), "the end")
		c.CloseWrite()
		if all, err := io.ReadAll(s); string(all) != "the end" || err != nil {
			t.Errorf("read %q, %v", all, err)
		}
	})
	t.Run("the server's", func(t *testing.T) {
		c, s, _ := freshly(t, clientConfig(), serverConfig(), "")
		s.Write([]byte("the end"))
		s.Close()
		if all, err := io.ReadAll(c); string(all) != "the end" || err != nil {
			t.Errorf("read %q, %v", all, err)
		}
	})
	t.Run("a FIN in a record", func(t *testing.T) {
		c, s, _ := freshly(t, clientConfig(), serverConfig(), "")
		below := c.NetConn().(*heldWrites).Conn.(*net.TCPConn)
		below.Write([]byte{typeData, 3, 3})
		below.CloseWrite()
		if _, err := s.Read(make([]byte, 1)); err != io.ErrUnexpectedEOF {
			t.Errorf("read: %v", err)
		}
	})
	t.Run("a forged record", func(t *testing.T) {
		c, s, _ := freshly(t, clientConfig(), serverConfig(), "")
		c.NetConn().(*heldWrites).Conn.Write(append([]byte{typeData, 3, 3, 0, 32}, make([]byte, 32)...))
		if _, err := s.Read(make([]byte, 1)); !wire.IsFatalAlert(err) {
			t.Errorf("read: %v; want an alert", err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
			t.Errorf("the client read: %v; want bad_record_mac", err)
		}
	})
	t.Run("a deadline", func(t *testing.T) {
		c, s, _ := freshly(t, clientConfig(), serverConfig(), "")
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
	c, s, _ := freshly(t, clientConfig(), serverConfig(), strings.Repeat("x", 3*maxPlain)+"end")
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
