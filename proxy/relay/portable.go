package relay

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Portable is the engine for every system and every kind of connection: two
// goroutines a session. While a direction is silent it holds a buffer of 512
// bytes.
type Portable struct {
	ended   func(Report)
	buffers sync.Pool

	mu       sync.Mutex
	sessions map[*session]struct{}
	held     int           // sessions with open sockets; the last of them are over already
	drained  chan struct{} // closed when held becomes 0; nil while nobody waits
	stopped  bool
	wg       sync.WaitGroup
}

// New returns an engine that reports every session's end to ended, which must
// not block.
func New(ended func(Report)) *Portable {
	return &Portable{
		ended:    ended,
		buffers:  sync.Pool{New: func() any { b := make([]byte, busyBuffer); return &b }},
		sessions: make(map[*session]struct{}),
	}
}

// Run waits for ctx to end, cuts the sessions that are left and returns when
// all of them are reported.
func (p *Portable) Run(ctx context.Context) error {
	<-ctx.Done()
	p.mu.Lock()
	p.stopped = true
	for s := range p.sessions {
		s.cut()
	}
	p.mu.Unlock()
	p.wg.Wait()
	return nil
}

// Join takes a session over and returns at once. The connections are closed,
// and the session is reported as any other, when the engine has stopped.
func (p *Portable) Join(o Session) {
	s := &session{Session: o, engine: p, finished: make(chan struct{}), core: newCore(&o)}
	o.Group.open.Add(1)
	p.mu.Lock()
	p.sessions[s] = struct{}{}
	p.held++
	p.wg.Add(1)
	if p.stopped {
		s.cut()
	}
	p.mu.Unlock()
	go s.run()
}

// report takes a session that is over out of the engine and tells the sink.
func (p *Portable) report(s *session) {
	p.mu.Lock()
	delete(p.sessions, s)
	p.mu.Unlock()
	s.Group.open.Add(-1)
	c := &s.core
	p.ended(Report{
		View: s.view(), Owner: s.Owner, Duration: s.duration,
		Cause: c.cause, By: c.by, Code: c.code, Reason: c.reason, Detail: c.detail,
	})
}

// leave notes that the sockets of a session are closed.
func (p *Portable) leave() {
	p.mu.Lock()
	if p.held--; p.held == 0 && p.drained != nil {
		close(p.drained)
		p.drained = nil
	}
	p.mu.Unlock()
	p.wg.Done()
}

// Drained waits until the sockets of all sessions are closed, or until ctx
// ends. One goroutine may wait.
func (p *Portable) Drained(ctx context.Context) {
	p.mu.Lock()
	if p.held == 0 {
		p.mu.Unlock()
		return
	}
	drained := make(chan struct{})
	p.drained = drained
	p.mu.Unlock()
	select {
	case <-drained:
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

// Each calls yield with every session until it returns false.
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
	for s := range p.sessions {
		all = append(all, s)
	}
	return all
}
