package relay

import (
	"context"
	"net"
	"sync"
	"time"
)

// Portable is the engine for every system and every kind of connection: two
// goroutines a session. While a direction is silent it holds a buffer of 512
// bytes; one of 64 KiB if the last read filled that to the byte.
type Portable struct {
	sink    Sink
	clock   clock
	buffers sync.Pool

	mu       sync.Mutex
	sessions map[*portableSession]bool // those with open sockets; true until reported
	empty    chan struct{}             // closed when the last session has left; nil while nobody waits
	stopped  bool
}

// NewPortable returns an engine that tells sink of every session's end.
func NewPortable(sink Sink) *Portable {
	return &Portable{
		sink:     sink,
		clock:    newClock(),
		buffers:  sync.Pool{New: func() any { b := make([]byte, busyBuffer); return &b }},
		sessions: make(map[*portableSession]bool),
	}
}

// Run waits for ctx to end, cuts the sessions that are left and returns when
// all of them are reported and their sockets closed.
func (p *Portable) Run(ctx context.Context) error {
	<-ctx.Done()
	p.mu.Lock()
	p.stopped = true
	for s := range p.sessions {
		s.abort()
	}
	p.mu.Unlock()
	<-p.whenEmpty()
	return nil
}

// Join takes a session over and returns at once. The connections are closed,
// and the session is reported as any other, when the engine has stopped.
func (p *Portable) Join(o Session) {
	if o.capturesRecords() {
		p.sink.Stayed("sluice has no event loops on this system")
		o.dropCaptures()
	}
	s := &portableSession{
		owner: o.Owner, note: o.Note, conns: [2]net.Conn{o.Client.Conn, o.Backend.Conn},
		engine: p, concluded: make(chan struct{}),
	}
	s.changed.L = &s.mu
	s.core = core{&s.state, &s.stateRefs}
	s.open(&o, p.clock.now())
	o.Group.open.Add(1)
	p.mu.Lock()
	p.sessions[s] = true
	if p.stopped {
		s.abort()
	}
	p.mu.Unlock()
	go s.run(o.Client.Early, o.Backend.Early)
}

// report tells the sink of a session that is over.
func (p *Portable) report(s *portableSession) {
	p.mu.Lock()
	p.sessions[s] = false
	p.mu.Unlock()
	s.mu.Lock()
	s.group.countEnded(s.core)
	r := s.core.report(s.owner, s.note, p.clock, s.endedAt)
	s.mu.Unlock()
	p.sink.Ended(r)
}

// remove forgets a session whose sockets are closed.
func (p *Portable) remove(s *portableSession) {
	p.sink.Closed(s.owner)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sessions, s)
	if len(p.sessions) == 0 && p.empty != nil {
		close(p.empty)
		p.empty = nil
	}
}

// whenEmpty returns a channel that is closed as soon as no session has open sockets.
func (p *Portable) whenEmpty() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	none := p.empty
	if none == nil {
		none = make(chan struct{})
		if len(p.sessions) == 0 {
			close(none)
		} else {
			p.empty = none
		}
	}
	return none
}

// Drained waits until the sockets of all sessions are closed, or until ctx
// ends.
func (p *Portable) Drained(ctx context.Context) {
	select {
	case <-p.whenEmpty():
	case <-ctx.Done():
	}
}

// End ends the sessions that match, each at a random moment within spread, and
// returns how many there are.
func (p *Portable) End(match func(View) bool, cause Cause, spread time.Duration) int {
	n := 0
	for _, s := range p.open() {
		if match(s.currentView()) {
			n++
			s.endWithin(cause, spread)
		}
	}
	return n
}

// Review has the sessions held to the rules of their groups as they are now.
func (p *Portable) Review() {
	for _, s := range p.open() {
		s.resetRates()
	}
}

// Memory returns how many bytes the engine holds that the Go runtime does not
// know of.
func (p *Portable) Memory() int64 { return 0 }

// Each calls yield with every session that is not over until it returns false.
func (p *Portable) Each(yield func(View) bool) {
	for _, s := range p.open() {
		if !yield(s.currentView()) {
			return
		}
	}
}

func (p *Portable) open() []*portableSession {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*portableSession, 0, len(p.sessions))
	for s, open := range p.sessions {
		if open {
			all = append(all, s)
		}
	}
	return all
}
