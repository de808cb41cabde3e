package listen

import (
	"crypto/tls"
	"net"
	"net/netip"
	"testing"

	"sluice/internal/limit"
	"sluice/internal/wire"
	"sluice/internal/wstest"
)

// admitted returns a connection that l has admitted, as the server gets it.
func admitted(t *testing.T, l *Listener) net.Conn {
	t.Helper()
	_, near := wstest.Sockets(t, "tcp")
	l.begin(near)
	return <-l.accepted
}

// expectOpen checks how many connections l counts, and how many of 127.0.0.1.
func (l *Listener) expectOpen(t *testing.T, when string, want int) {
	t.Helper()
	client := netip.MustParseAddr("127.0.0.1")
	byClient := 0
	for ; !l.clients.Acquire(client, byClient+1); byClient++ {
	}
	l.clients.Release(client)
	if n, all := l.Connections(), l.set.connections.open.Load(); int(n) != want || int(all) != want || byClient != want {
		t.Errorf("%s: %d connections, %d of all listeners, %d of the client; want %d", when, n, all, byClient, want)
	}
}

func TestPermits(t *testing.T) {
	tests := []struct {
		name string
		do   func(t *testing.T, l *Listener, c net.Conn)
	}{
		{"a connection without a session", func(t *testing.T, l *Listener, c net.Conn) {
			c.Close()
			c.Close()
		}},
		{"a session that has the connection", func(t *testing.T, l *Listener, c net.Conn) {
			s := TakePermit(c)
			wire.Of(c).Cut()
			l.expectOpen(t, "the socket lives on without the connection", 1)
			s.Release()
			s.Release()
		}},
		{"a permit that was taken", func(t *testing.T, l *Listener, c net.Conn) {
			s, none := TakePermit(c), TakePermit(c)
			none.Release()
			l.expectOpen(t, "the second Permit is released", 1)
			s.Release()
		}},
		{"many sessions on streams of the connection", func(t *testing.T, l *Listener, c net.Conn) {
			for range 100 {
				stream, far := net.Pipe()
				s := TakePermit(stream)
				far.Close()
				s.Release()
			}
			l.expectOpen(t, "the sessions are over", 1)
			wire.Of(c).Cut()
		}},
		{"sessions that outlive the connection", func(t *testing.T, l *Listener, c net.Conn) {
			stream, _ := net.Pipe()
			s := TakePermit(stream)
			wire.Of(c).Cut()
			l.expectOpen(t, "the connection is closed", 0)
			s.Release()
		}},
	}
	for _, tt := range tests {
		for _, secure := range []bool{false, true} {
			t.Run(tt.name+map[bool]string{false: ", plain", true: ", TLS"}[secure], func(t *testing.T) {
				l := &Listener{
					set: NewSet(Env{}), clients: limit.NewCounts(), tls: new(tls.Config),
					accepted: make(chan net.Conn, 1), changed: make(chan struct{}, 1), closed: make(chan struct{}),
				}
				l.configure(Settings{TLS: secure})
				c := admitted(t, l)
				l.expectOpen(t, "admitted", 1)
				tt.do(t, l, c)
				l.expectOpen(t, "at the end", 0)
			})
		}
	}
}

// A connection that is refused gives back what was counted of it.
func TestRefusedConnectionIsNotCounted(t *testing.T) {
	l := &Listener{
		set: NewSet(Env{Refused: func(Refusal) {}}), clients: limit.NewCounts(),
		accepted: make(chan net.Conn, 1), changed: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	l.configure(Settings{ConnectionsPerIP: 1})
	c := admitted(t, l)
	_, near := wstest.Sockets(t, "tcp")
	l.begin(near)
	l.expectOpen(t, "one of two is refused", 1)
	c.Close()
	l.expectOpen(t, "at the end", 0)
}
