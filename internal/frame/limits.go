package frame

import (
	"math"

	"github.com/gobwas/ws"

	"sluice/internal/limit"
)

// Limits is what one side may send. Sizes are of payload as it is on the wire: compressed
// where permessage-deflate was negotiated. The zero value limits nothing.
type Limits struct {
	Frame       int64        // bytes of a data frame; 0 means any
	Message     int64        // bytes of a data message; 0 means any
	MessageRate limit.Bucket // of data messages
	ByteRate    limit.Bucket // of everything on the wire, headers and control frames too

	// EndOverRate: if true, a side over a rate is refused (Excess), as over a size. If false,
	// it has to wait (Hold, [Direction.Until]).
	EndOverRate bool
}

// admit decides about a data frame by its header and, at the first frame of a message, takes a
// token of the message rate. Do is Forward, Hold or Excess.
func (d *Direction) admit(h *header, l *Limits, now int64) (do Action, limit Violation) {
	switch {
	case l.Frame > 0 && h.length > l.Frame:
		return Excess, FrameSize
	case l.Message > 0 && d.total(h) > l.Message:
		return Excess, MessageSize
	case h.op == ws.OpContinuation:
		return Forward, None
	}
	when := l.MessageRate.Take(&d.messagesFullAt, 1, now)
	switch {
	case when == 0:
		return Forward, None
	case l.EndOverRate:
		return Excess, MessageRate
	}
	d.waitUntil(when, MessageRate)
	return Hold, None
}

// admitWhole is admit for a message of one frame with n bytes, on the fast way: it reports
// whether admit would say Forward, and takes the token only then. The two must agree.
func (d *Direction) admitWhole(l *Limits, n, now int64) bool {
	return (l.Frame == 0 || n <= l.Frame) && (l.Message == 0 || n <= l.Message) &&
		(l.MessageRate.Unlimited() || l.MessageRate.Take(&d.messagesFullAt, 1, now) == 0)
}

// total returns the bytes of payload of the message under way, the frame of h included.
func (d *Direction) total(h *header) int64 {
	switch {
	case h.op != ws.OpContinuation:
		return h.length
	case h.length > math.MaxInt64-d.size: // a header can say so, although no one sends so much
		return math.MaxInt64
	}
	return d.size + h.length
}
