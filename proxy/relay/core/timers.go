package core

import "time"

const (
	// CloseTimeout is how long a side may take to answer a Close frame, and how long a
	// Close frame waits for what has to go before it, which the other side still sends.
	CloseTimeout = 5 * time.Second
	// LingerTime is how long a peer may take to close its end of the connection when
	// the session is over.
	LingerTime = 2 * time.Second
	// AbortLingerTime is LingerTime when the engine stops.
	AbortLingerTime = 200 * time.Millisecond
	// LingerBytes is how much is read and dropped of a side that sends on meanwhile.
	LingerBytes = 1 << 20
)

// AwaitAnswers starts the time in which a closing session waits for answers, unless it has
// started.
func (c Core) AwaitAnswers(now int64) {
	if c.planned != 0 || c.deadline == 0 {
		c.planned, c.deadline = 0, now+int64(CloseTimeout)
	}
}

// PlanEnd makes the session end at a moment, unless it is to end sooner or is ending.
// It reports whether it changed something.
func (c Core) PlanEnd(e Ending, at int64) (planned bool) {
	at = max(at, 1) // 0 means none
	if c.Closing() || c.deadline != 0 && at >= c.deadline {
		return false
	}
	c.deadline, c.planned = at, e.Cause
	switch {
	case e.Code != 0 || e.Reason != "":
		c.ensureOutcome().planned = &e
	case c.outcome != nil:
		c.outcome.planned = nil
	}
	return true
}

// plannedEnd returns how the session ends at its deadline.
func (c Core) plannedEnd() Ending {
	if c.outcome != nil && c.outcome.planned != nil {
		return *c.outcome.planned
	}
	return Ending{Cause: c.planned}
}

// Linger sets the moment at which the sockets of a finished session are closed.
func (c Core) Linger(until int64) { c.deadline = until }

// LingersUntil returns that moment.
func (c Core) LingersUntil() int64 { return c.deadline }

// NextDue returns the moment at which Tick has something to do, or 0. The moment moves as
// the session goes on, mostly to later. At that moment a side that is over a rate may be
// readable again, too. Blocked and partial are as for Tick.
func (c Core) NextDue(now int64, blocked, partial [2]int64) int64 {
	when := c.deadline
	if c.Closing() {
		return when
	}
	sooner := func(t int64) {
		if when == 0 || t < when {
			when = t
		}
	}
	for i := range c.sides {
		if t := c.Until(Side(i)); t > now {
			sooner(t)
		}
	}
	r := c.part.rules.Load()
	if r == nil {
		return when
	}
	if r.Lifetime > 0 {
		sooner(c.lifetimeEnd(r))
	}
	if r.Idle > 0 {
		sooner(c.lastData() + int64(r.Idle))
	}
	for i := range c.sides {
		if t := c.sides[i].silenceLimit(r); t != 0 {
			sooner(t)
		}
		for _, since := range [...]int64{blocked[i], partial[i]} {
			if since != 0 && r.Stall > 0 {
				sooner(since + int64(r.Stall))
			}
		}
	}
	return when
}

// Tick does what is due. It reports whether the time to wait for answers is over: then
// the session is over too.
//
// Blocked has by side the moment since which the side has taken nothing of the bytes that
// wait for it, 0 where none wait. While bytes wait for a side, the other side is not read.
// Partial has by side the moment since which the gateway waits for the rest of a TLS record
// that the side has begun, 0 while it does not.
func (c Core) Tick(now int64, blocked, partial [2]int64) (expired bool) {
	if c.Closing() {
		switch {
		case c.deadline == 0 || c.deadline > now:
			return false
		case c.stopWaitingForPeer():
			c.deadline = now + int64(CloseTimeout) // for the end of the frame under way
			return false
		}
		c.Expire()
		return true
	}
	if c.deadline != 0 && c.deadline <= now {
		c.End(c.plannedEnd(), Gateway)
		return false
	}
	r := c.part.rules.Load()
	switch {
	case r == nil:
		return false
	case r.Lifetime > 0 && c.lifetimeEnd(r) <= now:
		c.End(Ending{Cause: Lifetime}, Gateway)
		return false
	case r.Idle > 0 && c.lastData()+int64(r.Idle) <= now:
		c.End(Ending{Cause: Idle}, Gateway)
		return false
	}
	for _, stalls := range [...][2]int64{blocked, partial} {
		for i, since := range stalls {
			if since != 0 && r.Stall > 0 && since+int64(r.Stall) <= now {
				c.End(Ending{Cause: Stalled}, Side(i))
				return false
			}
		}
	}
	c.checkSilence(Client, r, now, blocked)
	c.checkSilence(Backend, r, now, blocked)
	return false
}

// lastData returns the moment of the last data frame in either direction.
func (c Core) lastData() int64 { return max(c.sides[Client].dir.Last, c.sides[Backend].dir.Last) }

// lifetimeEnd returns the moment at which the session is as old as it may become. Each
// session has its own moment in the last tenth of what r allows, so that sessions that
// began together do not end together.
func (c Core) lifetimeEnd(r *compiledRules) int64 {
	return c.opened + int64(r.Lifetime) - int64(float64(int64(r.Lifetime)/10)*float64(uint32(c.id))/(1<<32))
}
