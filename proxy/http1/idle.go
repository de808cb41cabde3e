//go:build linux && !portable

package http1

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/loop"
	"sluice/proxy/backend/dial"
)

const (
	idlePerEndpoint = 256                     // connections that are kept without a request, over all loops
	idleTime        = int64(60 * time.Second) // for which they are kept
)

// idleCounts is how many idle connections to one endpoint each loop has. Each loop writes its
// own number; all read them.
type idleCounts []atomic.Int32

// total returns how many there are.
func (c idleCounts) total() (n int32) {
	for i := range c {
		n += c[i].Load()
	}
	return n
}

// other returns a loop that has one, but is not that of number; -1 if there is none.
func (c idleCounts) other(number int) int {
	for i := range c {
		if i != number && c[i].Load() > 0 {
			return i
		}
	}
	return -1
}

// idleSets is the counts of all endpoints. Any goroutine may use it.
type idleSets struct {
	mu     sync.Mutex
	counts map[*dial.Dialer]*sharedCounts
}

type sharedCounts struct {
	idleCounts
	users int // loops that have the endpoint
}

// join returns the counts of an endpoint for one more loop, of so many in all.
func (s *idleSets) join(d *dial.Dialer, loops int) idleCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts[d]
	if c == nil {
		if s.counts == nil {
			s.counts = make(map[*dial.Dialer]*sharedCounts)
		}
		c = &sharedCounts{idleCounts: make(idleCounts, loops)}
		s.counts[d] = c
	}
	c.users++
	return c.idleCounts
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
	counts idleCounts
	since  int64 // the moment since which there are none
}

// idleOf returns the set of an endpoint. When it makes a new one, it forgets those that were
// empty for long: their endpoints may not be there any more.
func (u *upstreams) idleOf(d *dial.Dialer) *idleSet {
	if s := u.idle[d]; s != nil {
		return s
	}
	for d, s := range u.idle {
		if len(s.all) == 0 && u.Now()-s.since > idleTime {
			delete(u.idle, d)
			u.sets.leave(d)
		}
	}
	if u.idle == nil {
		u.idle = make(map[*dial.Dialer]*idleSet)
	}
	s := &idleSet{counts: u.sets.join(d, len(u.all)), since: u.Now()}
	u.idle[d] = s
	return s
}

// changed notes how many connections the set has now.
func (u *upstreams) changed(s *idleSet) {
	s.counts[u.clients.number].Store(int32(len(s.all)))
	s.since = u.Now()
}

// pop takes the idle connection that was used last and is still good, or returns nil.
func (u *upstreams) pop(s *idleSet) *upstream {
	for len(s.all) > 0 {
		up := s.all[len(s.all)-1]
		s.all = s.all[:len(s.all)-1]
		u.changed(s)
		if u.quiet(up) {
			return up
		}
		u.close(up)
	}
	return nil
}

// keep makes a connection idle, unless there are enough.
func (u *upstreams) keep(up *upstream) {
	s := u.idleOf(up.dialer)
	if s.counts.total() >= idlePerEndpoint {
		u.close(up)
		return
	}
	s.all = append(s.all, up)
	u.changed(s)
	if up.slot.since = u.Now(); up.slot.Timer() == 0 {
		u.SetTimer(&up.slot.Entry, up.slot.since+idleTime)
	}
}

// forget takes a connection out of the idle ones.
func (u *upstreams) forget(up *upstream) {
	s := u.idleOf(up.dialer)
	if i := slices.Index(s.all, up); i >= 0 {
		s.all = slices.Delete(s.all, i, i+1)
		u.changed(s)
	}
}

// closeIdle closes the idle connections to an endpoint: it has closed one of them.
func (u *upstreams) closeIdle(d *dial.Dialer) {
	s := u.idleOf(d)
	for _, up := range s.all {
		u.close(up)
	}
	s.all = nil
	u.changed(s)
}

// borrow asks another loop for an idle connection to an endpoint. What it returns is connecting
// until that loop has answered; then it is that connection or, if there was none any more, a
// new one.
func (u *upstreams) borrow(d *dial.Dialer, from *upstreams) *upstream {
	up := u.add(d)
	id := up.slot.SlotID()
	if !from.Post(func() {
		lent := nothing
		if s := from.idle[d]; s != nil {
			if up := from.pop(s); up != nil {
				lent = from.lend(up)
			}
		}
		u.Post(func() { u.borrowed(id, lent) })
	}) {
		u.borrowed(id, nothing)
	}
	return up
}

// nothing is no socket.
var nothing = dial.Socket{FD: -1}

// lend forgets a connection that another loop gets.
func (u *upstreams) lend(up *upstream) (s dial.Socket) {
	_ = u.Control(unix.EPOLL_CTL_DEL, up.fd, &up.slot.Entry, 0, 0) // it is in the set
	s.FD = int(up.fd)
	s.State, s.Unread = u.clients.giveRecords(&up.records)
	u.giveAway(up)
	return s
}

// borrowed takes what another loop has lent, which may be nothing.
func (u *upstreams) borrowed(id loop.SlotID, lent dial.Socket) {
	_, r, ok := u.slots.At(id)
	if !ok {
		if lent.FD >= 0 {
			closeSocket(lent)
		}
		return
	}
	up := r.up
	c := up.conn
	defer u.clients.guard(c)
	if lent.FD < 0 {
		if err := u.open(up); err != nil {
			u.clients.failForward(c, err, Connecting)
		} else if !up.connecting {
			u.ready(up)
		}
		return
	}
	up.fd, up.used = int32(lent.FD), true
	up.records = u.clients.takeRecords(lent.State, lent.Unread)
	if err := u.watch(up); err != nil {
		u.clients.failForward(c, err, Connecting)
		return
	}
	u.ready(up)
}
