package operate

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/gobwas/ws"

	"sluice/internal/admin"
	"sluice/proxy/relay"
)

// maxTaps is how many sessions may be tapped at once.
const maxTaps = 16

// Tap returns what shows the frames of a session.
func (o *Operator) Tap(session string) (admin.Tap, error) {
	id, err := strconv.ParseUint(session, 16, 64)
	if err != nil {
		return nil, fmt.Errorf("session %s: %w of this name", session, admin.ErrUnknown)
	}
	if o.taps.Add(1) > maxTaps {
		o.taps.Add(-1)
		return nil, fmt.Errorf("%d sessions are tapped already, which is the most", maxTaps)
	}
	t := &tap{id: id, tap: new(relay.Tap), operator: o}
	switch found, tapped := o.server.Engine().Tap(id, t.tap); {
	case !found:
		o.taps.Add(-1)
		return nil, fmt.Errorf("session %s: %w of this name", session, admin.ErrUnknown)
	case !tapped:
		o.taps.Add(-1)
		return nil, errors.New("somebody else taps this session, or it is ending")
	}
	return t, nil
}

// tap is an [admin.Tap] of a session.
type tap struct {
	id       uint64
	tap      *relay.Tap
	operator *Operator
	frames   []relay.TappedFrame
	closed   bool
}

// Read implements [admin.Tap].
func (t *tap) Read(to []admin.Frame) (frames []admin.Frame, lost uint64, over bool) {
	t.frames, lost, over = t.tap.Read(t.frames[:0])
	by := t.tap.Clock()
	for i := range t.frames {
		f := &t.frames[i]
		to = append(to, admin.Frame{
			Time: by.Time(f.At), From: f.From.String(), To: f.To.String(), Op: opName(f.Op), Fin: f.Fin, Compressed: f.Compressed, Length: f.Length,
		})
	}
	return to, lost, over
}

// Close implements [admin.Tap].
func (t *tap) Close() {
	if !t.closed {
		t.closed = true
		t.operator.server.Engine().Untap(t.id, t.tap)
		t.operator.taps.Add(-1)
	}
}

func opName(op ws.OpCode) string {
	switch op {
	case ws.OpText:
		return "text"
	case ws.OpBinary:
		return "binary"
	case ws.OpPing:
		return "ping"
	case ws.OpPong:
		return "pong"
	case ws.OpClose:
		return "close"
	}
	return "continuation"
}
