package integration

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// verdict is all that is known of a session.
type verdict struct {
	*soaked
	record record
	of     [2]account // by side; of a handshake that failed only the client's
}

// judge compares what both ends have to say with the record of the log.
func (s *soak) judge(x *soaked) error {
	late := time.After(wstest.LongGuard)
	v := verdict{soaked: x}
	select {
	case v.record = <-x.logged:
	case <-late:
		return fmt.Errorf("no record of its end within %v", wstest.LongGuard)
	}
	s.note(v.record)
	for _, side := range bothSides {
		if side == backend && v.record.name() == "request" {
			break // the backend may have heard nothing of it
		}
		select {
		case v.of[side] = <-x.ends[side]:
		case <-late:
			return fmt.Errorf("the %v is not through within %v: %s", side, wstest.LongGuard, v.record.text("text"))
		}
	}
	if err := v.check(); err != nil {
		return fmt.Errorf("%w: %s", err, v.record.text("text"))
	}
	return nil
}

// note counts how sessions ended, and handshakes by the status of their answer.
func (s *soak) note(r record) {
	cause := r.text("cause")
	if cause == "" {
		cause = strconv.Itoa(r.number("status"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.causes[cause]++
}

func (v *verdict) check() error {
	for _, end := range v.of {
		if wrong := fault(""); errors.As(end.err, &wrong) {
			return wrong
		}
	}
	none := errors.Is(v.of[client].err, errNone)
	switch {
	case v.record.name() == "request":
		if !none || !v.mayFail() {
			return fmt.Errorf("nobody asked for a handshake to fail so (the client: %v)", v.of[client].err)
		}
		return nil
	case none && !v.fate.begs(client):
		return errors.New("there was a session without a client")
	case !v.mayEnd():
		return fmt.Errorf("nobody ended it so (the client: %v; the backend: %v)", v.of[client].err, v.of[backend].err)
	}
	for _, side := range bothSides {
		if got, want := v.of[side].code, v.code(side); got != 0 && got != want {
			return fmt.Errorf("the %v was told %d, want %d", side, got, want)
		}
	}
	return v.counts()
}

// mayFail reports whether a handshake may fail as its record says.
func (v *verdict) mayFail() bool {
	switch v.record.number("status") {
	case 404:
		return v.fate.route == soakRoutes[1]
	case 502:
		return v.fate.way == begs
	}
	return v.fate.begs(client)
}

// mayEnd reports whether the session may end as its record says: by its fate,
// or by what the configuration asks for.
func (v *verdict) mayEnd() bool {
	cause, by, at := v.record.text("cause"), v.record.text("ended_by"), v.fate.side
	switch cause {
	case "too large":
		return by == "client" || by == "backend"
	case "lifetime over":
		return by == "gateway"
	case "route removed":
		return by == "gateway" && v.fate.route == soakRoutes[1]
	}
	switch v.fate.way {
	case closes:
		return cause == "close" && by == at.String()
	case violates:
		return cause == "protocol violation" && by == at.String()
	case vanishes: // the other end has noticed
		return (cause == "close" || cause == by+" lost") && by == at.other().String()
	default:
		return cause == by+" lost" && by == at.String()
	}
}

// code returns the close code for a side (docs/architecture.md, section 6). A
// side that has ended its stream hears the answer to what the other one was told.
func (v *verdict) code(side side) ws.StatusCode {
	by := v.record.text("ended_by") == side.String()
	switch cause := v.record.text("cause"); {
	case cause == "close" && by:
		return ownCodes[side]
	case cause == "close":
		return ownCodes[side.other()]
	case cause == "too large" && by:
		return 1009
	case cause == "protocol violation" && by:
		return 1002
	case cause == "backend lost":
		return 1014
	case cause == "route removed" && side == client:
		return 1012
	}
	return 1001
}

// counts compares the counters. Where the session was closed well, they are
// what was sent and what was heard; else between the two.
func (v *verdict) counts() error {
	whole := v.fate.way == closes && v.record.text("cause") == "close"
	for _, from := range bothSides {
		sent, heard, logged := v.of[from].sent, v.of[from.other()].heard, v.logged(from)
		if whole {
			if v.of[from].err != nil {
				return fmt.Errorf("it should have been closed well; the %v: %w", from, v.of[from].err)
			}
			sent.controls++ // its Close frame
			heard.controls++
		}
		switch {
		case whole && (sent != logged || logged != heard):
			return fmt.Errorf("the %v sent %+v, the log has %+v, the %v heard %+v; want the same", from, sent, logged, from.other(), heard)
		case !heard.within(logged) || !logged.within(sent.closed()):
			return fmt.Errorf("the %v sent %+v, the log has %+v, the %v heard %+v; want no more each time", from, sent, logged, from.other(), heard)
		}
	}
	return nil
}

// logged returns the counters of what came from a side.
func (v *verdict) logged(from side) tally {
	n := func(what string) int { return v.record.number(from.String() + "_" + what) }
	return tally{n("messages"), n("frames"), n("controls"), n("bytes")}
}

// within reports whether t is nowhere more than most.
func (t tally) within(most tally) bool {
	return t.messages <= most.messages && t.frames <= most.frames && t.controls <= most.controls && t.bytes <= most.bytes
}

// closed returns t with a Close frame.
func (t tally) closed() tally {
	t.controls++
	return t
}
