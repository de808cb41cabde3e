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

// events collects the events of a pool, as "endpoint: what".
type events struct{ all []string }

func (e *events) add(v Event) {
	e.all = append(e.all, v.Endpoint+": "+v.What)
}

// run runs p until the test ends. Evictions find no sessions.
func run(t *testing.T, p *Pool) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx, func(Eviction) int { return 0 }) }()
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
	unhealthy := errors.New("not well")
	tests := []struct {
		name    string
		answers string // of the probes, one after the other: '+' or '-'; the last one repeats
		want    string // the first letter of the state after each of them
	}{
		{"up from the start", "+", "u"},
		{"down from the start", "-", "d"},
		{"down after three bad probes", "+---", "uuud"},
		{"not down after two bad probes", "+--+--+", "uuuuuuu"},
		{"up after two good probes", "-++", "ddu"},
		{"up after two good probes in a row", "-+-++", "ddddu"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n atomic.Int64
				s := named("a")
				s.Check = Check{Interval: 10 * time.Second, Probe: func(context.Context, *Lease) error {
					answer := tt.answers[min(int(n.Add(1)), len(tt.answers))-1]
					if answer == '-' {
						return unhealthy
					}
					return nil
				}}
				p := pool(s)
				run(t, p)
				for i := range tt.want {
					synctest.Wait()
					if n.Load() != int64(i+1) {
						t.Fatalf("%d probes after %d intervals; want one each", n.Load(), i)
					}
					if got := state(p, "a"); got[0] != tt.want[i] {
						t.Errorf("%s after %s; want %c", got, tt.answers[:i+1], tt.want[i])
					}
					if l, err := p.Acquire(t.Context(), Need{}, &Tried{}); (err == nil) != (tt.want[i] == 'u') {
						t.Errorf("Acquire after %s = %v, %v; want a lease while it is up", tt.answers[:i+1], l, err)
					}
					p.mu.Lock()
					next := p.endpoints["a"].nextProbe
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
					t.Errorf("a probe came after %v; want 10s plus or minus a tenth", d)
				}
			}
			last = time.Now()
			return nil
		}}
		run(t, pool(s))
		time.Sleep(5 * time.Minute)
		if n := n.Load(); n < 26 || n > 34 {
			t.Errorf("%d probes in 5 minutes; want about 31", n)
		}
	})
}

// An endpoint that starts with the gateway is not kept waiting for as long as one that has failed.
func TestProbesOfANewEndpointComeSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var probes atomic.Int64
		starts, fails, works := start.Add(1200*time.Millisecond), start.Add(time.Hour), start.Add(time.Hour+time.Second)
		s := named("a")
		s.Check = Check{Interval: 5 * time.Second, Probe: func(context.Context, *Lease) error {
			probes.Add(1)
			if now := time.Now(); now.Before(starts) || now.After(fails) && now.Before(works) {
				return io.EOF
			}
			return nil
		}}
		p := pool(s)
		run(t, p)
		time.Sleep(2 * time.Second)
		if got := state(p, "a"); got != "up" {
			t.Errorf("%s 0.8 s after the endpoint has started; want up", got)
		}
		time.Sleep(time.Until(fails))
		before := probes.Swap(0)
		if before < 600 || before > 900 {
			t.Errorf("%d probes in an hour; want about 720", before)
		}
		time.Sleep(time.Minute)
		if n := probes.Load(); n > 15 {
			t.Errorf("%d probes in the minute after a failure; want about 12", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var probes atomic.Int64
		s := named("a")
		s.Check = Check{Interval: 5 * time.Second, Probe: func(context.Context, *Lease) error { probes.Add(1); return io.EOF }}
		run(t, pool(s))
		time.Sleep(20 * time.Second)
		if n := probes.Swap(0); n > 25 {
			t.Errorf("%d probes of a new endpoint in 20 s; want fewer than 25", n)
		}
		time.Sleep(time.Minute)
		if n := probes.Load(); n < 10 || n > 14 {
			t.Errorf("%d probes of an endpoint that is down in a minute; want about 12", n)
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
			t.Errorf("%s before the timeout; want up", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if s := p.Status()[0]; s.State != "down" || s.Detail != "no answer within 3s" {
			t.Errorf("%+v after the timeout; want down", s)
		}
	})
}

// Health survives a new configuration, unless that has no probes.
func TestHealthSurvivesConfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got events
		s := named("a", "b")
		s.Check.Probe = func(_ context.Context, l *Lease) error {
			if l.Endpoint() == "a" {
				return io.EOF
			}
			return nil
		}
		p := New("app", s, got.add)
		run(t, p)
		synctest.Wait()
		s.ConnectTimeout = time.Minute
		s.Endpoints = s.Endpoints[:1]
		p.Configure(s)
		if got := state(p, "a"); got != "down" {
			t.Errorf("%s after another configuration; want down", got)
		}
		s.Check.Probe = nil
		p.Configure(s)
		if got := state(p, "a"); got != "up" {
			t.Errorf("%s without probes; want up", got)
		}
		if got := strings.Join(got.all, ", "); got != "a: endpoint is down" {
			t.Errorf("events = %q; want one: a is down", got)
		}
	})
}

func TestSlowStart(t *testing.T) {
	for _, b := range []Balance{LeastConnections, RoundRobin} {
		t.Run(fmt.Sprint(b), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := many(2, equally)
				s.Balance, s.SlowStart = b, time.Minute
				p := pool(s)
				run(t, p)
				if p.slowStarting() {
					t.Error("the first endpoints have a slow start; want none")
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
					want  int // percent, plus or minus 3
				}{{0, 5}, {30 * time.Second, 20}, {31 * time.Second, 33}, {time.Hour, 33}} {
					time.Sleep(step.after)
					synctest.Wait()
					if got := share(); got < step.want-3 || got > step.want+3 {
						t.Errorf("%v later the new endpoint gets %d%%; want about %d%%", step.after, got, step.want)
					}
				}
			})
		})
	}
}
