package listen

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"sluice/internal/wire"
)

// accepted returns both ends of a TCP connection; ours has TLS.
func accepted(t *testing.T, config *tls.Config) (ours *tls.Conn, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	theirs, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return tls.Server(wire.NewTLS(c), config), theirs
}

// Clients that say nothing are cut in time.
func TestHandshakesEnd(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"in a hurry": time.Hour, "after their time": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			failed := make(chan error)
			var h *handshakes
			h = newHandshakes(func(c *tls.Conn) { failed <- h.finish(c, timeout) })
			silent, _ := accepted(t, new(tls.Config))
			h.begin(silent)
			if timeout == time.Hour {
				h.hurry()
			}
			first := <-failed
			later, _ := accepted(t, new(tls.Config))
			h.begin(later)
			for _, err := range []error{first, <-failed} {
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%v, want %v", err, os.ErrDeadlineExceeded)
				}
			}
			h.end()
			if len(h.pending) > 0 || h.waiting.Load() != 0 {
				t.Errorf("%d are under way, %d goroutines wait", len(h.pending), h.waiting.Load())
			}
		})
	}
}

func TestAPanicInAHandshakeEndsOneConnection(t *testing.T) {
	var text bytes.Buffer
	log := zerolog.New(&text)
	v := &server{set: NewSet(Env{Log: func() *zerolog.Logger { return &log }}), listener: &Listener{name: "test"}, settings: ServerSettings{HeaderTimeout: time.Hour}}
	v.securing = newHandshakes(v.secure)
	ours, theirs := accepted(t, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { panic("injected") }})
	v.securing.begin(ours)
	if err := tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
		t.Error("the handshake succeeded")
	}
	v.securing.end()
	if len(v.securing.pending) > 0 || !strings.Contains(text.String(), "panic serving a connection: injected") {
		t.Errorf("%d handshakes are under way; log: %s", len(v.securing.pending), text.String())
	}
}
