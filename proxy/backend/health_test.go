package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// events collects what a pool tells, as "endpoint: what".
type events struct{ all []string }

func (e *events) tell(v Event) {
	e.all = append(e.all, v.Endpoint+": "+v.What)
}

// run runs p until the test ends. Its sessions are not there to be ended.
func run(t *testing.T, p *Pool) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx, func(Shed) int { return 0 }) }()
	t.Cleanup(func() { cancel(); <-done })
}

// state returns the state of an endpoint.
func state(p *Pool, endpoint string) string {
	for _, s := range p.Status() {
		if s.Endpoint == endpoint {
			return s.State
		}
	}
	return "gone"
}

func TestProbes(t *testing.T) {
	sick := errors.New("not well")
	tests := []struct {
		name    string
		answers string // of the probes, one after the other: '+' or '-'; the last one goes on
		want    string // state after each of them
	}{
		{"well from the start", "+", "u"},
		{"down from the start", "-", "d"},
		{"down after three", "+---", "uuud"},
		{"not down after two", "+--+--+", "uuuuuuu"},
		{"up after two", "-++", "ddu"},
		{"up after two in a row", "-+-++", "ddddu"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n atomic.Int64
				s := named("a")
				s.Check = Check{Interval: 10 * time.Second, Probe: func(context.Context, *Lease) error {
					answer := tt.answers[min(int(n.Add(1)), len(tt.answers))-1]
					if answer == '-' {
						return sick
					}
					return nil
				}}
				p := pool(s)
				run(t, p)
				for i := range tt.want {
					synctest.Wait()
					if n.Load() != int64(i+1) {
						t.Fatalf("%d probes after %d intervals, want one each", n.Load(), i)
					}
					if got := state(p, "a"); got[0] != tt.want[i] {
						t.Errorf("%s after %s", got, tt.answers[:i+1])
					}
					if l, err := p.Acquire(t.Context(), Need{}, &Tried{}); (err == nil) != (tt.want[i] == 'u') {
						t.Errorf("Acquire after %s = %v, %v", tt.answers[:i+1], l, err)
					}
					p.mu.Lock()
					next := p.members["a"].next
					p.mu.Unlock()
					time.Sleep(time.Until(next))
				}
			})
		})
	}
}

func TestProbesAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last time.Time
		var n atomic.Int64
		s := named("a")
		s.Check = Check{Interval: 10 * time.Second, Probe: func(context.Context, *Lease) error {
			if now := time.Now(); n.Add(1) > 1 {
				if d := now.Sub(last); d < 9*time.Second || d > 11*time.Second {
					t.Errorf("a probe came after %v, want 10s give or take a tenth", d)
				}
			}
			last = time.Now()
			return nil
		}}
		run(t, pool(s))
		time.Sleep(5 * time.Minute)
		if n := n.Load(); n < 26 || n > 34 {
			t.Errorf("%d probes in 5 minutes, want about 31", n)
		}
	})
}

func TestProbesHaveATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := named("a")
		s.Check = Check{Timeout: 3 * time.Second, Probe: func(ctx context.Context, _ *Lease) error { <-ctx.Done(); return nil }}
		p := pool(s)
		run(t, p)
		time.Sleep(3*time.Second - 1)
		if got := state(p, "a"); got != "up" {
			t.Errorf("%s before the timeout", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if s := p.Status()[0]; s.State != "down" || s.Detail != "no answer within 3s" {
			t.Errorf("%+v after the timeout, want down", s)
		}
	})
}

// Health is not forgotten by a new configuration, unless nobody asks any more.
func TestHealthSurvivesConfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told events
		s := named("a", "b")
		s.Check.Probe = func(_ context.Context, l *Lease) error {
			if l.Endpoint() == "a" {
				return io.EOF
			}
			return nil
		}
		p := New("app", s, told.tell)
		run(t, p)
		synctest.Wait()
		s.ConnectTimeout = time.Minute
		s.Endpoints = s.Endpoints[:1]
		p.Configure(s)
		if got := state(p, "a"); got != "down" {
			t.Errorf("%s after another configuration, want down", got)
		}
		s.Check.Probe = nil
		p.Configure(s)
		if got := state(p, "a"); got != "up" {
			t.Errorf("%s when nobody asks, want up", got)
		}
		if got := strings.Join(told.all, ", "); got != "a: endpoint is down" {
			t.Errorf("told %q", got)
		}
	})
}

// fail has n picks of the endpoint fail.
func fail(t *testing.T, p *Pool, endpoint string, n int) {
	t.Helper()
	for failed := 0; failed < n; {
		l := acquire(t, p, Need{})
		if l.Endpoint() == endpoint {
			l.Report(false)
			failed++
		} else {
			l.Report(true)
		}
		l.Release()
	}
}

