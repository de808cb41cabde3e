//go:build linux && !portable

package http1

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/loop"
	"sluice/proxy/backend/dial"
)

// emptySetTime is how long a loop remembers an endpoint to which it has no idle connection.
const emptySetTime = int64(time.Minute)

// triesPerLoop is how often a request asks for a connection that it was promised, for each loop.
// A try fails where others have taken what a loop had. After the last one the request opens a
// connection.
const triesPerLoop = 8

// idleCounts is the idle connections to one endpoint, of all loops. Any goroutine may use it.
//
// A request that takes one is promised it first. So it opens a new connection only while all
// others are in use or promised: endpoints may have no worker left for one more.
type idleCounts struct {
	free  atomic.Int32   // idle connections, less those that are promised; negative if some of these were closed
	of    []atomic.Int32 // idle connections of each loop, which alone writes its own number
	users int            // loops that have the endpoint; the lock of the sets guards it
}

// add counts one more idle connection, unless there are so many.
func (c *idleCounts) add(most int) bool {
	for {
		n := c.free.Load()
		if int(n) >= most {
			return false
		}
		if c.free.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// lose counts idle connections that were closed.
func (c *idleCounts) lose(n int) { c.free.Add(int32(-n)) }

// promise promises an idle connection, unless all are promised.
func (c *idleCounts) promise() bool {
	for {
		n := c.free.Load()
		if n <= 0 {
			return false
		}
		if c.free.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// breakOne ends a promise if there are fewer connections than promises.
func (c *idleCounts) breakOne() bool {
	for {
		n := c.free.Load()
		if n >= 0 {
			return false
		}
		if c.free.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// other returns a loop that has one, but is not that of number. If none seems to have one, it
// returns the next loop: a promised connection may have moved during the look.
func (c *idleCounts) other(number int) int {
	for i := range c.of {
		if i != number && c.of[i].Load() > 0 {
			return i
		}
	}
	return (number + 1) % len(c.of)
}

// idleSets is the counts of all endpoints. Any goroutine may use it.
type idleSets struct {
	mu     sync.Mutex
	counts map[*dial.Dialer]*idleCounts
}

// join returns the counts of an endpoint for one more loop, of so many in all.
func (s *idleSets) join(d *dial.Dialer, loops int) *idleCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts[d]
	if c == nil {
		if s.counts == nil {
			s.counts = make(map[*dial.Dialer]*idleCounts)
		}
		c = &idleCounts{of: make([]atomic.Int32, loops)}
		s.counts[d] = c
	}
	c.users++
	return c
}

// leave forgets the counts of an endpoint with the last loop that has it.
func (s *idleSets) leave(d *dial.Dialer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.counts[d]; c != nil {
		if c.users--; c.users == 0 {
			delete(s.counts, d)
		}
	}
}

// idleSet is the idle connections of one loop to one endpoint.
type idleSet struct {
	all    []*upstream // the one that was used last is the last one
	counts *idleCounts
	since  int64       // the moment since which there are none
	closed bool        // nothing is kept any more
	forget func() bool // stops the wait for the end of the dialer
}

// idleOf returns the set of an endpoint. When it makes a new one, it forgets those that were
// empty for long: their endpoints may not be there any more.
func (u *upstreams) idleOf(d *dial.Dialer) *idleSet {
	if s := u.idle[d]; s != nil {
		return s
	}
	for d, s := range u.idle {
		if len(s.all) == 0 && u.Now()-s.since > emptySetTime {
			s.forget()
			delete(u.idle, d)
			u.sets.leave(d)
		}
	}
	if u.idle == nil {
		u.idle = make(map[*dial.Dialer]*idleSet)
	}
	s := &idleSet{counts: u.sets.join(d, len(u.all)), since: u.Now()}
	s.forget = context.AfterFunc(d.Closed(), func() {
		u.Post(func() {
			s.closed = true
			u.closeAll(s)
		})
	})
	u.idle[d] = s
	return s
}

// changed notes how many connections the set has now.
func (u *upstreams) changed(s *idleSet) {
	s.counts.of[u.clients.number].Store(int32(len(s.all)))
	s.since = u.Now()
}

// reuse takes an idle connection to an endpoint, of this loop or of another one. It returns nil
// if there is none.
func (u *upstreams) reuse(d *dial.Dialer) *upstream {
	s := u.idleOf(d)
	if !s.counts.promise() {
		return nil
	}
	if up := u.pop(s); up != nil {
		return up
	}
	if s.counts.breakOne() {
		return nil
	}
	return u.borrow(d, s)
}

// pop takes the idle connection that was used last and is still good, which was promised, or
// returns nil.
func (u *upstreams) pop(s *idleSet) *upstream {
	for len(s.all) > 0 {
		up := s.all[len(s.all)-1]
		s.all = s.all[:len(s.all)-1]
		u.changed(s)
		if u.quiet(up) {
			return up
		}
		s.counts.lose(1)
		u.close(up)
	}
	return nil
}

// keep makes a connection idle, unless there are enough.
func (u *upstreams) keep(up *upstream) {
	s, how := u.idleOf(up.dialer), up.dialer.KeepAlive()
	if s.closed || how.Spent(up.requests) || !s.counts.add(how.Idle) {
		u.close(up)
		return
	}
	s.all = append(s.all, up)
	u.changed(s)
	if up.slot.since = u.Now(); up.slot.Timer() == 0 {
		u.SetTimer(&up.slot.Entry, up.slot.since+int64(how.Timeout))
	}
}

// forget takes a connection out of the idle ones.
func (u *upstreams) forget(up *upstream) {
	s := u.idleOf(up.dialer)
	if i := slices.Index(s.all, up); i >= 0 {
		s.all = slices.Delete(s.all, i, i+1)
		s.counts.lose(1)
		u.changed(s)
	}
}

// closeIdle closes the idle connections to an endpoint: it has closed one of them.
func (u *upstreams) closeIdle(d *dial.Dialer) { u.closeAll(u.idleOf(d)) }

func (u *upstreams) closeAll(s *idleSet) {
	for _, up := range s.all {
		u.close(up)
	}
	s.counts.lose(len(s.all))
	s.all = nil
	u.changed(s)
}

// lent is a connection on its way to another loop. Its FD is -1 if there was none.
type lent struct {
	dial.Socket
	requests int
}

// nothing is no connection.
var nothing = lent{Socket: dial.Socket{FD: -1}}

// borrow asks other loops for the idle connection to an endpoint that was promised. What it
// returns is connecting until one has answered; then it is that connection or, if it was closed
// meanwhile, a new one.
func (u *upstreams) borrow(d *dial.Dialer, s *idleSet) *upstream {
	up := u.add(d)
	u.ask(up, s, triesPerLoop*len(u.all))
	return up
}

// ask asks another loop for a connection, and others after it: so many in all.
func (u *upstreams) ask(up *upstream, s *idleSet, tries int) {
	id, d, from := up.slot.SlotID(), up.dialer, u.all[s.counts.other(u.clients.number)]
	answer := func(l lent) { u.Post(func() { u.borrowed(id, s, l, tries-1) }) }
	if !from.Post(func() { answer(from.lend(d)) }) {
		answer(nothing)
	}
}

// lend takes a promised connection out of the loop.
func (u *upstreams) lend(d *dial.Dialer) lent {
	if s := u.idle[d]; s != nil {
		if up := u.pop(s); up != nil {
			_ = u.Control(unix.EPOLL_CTL_DEL, up.fd, &up.slot.Entry, 0, 0) // it is in the set
			l := lent{dial.Socket{FD: int(up.fd)}, up.requests}
			l.State, l.Unread = u.clients.giveRecords(&up.records)
			u.giveAway(up)
			return l
		}
	}
	return nothing
}

// borrowed takes what another loop has lent. If that is nothing, so many other loops may still
// be asked.
func (u *upstreams) borrowed(id loop.SlotID, s *idleSet, l lent, tries int) {
	_, r, ok := u.slots.At(id)
	if !ok { // the request is over
		if l.FD >= 0 {
			closeSocket(l.Socket)
		} else {
			s.counts.free.Add(1)
		}
		return
	}
	up := r.up
	c := up.conn
	defer u.clients.guard(c)
	if l.FD < 0 { // one may have become idle here
		l = u.lend(up.dialer)
	}
	var err error
	switch {
	case l.FD >= 0:
		up.fd, up.requests, up.connecting = int32(l.FD), l.requests, false
		up.records = u.clients.takeRecords(l.State, l.Unread)
		err = u.watch(up)
	case s.counts.breakOne():
		err = u.open(up)
	case tries > 0:
		u.ask(up, s, tries)
		return
	default: // another request may have it
		s.counts.free.Add(1)
		err = u.open(up)
	}
	switch {
	case err != nil:
		u.clients.failForward(c, err, Connecting)
	case !up.connecting:
		u.ready(up)
	}
}
