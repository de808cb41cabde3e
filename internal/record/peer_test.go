package record

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/wire"
)

// patience is how long a test waits before it fails.
const patience = 2 * time.Minute

const (
	upgradeRequest  = "GET /upgrade HTTP/1.1\r\nHost: record.test\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n"
	upgradeResponse = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n"
)

// identity is a certificate and the roots that trust it.
type identity struct {
	rsa, ecdsa tls.Certificate
	roots      *x509.CertPool
}

// id is made once: an RSA key takes some time.
var id = sync.OnceValue(func() identity {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	i := identity{roots: x509.NewCertPool()}
	for to, key := range map[*tls.Certificate]crypto.Signer{&i.rsa: r, &i.ecdsa: e} {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), DNSNames: []string{"record.test"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			panic(err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			panic(err)
		}
		i.roots.AddCert(leaf)
		*to = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	}
	return i
})

func serverConfig() *tls.Config {
	c := &tls.Config{Certificates: []tls.Certificate{id().ecdsa, id().rsa}, NextProtos: []string{"http/1.1"}}
	c.SetSessionTicketKeys([][32]byte{{1, 2, 3}})
	return c
}

func clientConfig() *tls.Config {
	return &tls.Config{RootCAs: id().roots, ServerName: "record.test", NextProtos: []string{"http/1.1"}}
}

// session is a connection whose records were taken over.
type session struct {
	net.Conn // the socket
	end
	early, in []byte
	asked     int // for other keys
}

var errTaken = errors.New("the records were not taken over")

// takeOver does what an engine does. Early was read from t before; after an error it is
// everything that the session has.
func takeOver(t *tls.Conn, early []byte) (*session, error) {
	s, more, ok := Take(t)
	early = append(early, more...)
	if !ok {
		return &session{early: early}, errTaken
	}
	fd, unread, err := wire.Of(t).Detach()
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return &session{Conn: c, end: end{State: s}, early: early, in: unread}, nil
}

// took is takeOver for tests that cannot go on without.
func took(t testing.TB, c *tls.Conn) *session {
	t.Helper()
	x, err := takeOver(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Conn.Close() })
	return x
}

// step opens the next record, or reads from the socket.
func (s *session) step() error {
	r, err := s.open(s.in)
	switch {
	case err != nil:
		if a, ok := errors.AsType[*AlertError](err); ok && !a.Remote {
			s.Conn.Write(s.Alert(&s.Ciphers, nil, a.Alert))
		}
		return err
	case r.Kind == Closed:
		return io.EOF
	case r.Used == 0:
		buf := make([]byte, 40000)
		n, err := s.Conn.Read(buf)
		s.in = append(s.in, buf[:n]...)
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	s.early = append(s.early, r.Data...)
	s.in = s.in[r.Used:]
	return nil
}

func (s *session) Read(p []byte) (int, error) {
	for len(s.early) == 0 {
		if err := s.step(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.early)
	s.early = s.early[n:]
	return n, nil
}

func (s *session) Write(p []byte) (int, error) {
	b, err := s.Seal(&s.Ciphers, nil, p)
	if err != nil {
		return 0, err
	}
	_, err = s.Conn.Write(b)
	return len(p), err
}

// finish ends what this end sends.
func (s *session) finish() {
	s.Conn.Write(s.Alert(&s.Ciphers, nil, CloseNotify))
	s.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

// site is a server whose sessions echo.
type site struct {
	address string
	taken   chan error // of each session, when it was or was not taken over
}

// listener gives each connection TLS as the gateway does.
type listener struct {
	net.Listener
	config *tls.Config
	plain  bool // TLS stays with crypto/tls
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(patience))
	w := wire.NewTLS(c)
	if !l.plain {
		w.StartCapture()
	}
	return tls.Server(w, l.config), nil
}

// serve runs a site until the test ends.
func serve(t testing.TB, config *tls.Config, plain bool) *site {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{address: ln.Addr().String(), taken: make(chan error, 1000)}
	var sessions sync.WaitGroup
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/upgrade" {
			io.Copy(w, r.Body)
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			s.taken <- err
			return
		}
		early, _ := rw.Reader.Peek(rw.Reader.Buffered())
		early = bytes.Clone(early)
		c.SetDeadline(time.Now().Add(patience)) // net/http has removed the first one
		c.Write([]byte(upgradeResponse))
		go func() {
			defer sessions.Done()
			defer c.Close()
			if plain {
				s.taken <- nil
				c.Write(early)
				io.Copy(c, c)
				c.(*tls.Conn).CloseWrite()
				return
			}
			x, err := takeOver(c.(*tls.Conn), early)
			s.taken <- err
			if err != nil {
				c.Write(x.early)
				io.Copy(c, c)
				return
			}
			defer x.Conn.Close()
			x.SetDeadline(time.Now().Add(patience))
			io.Copy(struct{ io.Writer }{x}, struct{ io.Reader }{x})
			x.finish()
		}()
	})}
	// Serve makes a connection new before it returns: none begins while the cleanup waits.
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			sessions.Add(1)
		case http.StateClosed: // a connection that was hijacked ends with its session
			sessions.Done()
		}
	}
	outer := &tls.Config{
		NextProtos: config.NextProtos,
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			return wire.Of(h.Conn).HandshakeConfig(config), nil
		},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(&listener{ln, outer, plain})
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
		sessions.Wait()
	})
	return s
}

// dial connects to a site. The connection remembers.
func dial(t testing.TB, address string, config *tls.Config) *tls.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	w := wire.NewTLS(c)
	w.StartCapture()
	s := tls.Client(w, w.HandshakeConfig(config))
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	return s
}

// request makes the site answer with body, count times, and reads the answers.
func request(t testing.TB, c *tls.Conn, body string, count int) {
	t.Helper()
	br := bufio.NewReader(c)
	for range count {
		r, err := http.NewRequest("POST", "https://record.test/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Write(c); err != nil {
			t.Fatal(err)
		}
		a, err := http.ReadResponse(br, r)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(a.Body); string(b) != body || err != nil {
			t.Fatalf("the answer to a request of %d bytes has %d, %v", len(body), len(b), err)
		}
	}
	if br.Buffered() > 0 {
		t.Fatal("there is more than the answers")
	}
}

// expect reads exactly want from r.
func expect(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %.60q (%d bytes), %v; want %.60q (%d bytes)", got[:n], n, err, want, len(want))
	}
}

// converse sends through an echo and checks what comes back.
func converse(t testing.TB, c io.ReadWriter) {
	t.Helper()
	for _, n := range []int{1, 100, 3, maxPlain, maxPlain + 1, 5} {
		text := strings.Repeat("0123456", n/7+1)[:n]
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		expect(t, c, text)
	}
}
