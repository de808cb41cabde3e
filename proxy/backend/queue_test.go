package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// queued returns a pool with a queue, and with endpoints that have room for one
// request and one session each.
func queued(length int, names ...string) *Pool {
	s := named(names...)
	for i := range s.Endpoints {
		s.Endpoints[i].MaxRequests, s.Endpoints[i].MaxSessions = 1, 1
	}
	s.Queue = Queue{Length: length, Timeout: 10 * time.Second}
	return pool(s)
}

// acquireInOrder calls Acquire from n goroutines, one after the other. It sends
// what they get, in the order in which they get it.
func acquireInOrder(ctx context.Context, p *Pool, n int) <-chan string {
	got := make(chan string, n)
	for i := range n {
		go func() {
			l, err := p.Acquire(ctx, Need{}, &Tried{})
			if err != nil {
				got <- fmt.Sprintf("%d: %v", i, err)
				return
			}
			got <- fmt.Sprintf("%d: %s", i, l.Endpoint())
		}()
		synctest.Wait()
	}
	return got
}

func TestTheQueueIsFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := queued(3, "a")
		first := acquire(t, p, Need{})
		ctx, cancel := context.WithCancelCause(t.Context())
		got := acquireInOrder(ctx, p, 4)
		if refused := <-got; refused != "3: backend app: all endpoints are full" {
			t.Fatalf("%q; want that the fourth is refused at once", refused)
		}
		acquire(t, p, Need{Kind: Sessions}) // sessions have a queue of their own
		first.Release()
		first.Release()
		if next := <-got; next != "0: a" || len(got) != 0 {
			t.Fatalf("%q and %d more; want the first and no other", next, len(got))
		}
		cancel(errors.New("gone"))
		for _, want := range []string{"1: gone", "2: gone"} {
			if g := <-got; g != want && g != "2: gone" && g != "1: gone" {
				t.Errorf("%q; want %q", g, want)
			}
		}
		if n := p.waiting[Requests].Len(); n != 0 {
			t.Errorf("%d still wait; want none", n)
		}
		expect(t, "busy", busy(p), map[string]int{"a": 2})
	})
}

func TestWaitingEnds(t *testing.T) {
	tests := []struct {
		name string
		do   func(p *Pool, s Settings)
		want string
	}{
		{"with its timeout", func(*Pool, Settings) { time.Sleep(10 * time.Second) }, "0: backend app: all endpoints are full"},
		{"with a new endpoint", func(p *Pool, s Settings) {
			s.Endpoints = append(s.Endpoints, named("b").Endpoints...)
			p.Configure(s)
		}, "0: b"},
		{"with a higher limit", func(p *Pool, s Settings) { s.Endpoints[0].MaxRequests = 2; p.Configure(s) }, "0: a"},
		{"with no endpoint up", func(p *Pool, s Settings) { p.Drain("a", true) }, "0: backend app: no endpoint is up"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := queued(1, "a")
				acquire(t, p, Need{})
				got := acquireInOrder(t.Context(), p, 1)
				tt.do(p, p.settings)
				synctest.Wait()
				if g := <-got; g != tt.want {
					t.Errorf("%q; want %q", g, tt.want)
				}
			})
		})
	}
}

// A waiter that has tried an endpoint does not keep later waiters from it.
func TestATriedEndpointDoesNotBlockTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := queued(10, "a", "b")
		a := acquire(t, p, Need{})
		acquire(t, p, Need{})
		tried := &Tried{Began: time.Now(), endpoints: []*endpoint{a.endpoint}, last: io.EOF}
		got := make(chan string, 1)
		go func() {
			l, _ := p.Acquire(t.Context(), Need{}, tried)
			got <- l.Endpoint()
		}()
		synctest.Wait()
		next := acquireInOrder(t.Context(), p, 1)
		a.Release()
		if g := <-next; g != "0: a" {
			t.Errorf("%q; want that the second waiter gets a", g)
		}
		p.Configure(named("a", "b")) // without limits
		if g := <-got; g != "b" {
			t.Errorf("the waiter that had tried a got %s; want b", g)
		}
	})
}

// A lease that comes when its waiter has just given up is released.
func TestALateLeaseIsReleased(t *testing.T) {
	p := queued(1, "a")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // select picks one of two ready cases at random
		held := acquire(t, p, Need{})
		w := p.enqueue(Need{}, &Tried{})
		held.Release()
		if l, err := p.wait(gone, w); err == nil {
			l.Release()
		}
		expect(t, "busy", busy(p), map[string]int{})
	}
}

// New work does not overtake waiters.
func TestTheQueueKeepsItsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := queued(10, "a", "b")
		a, b := acquire(t, p, Need{}), acquire(t, p, Need{})
		got := acquireInOrder(t.Context(), p, 5)
		a.Release()
		b.Release()
		synctest.Wait()
		if len(got) != 2 {
			t.Fatalf("%d got one of two free endpoints; want two", len(got))
		}
		for range 2 {
			if g := <-got; g[0] != '0' && g[0] != '1' {
				t.Errorf("%q was served before the first two", g)
			}
		}
	})
}
