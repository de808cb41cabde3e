package core

// checkSilence sends a ping to a side that is silent, or ends the session if a side has
// not answered in time. A side also answers by taking some of the bytes that wait for it.
func (c Core) checkSilence(of Side, r *compiledRules, now int64, blocked [2]int64) {
	e := &c.sides[of]
	asked := e.pingDue || e.pingSent
	if asked {
		e.silentSince = max(e.silentSince, blocked[of])
	}
	limit := e.silenceLimit(r)
	notRead := blocked[of.Other()] != 0 || c.Until(of) > now
	switch {
	case limit == 0 || limit > now:
	case blocked[of] == 0 && (notRead || e.pingDue && !c.atBoundary(of)):
		e.silentSince = now // it is not read, or the other side is slow to end its frame
	case asked:
		c.End(Ending{Cause: Unanswered}, of)
	default:
		// A side may answer only the last of several pings (RFC 6455, section
		// 5.5.3). While it still has to answer a ping of the other side, the
		// gateway sends none and waits for that answer.
		e.silentSince, e.pingSent = now, e.owesPong(r, now)
		e.pingDue = !e.pingSent
	}
}

// silenceLimit returns the moment until which a side may be silent: then it gets a ping,
// or has not answered the last one. 0 means that the rules ask for no pings.
func (e *side) silenceLimit(r *compiledRules) int64 {
	switch {
	case r.Ping == 0:
		return 0
	case e.pingDue || e.pingSent:
		return e.silentSince + int64(r.Pong)
	case e.dir.OwedPong != 0 && e.peerPingAt < e.silentSince: // it sends, and may still answer
		return max(e.silentSince+int64(r.Ping), e.peerPingAt+int64(r.Pong))
	}
	return e.silentSince + int64(r.Ping)
}

// owesPong reports whether a side may still answer the last ping of the other side.
func (e *side) owesPong(r *compiledRules, now int64) bool {
	return e.dir.OwedPong != 0 && e.peerPingAt+int64(r.Pong) > now
}

// noteRead notes that something came from a side.
func (e *side) noteRead(now int64) { e.silentSince, e.pingDue, e.pingSent = now, false, false }

// notePing notes that a ping of the other side goes to a side. It also serves as the
// gateway's ping, if one is due.
func (e *side) notePing(mark uint32, now int64) {
	e.dir.OwedPong, e.peerPingAt = mark, now
	if e.pingDue {
		e.pingDue, e.pingSent, e.silentSince = false, true, now
	}
}
