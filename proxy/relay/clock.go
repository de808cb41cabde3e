package relay

import (
	"crypto/rand"
	mathrand "math/rand/v2"
	"time"

	"sluice/internal/frame"
)

const (
	closeTimeout = 5 * time.Second        // for the answer to a Close frame, and for what the other side says before its own
	lingerTime   = 2 * time.Second        // for the peer to close its end, once all is said
	cutTime      = 200 * time.Millisecond // the same when the engine stops

	lingerBytes = 1 << 20 // read and dropped meanwhile
)

// clock is where the moments of an engine count from.
type clock struct{ epoch time.Time }

func newClock() clock { return clock{time.Now().Add(-1)} }

// now returns the present moment.
func (c clock) now() int64 { return int64(time.Since(c.epoch)) }

// time returns the time of a moment.
func (c clock) time(moment int64) time.Time { return c.epoch.Add(time.Duration(moment)) }

// await has the session, which is closing, wait for answers until a moment,
// unless it does so already.
func (c core) await(now int64) {
	if c.planned != 0 || c.deadline == 0 {
		c.planned, c.deadline = 0, now+int64(closeTimeout)
	}
}

// plan has the session ended at a moment, unless an earlier one is planned.
func (c core) plan(cause Cause, at int64) {
	if !c.closing() && (c.deadline == 0 || at < c.deadline) {
		c.deadline, c.planned = at, cause
	}
}

// due returns the moment at which tick has something to do, or 0. It moves as
// the session goes on, mostly to later. A side that is over a rate may be read
// again then too. Stuck and begun are as for tick.
func (c core) due(now int64, stuck, begun [2]int64) int64 {
	when := c.deadline
	if c.closing() {
		return when
	}
	sooner := func(t int64) {
		if when == 0 || t < when {
			when = t
		}
	}
	for side := range c.ends {
		if t := c.until(Side(side)); t > now {
			sooner(t)
		}
	}
	r := c.group.rules.Load()
	if r == nil {
		return when
	}
	if r.lifetime > 0 {
		sooner(c.lifeEnd(r))
	}
	if r.idle > 0 {
		sooner(c.last() + r.idle)
	}
	for side := range c.ends {
		if t := c.ends[side].silent(r); t != 0 {
			sooner(t)
		}
		for _, since := range [...]int64{stuck[side], begun[side]} {
			if since != 0 && r.stall > 0 {
				sooner(since + r.stall)
			}
		}
	}
	return when
}

// tick does what is due. Stuck is, by side, the moment since which it has taken
// nothing of the bytes that wait for it, 0 where none do; while they do, the
// other side is not read. Begun is, by side, since when the gateway waits for the
// rest of a TLS record from it, 0 while it does not. It reports whether the time to
// wait for answers is over, and the session with it.
func (c core) tick(now int64, stuck, begun [2]int64) (expired bool) {
	if c.closing() {
		switch {
		case c.deadline == 0 || c.deadline > now:
			return false
		case c.hush():
			c.deadline = now + int64(closeTimeout) // for the end of the frame under way
			return false
		}
		c.expire()
		return true
	}
	if c.deadline != 0 && c.deadline <= now {
		c.end(c.planned, Gateway)
		return false
	}
	r := c.group.rules.Load()
	switch {
	case r == nil:
		return false
	case r.lifetime > 0 && c.lifeEnd(r) <= now:
		c.end(Lifetime, Gateway)
		return false
	case r.idle > 0 && c.last()+r.idle <= now:
		c.end(Idle, Gateway)
		return false
	}
	for _, stalls := range [...][2]int64{stuck, begun} {
		for side, since := range stalls {
			if since != 0 && r.stall > 0 && since+r.stall <= now {
				c.end(Stalled, Side(side))
				return false
			}
		}
	}
	c.probe(Client, r, now, stuck)
	c.probe(Backend, r, now, stuck)
	return false
}

