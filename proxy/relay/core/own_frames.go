package core

import (
	"crypto/rand"
	mathrand "math/rand/v2"

	"sluice/internal/frame"
)

// AppendOwn appends to dst the frame of the gateway's own that goes to a side now: a Close
// frame, a ping, or nothing. It is called when all that Feed returned for the side is
// written.
func (c Core) AppendOwn(to Side, dst []byte, now int64) []byte {
	e := &c.sides[to]
	waits := e.pendingClose.code != 0 || e.pingDue
	if !waits || !c.atBoundary(to) || e.pendingClose.afterPeer && !c.closeReady(to) {
		return dst
	}
	own := len(dst)
	dst = c.appendOwnFrame(to, dst, now)
	if t := c.tap(); t != nil && len(dst) > own {
		t.own(to, dst[own:], now)
	}
	return dst
}

// appendOwnFrame appends the frame that waits for a side.
func (c Core) appendOwnFrame(to Side, dst []byte, now int64) []byte {
	e := &c.sides[to]
	var key [4]byte // a new one for each frame to a backend, whose client the gateway is (RFC 6455, section 5.3)
	mask := &key
	if to == Client {
		mask = nil
	}
	switch {
	case e.pendingClose.code != 0:
		rand.Read(key[:])
		dst = frame.AppendClose(dst, e.pendingClose.code, c.closeReason(&e.pendingClose), mask)
		e.pendingClose, e.pingDue, e.writeDone = pendingClose{}, false, true
	case e.pingDue && !e.writeDone:
		rand.Read(key[:])
		if e.dir.Ping == 0 { // one payload for all pings to the side: pongs may come late, or one for several pings
			e.dir.Ping = max(mathrand.Uint64(), 1) // from ChaCha8, so that no one can predict it
		}
		dst = frame.AppendPing(dst, e.dir.Ping, mask)
		e.pingDue, e.pingSent, e.silentSince = false, true, now
	}
	return dst
}
