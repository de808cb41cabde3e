package backend

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sluice/proxy/backend/dial"
)

// socketError is the error of a system call as package net reports it.
func socketError(call string, e syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(call, e)}
}

// A shortage in the gateway says nothing about an endpoint.
func TestAShortageEjectsNoEndpoint(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"descriptors", &dial.Error{Err: socketError("socket", syscall.EMFILE)}, "up"},
		{"descriptors of the system", &dial.Error{Err: socketError("socket", syscall.ENFILE)}, "up"},
		{"memory for a connection", &dial.Error{Err: socketError("connect", syscall.ENOMEM)}, "up"},
		{"buffers, when the request is sent", socketError("write", syscall.ENOBUFS), "up"},
		{"in a look-up", &dial.Error{Err: &net.DNSError{Err: socketError("socket", syscall.EMFILE).Error(), Name: "a"}}, "up"},
		{"ports", &dial.Error{Err: socketError("connect", syscall.EADDRNOTAVAIL), NoPort: true}, "up"},
		{"an address that cannot be reached", &dial.Error{Err: socketError("connect", syscall.EADDRNOTAVAIL)}, "ejected"},
		{"refused", &dial.Error{Err: socketError("connect", syscall.ECONNREFUSED)}, "ejected"},
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
				t.Errorf("%s after %v; want %s", got, tt.err, tt.want)
			}
			if other := acquire(t, p, Need{}); other.Endpoint() == l.Endpoint() && tt.want == "up" {
				t.Error("the next pick is the endpoint that failed; want another")
			}
		})
	}
}

// A probe that fails for want of something in the gateway changes nothing.
func TestProbesDuringAShortage(t *testing.T) {
	for _, before := range []error{nil, io.EOF} {
		synctest.Test(t, func(t *testing.T) {
			var got events
			short := &dial.Error{Err: socketError("socket", syscall.EMFILE)}
			answers := []error{before, short, short, short, short, errors.Join(context.DeadlineExceeded, short)}
			var n atomic.Int64
			s := named("a")
			s.Check = Check{Rise: 9, Fall: 1, Interval: time.Second, Probe: func(context.Context, *Lease) error {
				return answers[min(int(n.Add(1)), len(answers))-1]
			}}
			p := New("app", s, got.add)
			run(t, p)
			synctest.Wait()
			first := p.Status()[0]
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if status := p.Status()[0]; status != first || n.Load() < 6 {
				t.Errorf("%+v after %d probes; want %+v as after the first", status, n.Load(), first)
			}
			got.all = slices.Compact(got.all)
			want := []string{"a: endpoint is down", "a: endpoint could not be asked"}
			if before == nil {
				want = want[1:]
			}
			if !slices.Equal(got.all, want) {
				t.Errorf("events = %q; want %q", got.all, want)
			}
		})
	}
}
