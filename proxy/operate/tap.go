package operate

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/gobwas/ws"

	"sluice/internal/admin"
	"sluice/internal/telemetry"
	"sluice/proxy/relay"
)

// maxTaps is how many sessions may be tapped at once.
const maxTaps = 16

// Tap returns what shows the frames of a session.
func (o *Operator) Tap(session string, want admin.TapOptions) (admin.Tap, error) {
	unknown := fmt.Errorf("session %s: %w of this name", session, admin.ErrUnknown)
	id, err := strconv.ParseUint(session, 16, 64)
	if err != nil {
		return nil, unknown
	}
	t := &tap{id: id, operator: o}
	shows := relay.TapOptions{Sample: want.Sample, Ops: opSet(want.Ops)}
	if want.Payload {
		if t.route, t.payloads = o.payloadsOf(id); t.payloads == nil {
			return nil, unknown
		}
		if shows.Payload, err = o.mostOf(t.route); err != nil {
			return nil, err
		}
	}
	if o.taps.Add(1) > maxTaps {
		o.taps.Add(-1)
		return nil, fmt.Errorf("%d sessions are tapped already, which is the most", maxTaps)
	}
	t.tap = relay.NewTap(shows)
	switch found, tapped := o.server.Engine().Tap(id, t.tap); {
	case !found:
		o.taps.Add(-1)
		return nil, unknown
	case !tapped:
		o.taps.Add(-1)
		return nil, errors.New("somebody else taps this session, or it is ending")
	}
	return t, nil
}

// payloadsOf returns the route of a session, and what shows its payloads; nil if there is no such session.
func (o *Operator) payloadsOf(id uint64) (route string, p *payloads) {
	o.server.Engine().Each(func(v relay.View) bool {
		if v.ID == id {
			route, p = v.Group.Name, newPayloads(telemetry.Packed(v.Note).Session())
		}
		return p == nil
	})
	return route, p
}

// mostOf returns how much of each payload a tap of the sessions of a route may show. The error is
// [admin.ErrForbidden] if that is nothing.
func (o *Operator) mostOf(route string) (most int, err error) {
	if svc := o.current().Services[route]; svc != nil {
		most = svc.TapPayload
	}
	if most == 0 {
		return 0, fmt.Errorf("no tap may show payloads of the route %s: %w unless the route has 'tap: payload'", route, admin.ErrForbidden)
	}
	return most, nil
}

// tap is an [admin.Tap] of a session.
type tap struct {
	id       uint64
	tap      *relay.Tap
	operator *Operator
	frames   []relay.TappedFrame
	closed   bool

	route    string    // of the session
	payloads *payloads // nil where only headers are shown
}

// Read implements [admin.Tap]. Payloads are shown for as long as the route allows it: a reload that takes
// the permission away ends the tap.
func (t *tap) Read(to []admin.Frame) (frames []admin.Frame, lost uint64, err error) {
	most := 0
	if t.payloads != nil {
		if most, err = t.operator.mostOf(t.route); err != nil {
			return to, 0, err
		}
	}
	var over bool
	t.frames, lost, over = t.tap.Read(t.frames[:0])
	by := t.tap.Clock()
	for i := range t.frames {
		f := &t.frames[i]
		shown := admin.Frame{
			Time: by.Time(f.At), From: f.From.String(), To: f.To.String(), Op: opName(f.Op), Fin: f.Fin, Compressed: f.Compressed, Length: f.Length,
		}
		if t.payloads != nil {
			shown.Payload = t.payloads.show(f, most)
		}
		to = append(to, shown)
	}
	if over {
		err = admin.ErrOver
	}
	return to, lost, err
}

// Close implements [admin.Tap].
func (t *tap) Close() {
	if !t.closed {
		t.closed = true
		t.operator.server.Engine().Untap(t.id, t.tap)
		t.operator.taps.Add(-1)
	}
}

// opSet returns the opcodes that have these names, as in relay.TapOptions.
func opSet(names []string) (set uint16) {
	for op := range ws.OpCode(16) {
		if !op.IsReserved() && slices.Contains(names, opName(op)) {
			set |= 1 << op
		}
	}
	return set
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
