package core

import (
	"math"
	"sync/atomic"
	"time"

	"sluice/internal/frame"
	"sluice/internal/limit"
)

// A Group is the sessions of one route. It lives as long as the route's identity,
// across configurations.
type Group struct {
	Name  string
	rules atomic.Pointer[compiledRules]
	open  atomic.Int64
}

// Totals is what the sessions of a group have done so far, of those that are open too.
type Totals struct {
	Sessions                uint64 // that have begun
	FromClient, FromBackend frame.Counts
	Waits                   [2]Waits // by Side
}

// Waits is how often a side was read more slowly because it was over a rate.
type Waits struct {
	Messages uint64 // over the rate of messages
	Bytes    uint64 // over that of bytes
}

// Add adds o to t.
func (t *Totals) Add(o *Totals) {
	t.Sessions += o.Sessions
	t.FromClient.Add(&o.FromClient)
	t.FromBackend.Add(&o.FromBackend)
	for side, w := range o.Waits {
		t.Waits[side].Messages += w.Messages
		t.Waits[side].Bytes += w.Bytes
	}
}

// A Part is the sessions of a group that one loop has, or one goroutine at a time: whoever has
// them counts here without a lock. Its totals never become less.
type Part struct {
	*Group
	Totals
}

// begin counts a session that begins.
func (p *Part) begin() { p.Sessions++ }

// count counts what a direction did: its counts were before, and are now after.
func (p *Part) count(from Side, before, after *frame.Counts) {
	to := &p.FromClient
	if from == Backend {
		to = &p.FromBackend
	}
	to.AddDifference(before, after)
}

// wait counts that a side has to wait for a rate.
func (p *Part) wait(from Side, rate frame.Violation) {
	if w := &p.Waits[from]; rate == frame.MessageRate {
		w.Messages++
	} else {
		w.Bytes++
	}
}

// Rules are the limits of a group's sessions. Without any, the zero value, sessions only
// have to follow RFC 6455.
type Rules struct {
	Client, Backend Traffic       // what each side may send
	Idle            time.Duration // without a data frame
	Lifetime        time.Duration // sessions end in the last tenth of it
	Ping            time.Duration // silence of a side before it gets a ping
	Pong            time.Duration // for something to come after the ping
	Stall           time.Duration // in which a side may take nothing of the bytes that wait for it, or not end a TLS record
	Buffer          int           // bytes that a direction holds while its reader does not take them; 0 means 64 KiB
}

// Traffic is what one side of a session may send. Sizes are of payload as it is on the
// wire: compressed where permessage-deflate was negotiated.
type Traffic struct {
	Frame, Message int64   // bytes; 0 means any
	MessageRate    float64 // data messages a second; 0 means any
	MessageBurst   int64
	ByteRate       float64 // bytes a second, headers and control frames too; 0 means any
	ByteBurst      int64
	EndOverRate    bool // true: a side over a rate ends the session; false: it is read more slowly
}

// compiledRules are Rules, with what a frame.Direction asks of them.
type compiledRules struct {
	Rules
	limits [2]*frame.Limits // by Side; nil means none
}

// Set makes r the rules of the group's sessions, of those that are open too: a session reads
// the rules with every frame. It reports whether they changed. If so, the caller has to pass
// the group to RulesChanged of the engine: the group's sessions then forget what they have
// used of their rates, and set their timers again.
func (g *Group) Set(r Rules) (changed bool) {
	if old := g.rules.Load(); old != nil && old.Rules == r || old == nil && r == (Rules{}) {
		return false
	}
	c := &compiledRules{Rules: r}
	for side, of := range [...]Traffic{Client: r.Client, Backend: r.Backend} {
		if of == (Traffic{}) {
			continue
		}
		c.limits[side] = &frame.Limits{
			Frame: of.Frame, Message: of.Message, EndOverRate: of.EndOverRate,
			MessageRate: limit.NewBucket(of.MessageRate, of.MessageBurst),
			ByteRate:    limit.NewBucket(of.ByteRate, of.ByteBurst),
		}
	}
	g.rules.Store(c)
	return true
}

// Rates are the rates of both sides, as numbers that differ where they do. What a session has used of its
// rates means nothing under others.
type Rates [8]uint64

// Rates returns those in force.
func (g *Group) Rates() (all Rates) {
	r := g.rules.Load()
	if r == nil {
		return all
	}
	for side, t := range [...]*Traffic{Client: &r.Client, Backend: &r.Backend} {
		copy(all[4*side:], []uint64{math.Float64bits(t.MessageRate), uint64(t.MessageBurst), math.Float64bits(t.ByteRate), uint64(t.ByteBurst)})
	}
	return all
}

// SessionJoined counts a session as open. An engine calls it in Join; [Core.Finish] takes
// the session off the count.
func (g *Group) SessionJoined() { g.open.Add(1) }

// Open returns the number of sessions that have joined and not finished.
func (g *Group) Open() int64 { return g.open.Load() }
