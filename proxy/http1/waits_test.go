//go:build linux && !portable

package http1

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/clock"
	"sluice/internal/h1"
	"sluice/internal/header"
	"sluice/internal/loop"
	"sluice/internal/message"
	"sluice/internal/wstest"
	"sluice/proxy/backend/dial"
	"sluice/proxy/clientio"
)

// startServer returns a server on a loop, whose exchanges begin returns.
func startServer(t *testing.T, begin func(*clientio.Conn, message.Request) Exchange) (*Server, *loopConns) {
	t.Helper()
	engine := New([]*loop.Loop{loop.New(clock.New(), loop.NewPipes(0))})
	l := engine.loops[0]
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); l.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-over })
	return engine.NewServer(Options{
		MaxHeader: 16 << 10, MaxFields: 100, HeaderTimeout: wstest.Guard, IdleTimeout: wstest.Guard, Begin: begin,
		Panicked: func(cause any, stack []byte) { t.Errorf("panic: %v\n%s", cause, stack) },
	}), l
}

// dialerTo returns what stands for an endpoint, which does serve with each connection.
func dialerTo(t *testing.T, serve func(net.Conn)) *dial.Dialer {
	t.Helper()
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { backend.Close() })
	go func() {
		for {
			c, err := backend.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return dial.New(dial.Spec{Network: "tcp", Address: backend.Addr().String(), Timeout: wstest.Guard}, new(atomic.Int64), nil)
}

// answering sends a whole answer with so many bytes, of which it has announced more, and then
// waits for the end.
func answering(announced string, n int) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: "+announced+"\r\n\r\n"+strings.Repeat("x", n))
		io.Copy(io.Discard, c)
	}
}

// await returns when the only connection of the loop is as is says.
func (l *loopConns) await(is func(*slot, *conn) bool) {
	for done := false; !done; {
		l.Call(func() {
			l.slots.Each(func(p *slot, r *refs) { done = is(p, r.conn) })
		})
	}
}

// A client that takes an answer late gets all of it, although its request has not ended.
func TestALateReaderOfAnEarlyAnswer(t *testing.T) {
	d := dialerTo(t, answering("8000000", 8_000_000))
	s, l := startServer(t, func(*clientio.Conn, message.Request) Exchange {
		return &fragile{dialer: d, aborted: new(atomic.Int32)}
	})
	c := s.connect(t)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
	l.await(func(_ *slot, c *conn) bool {
		return c.forward != nil && c.forward.pipe != nil && len(c.forward.out) == 0
	})
	c.SetReadDeadline(time.Now().Add(wstest.Guard))
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r.Body); n != 8_000_000 || err != nil {
		t.Errorf("%d bytes came, %v; want all", n, err)
	}
}

// hopping is an exchange that leaves out what is for one connection only.
type hopping struct{ fragile }

func (x *hopping) EditAnswer(h *h1.Head) { h.Fields.Del(header.TransferEncoding) }

// All of an early answer that has come reaches a client that takes it late, although the endpoint
// has reset its connection.
func TestALateReaderOfAnAnswerAndAReset(t *testing.T) {
	const size = 48_000 // more than the client's socket takes, and less than that of the endpoint alone does
	reset := make(chan struct{})
	d := dialerTo(t, func(c net.Conn) {
		c.Read(make([]byte, 20)) // what is left makes Close a reset
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, strings.Repeat("x", size))
		raw, _ := c.(*net.TCPConn).SyscallConn()
		deadline := time.Now().Add(wstest.Guard)
		for unsent := 1; unsent > 0; {
			if time.Now().After(deadline) {
				t.Errorf("%d bytes are still on their way", unsent)
				break
			}
			raw.Control(func(fd uintptr) { unsent, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		}
		c.Close()
		close(reset)
	})
	s, l := startServer(t, func(*clientio.Conn, message.Request) Exchange {
		return &hopping{fragile{dialer: d, aborted: new(atomic.Int32)}}
	})
	c, server := wstest.Sockets(t, "unix")
	if err := server.(*net.UnixConn).SetWriteBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	s.serve(t, server)
	c.SetDeadline(time.Now().Add(wstest.Guard))
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
	var up int32
	l.await(func(_ *slot, c *conn) bool {
		blocked := c.forward != nil && c.forward.blocked()
		if blocked {
			up = c.forward.up.fd
		}
		return blocked
	})
	<-reset
	if n, err := unix.IoctlGetInt(int(up), unix.SIOCINQ); n == 0 || err != nil {
		t.Errorf("%d bytes of the answer are still in the endpoint's socket, %v; want some", n, err)
	}
	io.WriteString(c, "some of the body")
	l.await(func(_ *slot, c *conn) bool { return c.forward.request.broken })
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r.Body); n != size || err != nil {
		t.Errorf("%d bytes came, %v; want all", n, err)
	}
}

// impatient is an exchange whose endpoint must not be silent for long.
type impatient struct{ fragile }

func (x *impatient) Timeouts() Timeouts {
	return Timeouts{Response: time.Second, Silence: time.Second}
}

// An endpoint that is silent behind a pause of the client, which may take for ever, is noticed.
func TestASilentEndpointBehindALateReader(t *testing.T) {
	d := dialerTo(t, answering("9000000", 8_000_000))
	s, l := startServer(t, func(*clientio.Conn, message.Request) Exchange {
		return &impatient{fragile{dialer: d, aborted: new(atomic.Int32)}}
	})
	c := s.connect(t)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	l.await(func(p *slot, c *conn) bool { return c.forward != nil && c.forward.blocked() && p.Timer() == 0 })
	c.SetReadDeadline(time.Now().Add(wstest.Guard))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("%v; want the end", err)
	}
}

// A connection that is cut behind its answer, before its goroutine has returned, is over.
func TestAConnectionThatIsCutBehindItsAnswer(t *testing.T) {
	cut, returns := make(chan struct{}), make(chan struct{})
	s, l := startServer(t, func(c *clientio.Conn, r message.Request) Exchange {
		return &served{r: r, serve: func(w http.ResponseWriter, _ *message.Request) {
			<-cut
			c.Wire.Cut()
			<-returns
		}}
	})
	defer close(returns)
	io.WriteString(s.connect(t), "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	var served *conn
	l.await(func(p *slot, c *conn) bool { served = c; return p.phase == servingPhase })
	close(cut)
	s.await(t.Context(), func() bool { return s.conns == 0 })
	l.Call(func() { l.resume(served) })
}

// A request that asks no more for the idle connection that it was promised leaves it to others.
func TestAPromiseThatIsGivenUp(t *testing.T) {
	d := dialerTo(t, func(c net.Conn) { c.Close() })
	s, l := startServer(t, nil)
	s.connect(t) // the loop runs
	l.Call(func() {
		u := l.upstreams
		set := u.idleOf(d)
		if !set.counts.add(1) || !set.counts.promise() {
			t.Error("nothing was promised")
		}
		up := u.add(d)
		up.conn = &conn{forward: new(forwarding)}
		u.borrowed(up.slot.SlotID(), set, nothing, 0)
		if n := set.counts.free.Load(); n != 1 {
			t.Errorf("%d connections are free; want 1", n)
		}
		u.drop(up)
	})
}
