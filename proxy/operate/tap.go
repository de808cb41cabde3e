package operate

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/gobwas/ws"

	"sluice/internal/admin"
	"sluice/internal/telemetry"
	"sluice/proxy/relay"
)

// maxTaps is how many sessions may be tapped at once.
const maxTaps = 16

// taps are the taps that are open.
type taps struct {
	mu   sync.Mutex
	open map[*tap]struct{}
}

// add adds a tap, unless there are as many as there may be.
func (s *taps) add(t *tap) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= maxTaps {
		return false
	}
	if s.open == nil {
		s.open = make(map[*tap]struct{})
	}
	s.open[t] = struct{}{}
	return true
}

func (s *taps) remove(t *tap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, t)
}

// all returns the taps that are open.
func (s *taps) all() []*tap {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.open))
}

// Tap returns what shows the frames of a session.
func (o *Operator) Tap(session string, want admin.TapOptions) (admin.Tap, error) {
	id, err := strconv.ParseUint(session, 16, 64)
	if err != nil {
		return nil, unknownSession(session)
	}
	t := &tap{id: id, operator: o}
	// Before the route is asked, so that a configuration that forbids payloads from then on finds the tap.
	if !o.taps.add(t) {
		return nil, fmt.Errorf("%d sessions are tapped already, which is the most", maxTaps)
	}
	if err := t.begin(want); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func unknownSession(session string) error {
	return fmt.Errorf("session %s: %w of this name", session, admin.ErrUnknown)
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
		return 0, forbidden(route)
	}
	return most, nil
}

func forbidden(route string) error {
	return fmt.Errorf("no tap may show payloads of the route %s: %w unless the route has 'tap: payload'", route, admin.ErrForbidden)
}

// EndForbiddenTaps ends the taps that show payloads which the configuration in force forbids. It is for
// each new configuration: a later one does not bring a tap back.
func (o *Operator) EndForbiddenTaps() {
	for _, t := range o.taps.all() {
		if t.isForbidden() {
			t.Close()
		}
	}
}

// tap is an [admin.Tap] of a session.
type tap struct {
	id       uint64
	operator *Operator
	frames   []relay.TappedFrame

	mu       sync.Mutex
	live     *relay.Tap // nil once it is closed, so that its memory is free at once
	route    string     // of the session, where payloads are shown
	payloads *payloads  // nil where only headers are shown
}

// begin makes t the tap of its session.
func (t *tap) begin(want admin.TapOptions) (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	shows := relay.TapOptions{Sample: want.Sample, Ops: opSet(want.Ops)}
	if want.Payload {
		if t.route, t.payloads = t.operator.payloadsOf(t.id); t.payloads == nil {
			return unknownSession(telemetry.SessionName(t.id))
		}
		if shows.Payload, err = t.operator.mostOf(t.route); err != nil {
			return err
		}
	}
	live := relay.NewTap(shows)
	switch found, tapped := t.operator.server.Engine().Tap(t.id, live); {
	case !found:
		return unknownSession(telemetry.SessionName(t.id))
	case !tapped:
		return fmt.Errorf("%w, or it is ending", admin.ErrBusy)
	}
	t.live = live
	return nil
}

// isForbidden reports whether t shows payloads which the configuration in force forbids.
func (t *tap) isForbidden() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.payloads == nil {
		return false
	}
	_, err := t.operator.mostOf(t.route)
	return err != nil
}

// open returns what shows the frames, or nil once t is closed.
func (t *tap) open() *relay.Tap {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.live
}

// Read implements [admin.Tap]. Payloads are shown for as long as the route allows it: a reload that takes
// the permission away ends the tap.
func (t *tap) Read(to []admin.Frame) (frames []admin.Frame, lost uint64, err error) {
	live := t.open()
	if live == nil {
		return to, 0, forbidden(t.route)
	}
	var over bool
	t.frames, lost, over = live.Read(t.frames[:0])
	defer clear(t.frames) // no payload stays longer than it takes
	most := 0
	if t.payloads != nil { // after the frames: none of them has come since a reload that forbids them
		if most, err = t.operator.mostOf(t.route); err != nil {
			return to, 0, err
		}
	}
	by := live.Clock()
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

// Close implements [admin.Tap]. It may be called at any time, and does nothing the second time.
func (t *tap) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live != nil {
		t.operator.server.Engine().Untap(t.id, t.live)
		t.live = nil
	}
	t.operator.taps.remove(t)
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