func TestFailuresEject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := named("a", "b")
		s.Passive = Passive{Failures: 3, Eject: 10 * time.Second, MaxEject: 35 * time.Second}
		p := pool(s)
		run(t, p)
		out := func(d time.Duration) {
			t.Helper()
			for _, check := range []struct {
				after time.Duration
				want  string
			}{{0, "ejected"}, {d - 1, "ejected"}, {1, "up"}} {
				time.Sleep(check.after)
				synctest.Wait()
				if got := state(p, "a"); got != check.want {
					t.Fatalf("%s, want %s", got, check.want)
				}
			}
		}
		fail(t, p, "a", 2)
		if got := state(p, "a"); got != "up" {
			t.Fatalf("%s after two failures", got)
		}
		fail(t, p, "a", 1)
		out(10 * time.Second)
		fail(t, p, "a", 1) // who comes back has one chance
		out(20 * time.Second)
		fail(t, p, "a", 1)
		out(35 * time.Second)
		l := acquire(t, p, Need{})
		for l.Endpoint() != "a" {
			l = acquire(t, p, Need{})
		}
		l.Report(true)
		fail(t, p, "a", 2)
		time.Sleep(time.Hour)
		fail(t, p, "a", 1)
		out(10 * time.Second)
	})
}

func TestRatioEjects(t *testing.T) {
	tests := []struct {
		name    string
		bad     int // of 10
		rounds  int
		between time.Duration
		want    string
	}{
		{"few outcomes", 9, 1, 0, "up"},
		{"enough, half of them bad", 5, 2, 0, "ejected"},
		{"enough, fewer bad", 4, 20, 0, "up"},
		{"few in a window", 9, 20, 2 * time.Minute, "up"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := named("a", "b")
				s.Passive = Passive{Ratio: 0.5, Window: time.Minute}
				p := pool(s)
				p.Drain("b", true)
				l := acquire(t, p, Need{})
				p.Drain("b", false)
				for range tt.rounds {
					for i := range 10 {
						l.Report(i < 10-tt.bad)
					}
					time.Sleep(tt.between)
				}
				if got := state(p, "a"); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
			})
		})
	}
}

// Outcomes count in their own window and in the next one.
func TestRatioHasAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := named("a", "b")
		s.Passive = Passive{Ratio: 0.5, Window: time.Minute}
		p := pool(s)
		l := acquire(t, p, Need{})
		for _, bad := range []int{0, 5, 5} {
			if got := state(p, l.Endpoint()); got != "up" {
				t.Fatalf("%s with fewer than half of 20 failed", got)
			}
			for i := range 10 {
				l.Report(i < 10-bad)
			}
			time.Sleep(70 * time.Second)
		}
		if got := state(p, l.Endpoint()); got != "ejected" {
			t.Errorf("%s with half of the last 20 failed, want ejected", got)
		}
	})
}

func TestTheLastEndpointIsNotEjected(t *testing.T) {
	for _, told := range []bool{false, true} {
		s := named("a", "b")
		s.Passive = Passive{Failures: 1, EjectLast: told}
		p := pool(s)
		fail(t, p, "a", 1)
		fail(t, p, "b", 1)
		if got := state(p, "b"); (got == "ejected") != told {
			t.Errorf("the last endpoint is %s after a failure; told so: %v", got, told)
		}
		l, err := p.Acquire(t.Context(), Need{}, &Tried{})
		var u *UnavailableError
		if told != (errors.As(err, &u) && !u.Full && u.RetryAfter > 4*time.Second && u.RetryAfter <= 5*time.Second) {
			t.Errorf("Acquire = %v, %+v; told so: %v", l, u, told)
		}
	}
}

func TestSlowStart(t *testing.T) {
	for _, b := range []Balance{LeastConnections, RoundRobin} {
		t.Run(fmt.Sprint(b), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := many(2, equally)
				s.Balance, s.SlowStart = b, time.Minute
				p := pool(s)
				run(t, p)
				if p.warming() {
					t.Error("those there from the start begin slowly")
				}
				s.Endpoints = append(s.Endpoints, Endpoint{Name: "new", Network: "tcp", Address: "127.0.0.1:1"})
				p.Configure(s)
				share := func() (percent int) {
					held := hold(t, p, 1000, Need{Kind: Sessions})
					for _, leases := range held {
						for _, l := range leases {
							l.Release()
						}
					}
					return len(held["new"]) / 10
				}
				for _, step := range []struct {
					after time.Duration
					want  int // percent, give or take 3
				}{{0, 5}, {30 * time.Second, 20}, {31 * time.Second, 33}, {time.Hour, 33}} {
					time.Sleep(step.after)
					synctest.Wait()
					if got := share(); got < step.want-3 || got > step.want+3 {
						t.Errorf("%v later the new endpoint gets %d%%, want about %d%%", step.after, got, step.want)
					}
				}
			})
		})
	}
}
