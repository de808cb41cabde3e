package relay

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Portable is the engine for every system and every kind of connection: two
// goroutines a session. While a direction is silent it holds a buffer of 512
// bytes; one of 32 KiB if the last read filled that to the byte.
type Portable struct {
	ended   func(Report)
	buffers sync.Pool

	mu       sync.Mutex
	sessions map[*session]bool // those with open sockets; true until reported
	empty    chan struct{}     // closed when the last session has left; nil while nobody waits
	stopped  bool
}

// NewPortable returns an engine that reports every session's end to ended,
// which must not block.
func NewPortable(ended func(Report)) *Portable {
	return &Portable{
		ended:    ended,
		buffers:  sync.Pool{New: func() any { b := make([]byte, busyBuffer); return &b }},
		sessions: make(map[*session]bool),
	}
}

// Run waits for ctx to end, cuts the sessions that are left and returns when
// all of them are reported and their sockets closed.
func (p *Portable) Run(ctx context.Context) error {
	<-ctx.Done()
	p.mu.Lock()
	p.stopped = true
	for s := range p.sessions {
		s.cut()
	}
	p.mu.Unlock()
	<-p.none()
	return nil
}

// Join takes a session over and returns at once. The connections are closed,
// and the session is reported as any other, when the engine has stopped.
func (p *Portable) Join(o Session) {
	s := &session{Session: o, engine: p, finished: make(chan struct{}), core: newCore(&o)}
	o.Group.open.Add(1)
	p.mu.Lock()
	p.sessions[s] = true
	if p.stopped {
		s.cut()
	}
	p.mu.Unlock()
	go s.run()
}

// report tells the sink of a session that is over.
func (p *Portable) report(s *session) {
	p.mu.Lock()
	p.sessions[s] = false
	p.mu.Unlock()
	s.Group.open.Add(-1)
	c := &s.core
	p.ended(Report{
		View: s.view(), Owner: s.Owner, Duration: s.duration,
		Cause: c.cause, By: c.by, Code: c.code, Reason: c.reason, Detail: c.detail,
	})
}

// leave forgets a session whose sockets are closed.
func (p *Portable) leave(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sessions, s)
	if len(p.sessions) == 0 && p.empty != nil {
		close(p.empty)
		p.empty = nil
	}
}

// none returns a channel that is closed as soon as no session has open sockets.
func (p *Portable) none() <-chan struct{} {
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
	case <-p.none():
	case <-ctx.Done():
	}
}

// End ends the sessions that match, each at a random moment within spread, and
// returns how many there are.
func (p *Portable) End(match func(View) bool, cause Cause, spread time.Duration) int {
	n := 0
	for _, s := range p.all() {
		if !match(s.view()) {
			continue
		}
		n++
		if spread <= 0 {
			s.end(cause)
			continue
		}
		time.AfterFunc(rand.N(spread), func() { s.end(cause) })
	}
	return n
}

// Each calls yield with every session that is not over until it returns false.
func (p *Portable) Each(yield func(View) bool) {
	for _, s := range p.all() {
		if !yield(s.view()) {
			return
		}
	}
}

func (p *Portable) all() []*session {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*session, 0, len(p.sessions))
	for s, open := range p.sessions {
		if open {
			all = append(all, s)
		}
	}
	return all
}