// probe asks a side that is silent for a sign of life, or ends the session when
// none has come in time. Bytes that it takes, of those that wait for it, are one.
func (c core) probe(side Side, r *terms, now int64, stuck [2]int64) {
	e := &c.ends[side]
	asked := e.ping || e.asked
	if asked {
		e.seen = max(e.seen, stuck[side])
	}
	when := e.silent(r)
	unheard := stuck[side.other()] != 0 || c.until(side) > now
	switch {
	case when == 0 || when > now:
	case stuck[side] == 0 && (unheard || e.ping && !c.between(side)):
		e.seen = now // it is not read, or the other side is slow to end its frame
	case asked:
		c.end(Unanswered, side)
	default:
		// A side may answer only the last of several pings (RFC 6455, section
		// 5.5.3): while it owes the other side an answer, that ping serves.
		e.seen, e.asked = now, e.owes(r, now)
		e.ping = !e.asked
	}
}

// silent returns the moment from which on a side has said nothing for too long:
// it gets a ping, or has not answered the last one. It is 0 when nobody waits for
// it to speak.
func (e *end) silent(r *terms) int64 {
	switch {
	case r.ping == 0:
		return 0
	case e.ping || e.asked:
		return e.seen + r.pong
	case e.dir.Owes != 0 && e.pinged < e.seen: // it speaks, and may still answer
		return max(e.seen+r.ping, e.pinged+r.pong)
	}
	return e.seen + r.ping
}

// owes reports whether a side may still answer the last ping of the other one.
func (e *end) owes(r *terms, now int64) bool { return e.dir.Owes != 0 && e.pinged+r.pong > now }

// speaks notes that something came from a side.
func (e *end) speaks(now int64) { e.seen, e.ping, e.asked = now, false, false }

// hears notes that a ping of the other side goes to a side. It serves as the one
// of the gateway's that waits, if any.
func (e *end) hears(mark uint32, now int64) {
	e.dir.Owes, e.pinged = mark, now
	if e.ping {
		e.ping, e.asked, e.seen = false, true, now
	}
}

// last returns the moment of the last data frame in either direction.
func (c core) last() int64 { return max(c.ends[Client].dir.Last, c.ends[Backend].dir.Last) }

// lifeEnd returns the moment at which the session has lived long enough: one
// of its own in the last tenth of what r allows, so that sessions that began
// together do not end together.
func (c core) lifeEnd(r *terms) int64 {
	return c.opened + r.lifetime - int64(float64(r.lifetime/10)*float64(uint32(c.id))/(1<<32))
}

// next appends to dst the frame of the gateway's own that has to go to a side
// now: a Close or a ping, or nothing. It is to be asked when nothing that feed
// returned for the side is unwritten.
func (c core) next(to Side, dst []byte, now int64) []byte {
	e := &c.ends[to]
	switch {
	case e.notice.code == 0 && !e.ping, !c.between(to), e.notice.last && !c.ready(to):
		return dst
	}
	return c.inject(to, dst, now)
}

// inject is next when there is something.
func (c core) inject(to Side, dst []byte, now int64) []byte {
	e := &c.ends[to]
	var key [4]byte // a new one for each frame to a backend, whose client the gateway is (RFC 6455, section 5.3)
	mask := &key
	if to == Client {
		mask = nil
	}
	switch {
	case e.notice.code != 0:
		rand.Read(key[:])
		dst = frame.AppendClose(dst, e.notice.code, e.notice.reason(), mask)
		e.notice, e.ping, e.told = notice{}, false, true
	case e.ping && !e.told:
		rand.Read(key[:])
		if e.dir.Ping == 0 { // one for all pings to the side: pongs may come late, or together
			e.dir.Ping = max(mathrand.Uint64(), 1) // by ChaCha8, which nobody foretells
		}
		dst = frame.AppendPing(dst, e.dir.Ping, mask)
		e.ping, e.asked, e.seen = false, true, now
	}
	return dst
}
