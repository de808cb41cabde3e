package relay

import (
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/frame"
	"sluice/internal/limit"
)

// A Group is the sessions of one route. It lives as long as the route's
// identity, across configurations.
type Group struct {
	Name  string
	rules atomic.Pointer[compiledRules]
	open  atomic.Int64

	mu   sync.Mutex
	past Totals
}

// Totals is what the sessions of a group did.
type Totals struct {
	Sessions                uint64
	FromClient, FromBackend frame.Counts
}

// Rules is what the sessions of a group are held to. The zero value holds them
// to RFC 6455 alone.
type Rules struct {
	Client, Backend Traffic       // what each side may send
	Idle            time.Duration // without a data frame
	Lifetime        time.Duration // sessions end in its last tenth
	Ping            time.Duration // silence of a side before it gets a ping
	Pong            time.Duration // for something to come after it
	Stall           time.Duration // in which a side may take nothing of the bytes that wait for it
	Buffer          int           // bytes a direction holds while its reader does not take them; 0 means 64 KiB
}

// Traffic is what one side of a session may send. Sizes are of payload as it is
// on the wire: where permessage-deflate was negotiated, compressed.
type Traffic struct {
	Frame, Message int64   // bytes; 0 means any
	MessageRate    float64 // data messages a second; 0 means any
	MessageBurst   int64
	ByteRate       float64 // bytes a second, headers and control frames too; 0 means any
	ByteBurst      int64
	Close          bool // a side over a rate ends the session, instead of being read more slowly
}

// compiledRules is Rules as a core reads them.
type compiledRules struct {
	Rules
	limits                            [2]*frame.Limits // by Side; nil for none
	idle, lifetime, ping, pong, stall int64
	buffer                            int
}

// Set holds the group's sessions, those that are open too, to r. It reports
// whether that is new; then the engine has to Review them.
func (g *Group) Set(r Rules) (changed bool) {
	if old := g.rules.Load(); old != nil && old.Rules == r || old == nil && r == (Rules{}) {
		return false
	}
	t := &compiledRules{
		Rules: r, idle: int64(r.Idle), lifetime: int64(r.Lifetime), ping: int64(r.Ping), pong: int64(r.Pong), stall: int64(r.Stall),
		buffer: r.Buffer,
	}
	for side, of := range [...]Traffic{Client: r.Client, Backend: r.Backend} {
		if of == (Traffic{}) {
			continue
		}
		t.limits[side] = &frame.Limits{
			Frame: of.Frame, Message: of.Message, Close: of.Close,
			Messages: limit.NewPace(of.MessageRate, of.MessageBurst),
			Bytes:    limit.NewPace(of.ByteRate, of.ByteBurst),
		}
	}
	g.rules.Store(t)
	return true
}

// Open returns the number of sessions that have begun and not ended.
func (g *Group) Open() int64 { return g.open.Load() }

// Past returns what the sessions that have ended did.
func (g *Group) Past() Totals {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.past
}

// countEnded is for a session that is over.
func (g *Group) countEnded(c core) {
	g.open.Add(-1)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.past.Sessions++
	g.past.FromClient.Add(&c.sides[Client].dir.Counts)
	g.past.FromBackend.Add(&c.sides[Backend].dir.Counts)
}

// readSize returns how much of a side may be read at once, in bytes: at most most.
// It is what a direction holds at most while its reader does not take it.
func (c core) readSize(from Side, most int) int {
	r := c.group.rules.Load()
	if r == nil || r.buffer == 0 {
		return most
	}
	return min(most, r.buffer)
}
