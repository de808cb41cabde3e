// Package relaytest is what the tests of the relay's packages share: connections, peers, an
// engine that runs while a test does, and scenarios that every engine has to pass.
package relaytest

import (
	"context"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
	"sluice/proxy/relay/frametest"
)

// An Engine is what sessions run on: the engine of the system, or one of the two that it is
// made of.
type Engine interface {
	Run(context.Context)
	Join(core.Session)
	End(match func(core.View) bool, how core.Ending, spread time.Duration) int
	PlanEnd(id uint64, at time.Time, how core.Ending) bool
	Tap(id uint64, t *core.Tap) (found, tapped bool)
	Untap(id uint64, t *core.Tap)
	RulesChanged(groups map[*core.Group]bool)
	Each(yield func(core.View) bool)
	AddTotals(map[*core.Group]core.Totals)
	Merge(groups []*core.Group, into *core.Group)
	Memory() int64
	Drained(context.Context)
}

// A Fixture is an engine that runs while a test does, and a group for its sessions.
type Fixture struct {
	Engine
	T       testing.TB
	Group   core.Group
	Reports chan core.Report
	Stop    func()       // stops the engine; returns when Run has
	LastID  uint64       // of the session that was started last
	Closed  atomic.Int64 // sessions whose connections are closed, those that have moved among them
	Moved   atomic.Int64 // sessions that another engine has got, each time

	// Panicked is called for each panic in a session. Nil means that the test fails.
	Panicked func(v core.View, cause any)

	mu     sync.Mutex
	stayed []string // why sessions stayed with crypto/tls
}

// NewFixture returns a fixture whose engine runs.
func NewFixture(t testing.TB, engine func(core.Sink) Engine) *Fixture {
	h := NewIdleFixture(t, engine)
	h.Start()
	return h
}

// NewIdleFixture returns a fixture whose engine does not run yet.
func NewIdleFixture(t testing.TB, engine func(core.Sink) Engine) *Fixture {
	h := &Fixture{T: t, Reports: make(chan core.Report, 256)}
	h.Engine = engine(h.sink())
	return h
}

// Reasons returns why sessions stayed with crypto/tls: see core.Sink.
func (h *Fixture) Reasons() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.stayed)
}

// Totals returns what the sessions of a group have done.
func (h *Fixture) Totals(g *core.Group) core.Totals {
	all := make(map[*core.Group]core.Totals)
	h.AddTotals(all)
	return all[g]
}

// Start runs the engine until the test ends or Stop is called.
func (h *Fixture) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Run(ctx)
	}()
	h.Stop = func() {
		cancel()
		<-done
	}
	h.T.Cleanup(h.Stop)
}

// sink returns the sink of the engine.
func (h *Fixture) sink() core.Sink {
	return core.Sink{
		Ended:  func(r core.Report) { h.Reports <- r },
		Closed: func(any) { h.Closed.Add(1) },
		Gone:   func(core.View) { h.Moved.Add(1) },
		Panicked: func(v core.View, cause any, stack []byte) {
			if h.Panicked == nil {
				h.T.Errorf("session %d: panic: %v\n%s", v.ID, cause, stack)
				return
			}
			h.Panicked(v, cause)
		},
		Stayed: func(why string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.stayed = append(h.stayed, why)
		},
	}
}

// StartSession starts a session over two links, with what o says besides, and returns its
// peers.
func (h *Fixture) StartSession(client, backend Link, o core.Session) (c, b *Peer) {
	h.T.Helper()
	h.LastID++
	o.ID, o.Group = h.LastID, &h.Group
	c, b = &Peer{T: h.T, Side: core.Client}, &Peer{T: h.T, Side: core.Backend}
	o.Client.Conn, c.Conn = client(h.T, core.Client)
	o.Backend.Conn, b.Conn = backend(h.T, core.Backend)
	h.Join(o)
	return c, b
}

// ChangeRules makes r the rules of the fixture's group, for its open sessions too.
func (h *Fixture) ChangeRules(r core.Rules) {
	h.Group.Set(r)
	h.RulesChanged(map[*core.Group]bool{&h.Group: true})
}

// AwaitReport waits for the report of one session.
func (h *Fixture) AwaitReport() core.Report {
	h.T.Helper()
	select {
	case r := <-h.Reports:
		return r
	case <-time.After(wstest.Guard):
		h.T.Fatal("no report")
		panic("unreachable")
	}
}

// ExpectReport waits for the report of one session and compares it.
func (h *Fixture) ExpectReport(cause core.Cause, by core.Side, code ws.StatusCode) {
	h.T.Helper()
	if r := h.AwaitReport(); r.Cause != cause || r.By != by || r.Code != code {
		h.T.Errorf("report = %s by the %s, %d (%s); want %s by the %s, %d", r.Cause, r.By, r.Code, r.Detail, cause, by, code)
	}
}

// All matches every session.
func All(core.View) bool { return true }

// Mallocs returns how many allocations happened in f, those of the runtime included.
func Mallocs(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// Echo starts a session whose backend sends back every message. It returns a function that
// sends one message of n bytes and waits until it is back.
func (h *Fixture) Echo(kind Link, n int) (once func()) {
	t := h.T
	c, b := h.StartSession(kind, kind, core.Session{})
	there, back := frametest.Encode(core.Client, frametest.Binary(strings.Repeat("x", n))), frametest.Encode(core.Backend, frametest.Binary(strings.Repeat("x", n)))
	go func() {
		for in := make([]byte, len(there)); ; {
			if _, err := io.ReadFull(b, in); err != nil {
				return
			}
			if _, err := b.Write(back); err != nil {
				return
			}
		}
	}()
	out := make([]byte, len(back))
	t.Cleanup(func() { c.Close(); b.Close() })
	wake, woken := make(chan struct{}), make(chan error)
	go func() { // beside the reader, or large messages would hold each other back
		for range wake {
			_, err := c.Write(there)
			woken <- err
		}
	}()
	t.Cleanup(func() { close(wake) })
	return func() {
		wake <- struct{}{}
		if _, err := io.ReadFull(c, out); err != nil {
			t.Fatal(err)
		}
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
	}
}

// PoolDropsItems reports whether a sync.Pool drops some of its items, as it does under the
// race detector.
func PoolDropsItems() bool {
	var p sync.Pool
	for range 100 {
		p.Put(new(int))
		if p.Get() == nil {
			return true
		}
	}
	return false
}
