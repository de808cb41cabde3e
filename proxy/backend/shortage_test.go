package backend

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/limit"
	"sluice/internal/wstest"
)

// socket is the error of a system call that package net reports.
func socket(call string, e syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(call, e)}
}

// What is short here says nothing about an endpoint, whatever meets it.
func TestAShortageIsNoVerdict(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"descriptors", &DialError{Err: socket("socket", syscall.EMFILE)}, "up"},
		{"descriptors of the system", &DialError{Err: socket("socket", syscall.ENFILE)}, "up"},
		{"memory for a connection", &DialError{Err: socket("connect", syscall.ENOMEM)}, "up"},
		{"buffers, when the request is sent", socket("write", syscall.ENOBUFS), "up"},
		{"in a look-up", &DialError{Err: &net.DNSError{Err: socket("socket", syscall.EMFILE).Error(), Name: "a"}}, "up"},
		{"ports", &DialError{Err: socket("connect", syscall.EADDRNOTAVAIL), NoPort: true}, "up"},
		{"no way to the address", &DialError{Err: socket("connect", syscall.EADDRNOTAVAIL)}, "ejected"},
		{"refused", &DialError{Err: socket("connect", syscall.ECONNREFUSED)}, "ejected"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := named("a", "b")
			s.Passive = Passive{Failures: 1}
			p := pool(s)
			tried := Tried{Began: time.Now()}
			l := acquire(t, p, Need{})
			l.Fail(&tried, tt.err)
			if got := state(p, l.Endpoint()); got != tt.want {
				t.Errorf("%s after %v, want %s", got, tt.err, tt.want)
			}
			if other := acquire(t, p, Need{}); other.Endpoint() == l.Endpoint() && tt.want == "up" {
				t.Error("the endpoint that was not asked comes before the others")
			}
		})
	}
}

// A probe that could not be sent leaves all as it was.
func TestProbesInAShortage(t *testing.T) {
	for _, before := range []error{nil, io.EOF} {
		synctest.Test(t, func(t *testing.T) {
			var told events
			short := &DialError{Err: socket("socket", syscall.EMFILE)}
			answers := []error{before, short, short, short, short, errors.Join(context.DeadlineExceeded, short)}
			var n atomic.Int64
			s := named("a")
			s.Check = Check{Rise: 9, Fall: 1, Interval: time.Second, Probe: func(context.Context, *Lease) error {
				return answers[min(int(n.Add(1)), len(answers))-1]
			}}
			p := New("app", s, told.tell)
			run(t, p)
			synctest.Wait()
			first := p.Status()[0]
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if got := p.Status()[0]; got != first || n.Load() < 6 {
				t.Errorf("%+v after %d probes, want %+v as after the first", got, n.Load(), first)
			}
			told.all = slices.Compact(told.all)
			want := []string{"a: endpoint is down", "a: endpoint could not be asked"}
			if before == nil {
				want = want[1:]
			}
			if !slices.Equal(told.all, want) {
				t.Errorf("told %q, want %q", told.all, want)
			}
		})
	}
}

// Ports are used up only where there is a way to the endpoint.
func TestNoPort(t *testing.T) {
	none, refused := socket("connect", syscall.EADDRNOTAVAIL), socket("connect", syscall.ECONNREFUSED)
	tests := []struct {
		name string
		open int64
		err  error
		want limit.Shortage
	}{
		{"others are open", 1, none, limit.NoPorts},
		{"no other is open", 0, none, 0},
		{"at both addresses", 1, errors.Join(none, none), limit.NoPorts},
		{"at one address, and the other refuses", 1, errors.Join(none, refused), 0},
		{"refused", 1, refused, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var open atomic.Int64
			open.Store(tt.open)
			if got := ShortageOf(newLink(way{}, nil, &open).failure(tt.err)); got != tt.want {
				t.Errorf("ShortageOf = %v, want %v", got, tt.want)
			}
		})
	}
}

// Connections of all kinds count while they are open.
func TestConnectionsAreCounted(t *testing.T) {
	address := plain(t)
	l := one(t, Endpoint{Network: "tcp", Address: address}, Settings{})
	expect := func(what string, want int64) {
		t.Helper()
		if got := l.link.open.Load(); got != want {
			t.Errorf("%d connections are counted %s, want %d", got, what, want)
		}
	}
	expect("at first", 0)
	session := acquire(t, l.pool, Need{})
	c, err := session.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expect("with one for a session", 1)
	r, err := http.NewRequestWithContext(t.Context(), "GET", "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := l.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	expect("with one that is kept for requests", 2)
	c.Close()
	expect("when the session's is closed, but its lease is not released", 2)
	session.Release()
	session.Release()
	expect("when it is", 1)
	l.pool.Close()
	expect("when none is kept", 0)
	if _, err := one(t, Endpoint{Network: "tcp", Address: wstest.Reserve(t)}, Settings{}).Dial(t.Context()); err == nil {
		t.Fatal("somebody listens")
	}
	expect("with one that failed", 0)
}
