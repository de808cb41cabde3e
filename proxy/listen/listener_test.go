package listen

import (
	"bytes"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"sluice/internal/telemetry"
)

// shortOfDescriptors fails to accept for a while, as a socket does when the
// process has no descriptor left.
type shortOfDescriptors struct {
	net.Listener
	failures int
}

func (l *shortOfDescriptors) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestAcceptWaitsOutAShortageOfDescriptors(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var log bytes.Buffer
	logger := zerolog.New(&log)
	shortages := telemetry.NewShortages(func() *zerolog.Logger { return &logger })
	defer shortages.Stop()
	l := &Listener{
		set: NewSet(Env{Shortages: shortages}), name: "test", net: &shortOfDescriptors{ln, 3}, closed: make(chan struct{}),
	}
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := l.next()
	if err != nil {
		t.Fatal(err)
	}
	got.Close()
	if s := log.String(); strings.Count(s, "out of file descriptors") != 1 {
		t.Errorf("log = %s; want the shortage once", s)
	}

	l.net = &shortOfDescriptors{ln, 1 << 30}
	close(l.closed)
	if _, err := l.next(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("next of a closed listener = %v; want net.ErrClosed", err)
	}
}
