package core

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/clock"
	"sluice/internal/wstest"
	"sluice/proxy/relay/frametest"
)

// coreFixture is a Core whose sockets are buffers and whose clock is a number. It keeps the
// contract of Feed, AppendOwn and Tick: a direction is not fed while its bytes wait to be
// written, or before its moment.
type coreFixture struct {
	Core
	deflate      bool
	held         [2][]byte     // by Side: came from it and waits for more, or for its time
	sent         [2][]byte     // by Side: all that came from it
	answers      [2][][]byte   // by Side: of those, pongs to the gateway's pings
	passed       [2][]byte     // by Side: what went on to it of the other's bytes
	own          [2][]ownFrame // by Side: the frames of the gateway's own that it got
	pings        [2]string     // by Side: payload of the last ping among them, until it is answered
	lastFed      [2]int64      // by Side: moment at which the core last had bytes from it, before the end began
	waiting      [2][]byte     // by Side: on its way to it
	blockedSince [2]int64      // by Side: the moment since which it takes nothing of that; 0 while nothing waits
	recordSince  [2]int64      // by Side: the moment since which the rest of a TLS record could have come; 0 while none is begun
	now          int64
	endedAt      int64    // moment at which the session's end began; 0 before
	blockedAtEnd [2]int64 // blockedSince at that moment
	expired      bool     // nothing is waited for any more
	changed      bool     // the rules changed
}

// ownFrame is a frame of the gateway's own.
type ownFrame struct {
	at    int // where in passed
	frame ws.Frame
}

func newCoreFixture(deflate bool, r Rules) *coreFixture {
	g := new(Group)
	g.Set(r)
	return &coreFixture{Core: newCore(&Session{Deflate: deflate, Group: g}), deflate: deflate, now: 1}
}

func newCore(s *Session) Core {
	if s.Group == nil {
		s.Group = new(Group)
	}
	return New(new(State), new(Refs), &Part{Group: s.Group}, s, 1)
}

// received returns everything that a side got. The payload of pings, which is random, is
// replaced by "gateway!".
func (p *coreFixture) received(side Side) []byte {
	var b []byte
	done := 0
	for _, own := range p.own[side] {
		if own.frame.Header.OpCode == ws.OpPing {
			own.frame = wstest.Ping("gateway!")
		}
		b = append(append(b, p.passed[side][done:own.at]...), frametest.Encode(side.Other(), own.frame)...)
		done = own.at
	}
	return append(b, p.passed[side][done:]...)
}

// receive feeds bytes of a side until the core wants no more or, if slow, until a write has to
// be waited for.
func (p *coreFixture) receive(from Side, b []byte, slow bool) {
	p.sent[from] = append(p.sent[from], b...)
	p.held[from] = append(p.held[from], b...)
	to := from.Other()
	for len(p.held[from]) > 0 && p.waiting[to] == nil && p.Until(from) <= p.now {
		out, used := p.Feed(from, p.held[from], p.now)
		if used == 0 {
			break
		}
		if len(out) > 0 {
			p.waiting[to], p.blockedSince[to] = bytes.Clone(out), p.now
		}
		if p.held[from] = p.held[from][used:]; p.endedAt == 0 {
			p.lastFed[from] = p.now
		}
		if !slow {
			p.written(to)
		}
		p.advance()
	}
	p.advance()
}

// pong returns the answer to the gateway's last ping to a side.
func (p *coreFixture) pong(from Side) []byte {
	b := frametest.Encode(from, wstest.Pong(p.pings[from]))
	p.answers[from] = append(p.answers[from], b)
	p.pings[from] = ""
	return b
}

// sentByPeer returns what came from a side without its answers to the gateway.
func (p *coreFixture) sentByPeer(from Side) []byte {
	b := p.sent[from]
	for _, pong := range p.answers[from] {
		b = bytes.Replace(b, pong, nil, 1)
	}
	return b
}

// advanceTime lets time pass: what is due happens at its moment.
func (p *coreFixture) advanceTime(d time.Duration) {
	end := p.now + int64(d)
	for {
		when := p.NextDue(p.now, p.blockedSince, p.recordSince)
		if when == 0 || when > end || p.expired || p.Over() {
			break
		}
		p.now = max(p.now, when)
		p.expired = p.Tick(p.now, p.blockedSince, p.recordSince)
		p.advance()
		for side := range p.sides {
			p.receive(Side(side), nil, false)
		}
		if again := p.NextDue(p.now, p.blockedSince, p.recordSince); again != 0 && again <= p.now && !p.expired && !p.Over() {
			panic(fmt.Sprintf("what was due at %d is due at %d after it", p.now, again))
		}
	}
	p.now = end
}

func (p *coreFixture) written(to Side) {
	p.passed[to] = append(p.passed[to], p.waiting[to]...)
	p.waiting[to], p.blockedSince[to] = nil, 0
	p.advance()
}

func (p *coreFixture) advance() {
	if p.Closing() {
		if p.endedAt == 0 {
			p.endedAt, p.blockedAtEnd = p.now, p.blockedSince
		}
		p.AwaitAnswers(p.now)
	}
	for side := range p.sides {
		for p.waiting[side] == nil {
			b := p.AppendOwn(Side(side), nil, p.now)
			if len(b) == 0 {
				break
			}
			f, err := wstest.ReadFrame(bytes.NewReader(b))
			if err != nil || f.Header.Masked != (Side(side) == Backend) {
				panic(fmt.Sprintf("the %s gets %x, %v", Side(side), b, err))
			}
			if f.Header.Masked {
				f = ws.UnmaskFrame(f)
			}
			if f.Header.OpCode == ws.OpPing {
				p.pings[side] = string(f.Payload)
			}
			p.own[side] = append(p.own[side], ownFrame{len(p.passed[side]), f})
		}
	}
}

// An event is one thing that happens to a session.
type event func(*coreFixture)

func receives(from Side, frames ...ws.Frame) event {
	return raw(from, string(frametest.Encode(from, frames...)))
}

func raw(from Side, b string) event {
	return func(p *coreFixture) { p.receive(from, []byte(b), false) }
}

func part(from Side, first, last int, f ws.Frame) event {
	return raw(from, string(frametest.Encode(from, f)[first:last]))
}

func eof(side Side) event { return func(p *coreFixture) { p.ReadEnded(side, io.EOF) } }

func reset(side Side) event { return func(p *coreFixture) { p.ReadEnded(side, errReset) } }

func writeFails(side Side) event { return func(p *coreFixture) { p.WriteFailed(side, errReset) } }

func ends(cause Cause) event { return endsWith(Ending{Cause: cause}) }

func endsWith(how Ending) event { return func(p *coreFixture) { p.End(how, Gateway) } }

func expires(p *coreFixture) { p.Expire() }

func stalls(from Side, frames ...ws.Frame) event {
	return func(p *coreFixture) { p.receive(from, frametest.Encode(from, frames...), true) }
}

// takesSome makes a side take some of the bytes that wait for it.
func takesSome(to Side) event { return func(p *coreFixture) { p.blockedSince[to] = p.now } }

func begins(from Side) event { return func(p *coreFixture) { p.recordSince[from] = p.now } }

func writesOn(to Side) event {
	return func(p *coreFixture) { p.written(to); p.receive(to.Other(), nil, false) }
}

func wait(d time.Duration) event { return func(p *coreFixture) { p.advanceTime(d) } }

func sets(r Rules) event { return func(p *coreFixture) { p.part.Set(r); p.changed = true } }

func pongs(from Side) event { return func(p *coreFixture) { p.receive(from, p.pong(from), false) } }

func planned(c Cause, in time.Duration) event { return plannedWith(Ending{Cause: c}, in) }

func plannedWith(how Ending, in time.Duration) event {
	return func(p *coreFixture) { p.PlanEnd(how, p.now+int64(in)) }
}

var errReset = errors.New("connection reset by peer")

// A coreTest is what happens to a session, and what has to come of it.
type coreTest struct {
	name            string
	rules           Rules
	events          []event
	client, backend string // what each side got
	report          string // cause, by, code, reason
	detail          string
	at              time.Duration // when the end began
	open            bool          // not over yet
	cut             bool          // the gateway closes the connection to the backend first
}

func (s coreTest) run(t *testing.T) {
	t.Parallel()
	p := newCoreFixture(false, s.rules)
	for _, e := range s.events {
		e(p)
		p.advance()
	}
	for side, want := range map[Side]string{Client: s.client, Backend: s.backend} {
		if r := frametest.Parse(side.Other(), false, p.received(side)); r.String() != want {
			t.Errorf("the %s got %s; want %s", side, &r, want)
		}
	}
	report := strings.TrimSpace(fmt.Sprintf("%s %s %d %s", p.cause, p.by, p.code, p.ensureOutcome().reason))
	if report != s.report || p.ensureOutcome().detail != s.detail {
		t.Errorf("report = %q, %q; want %q, %q", report, p.outcome.detail, s.report, s.detail)
	}
	if p.Over() == s.open || p.Closing() == (s.report == "none client 0") {
		t.Errorf("over() = %t, closing() = %t; want over %t", p.Over(), p.Closing(), !s.open)
	}
	if at := time.Duration(max(p.endedAt-1, 0)); at != s.at {
		t.Errorf("the end began after %v; want %v", at, s.at)
	}
	if p.ClosesFirst(Backend) != s.cut || !p.ClosesFirst(Client) {
		t.Errorf("hangsUp = %t, %t for client, backend; want true, %t", p.ClosesFirst(Client), p.ClosesFirst(Backend), s.cut)
	}
	if wrong := p.brokenPromise(); wrong != "" {
		t.Error(wrong)
	}
}

func TestCore(t *testing.T) {
	t.Parallel()
	ten := wstest.Text("0123456789") // 16 bytes from a client, 12 from a backend
	bye := wstest.Close(1000, "bye")
	bad := wstest.Reserved(wstest.Text("x"), false, true, false)
	tests := []coreTest{
		{
			name:   "messages pass and nothing ends",
			events: []event{receives(Client, ten, wstest.Ping("p")), receives(Backend, wstest.Part(ws.OpText, "a"), wstest.Pong(""), wstest.Last("b"))},
			client: `text- "a", pong, more "b"`, backend: `text "0123456789", ping "p"`,
			report: "none client 0", open: true,
		},
		{
			name:   "the client closes, the backend answers",
			events: []event{receives(Client, ten, bye), receives(Backend, wstest.Text("last"), wstest.Close(1000, ""))},
			client: `text "last", close 1000`, backend: `text "0123456789", close 1000 "bye"`,
			report: "close client 1000 bye",
		},
		{
			name:   "the backend closes, the client answers",
			events: []event{receives(Backend, wstest.Close(4999, "x")), receives(Client, wstest.Close(4999, ""))},
			client: `close 4999 "x"`, backend: `close 4999`,
			report: "close backend 4999 x",
		},
		{
			name:   "a Close frame without a code is forwarded as it is",
			events: []event{receives(Client, ws.NewCloseFrame(nil)), receives(Backend, ws.NewCloseFrame(nil))},
			client: `close`, backend: `close`,
			report: "close client 1005",
		},
		{
			name:   "Close frames that cross are both forwarded",
			events: []event{stalls(Client, wstest.Close(3000, "")), receives(Backend, wstest.Close(3001, "")), writesOn(Backend)},
			client: `close 3001`, backend: `close 3000`,
			report: "close client 3000",
		},
		{
			name:    "nothing follows a Close frame",
			events:  []event{receives(Client, bye, ten, bye), raw(Client, "\xff\xff")},
			backend: `close 1000 "bye"`, report: "close client 1000 bye", open: true,
		},
		{
			name:   "a Close frame answered by the end of the stream only",
			events: []event{receives(Client, bye), eof(Backend)},
			client: `close 1000`, backend: `close 1000 "bye"`, report: "close client 1000 bye",
		},
		{
			name:   "a Close frame without a code answered by the end of the stream only",
			events: []event{receives(Client, ws.NewCloseFrame(nil)), eof(Backend)},
			client: `close 1001`, backend: `close`, report: "close client 1005",
		},
		{
			name:   "a Close frame of the backend answered by the end of the stream only",
			events: []event{receives(Backend, bye), eof(Client)},
			client: `close 1000 "bye"`, backend: `close 1000`, report: "close backend 1000 bye",
		},
		{
			name:   "a Close frame answered by the end of the stream inside a frame cuts the other side",
			events: []event{receives(Client, bye), part(Backend, 0, 7, ten), eof(Backend)},
			client: `+7 bytes`, backend: `close 1000 "bye"`, report: "close client 1000 bye",
		},
		{
			name:   "a Close frame never answered",
			events: []event{receives(Client, bye), expires},
			client: `close 1000`, backend: `close 1000 "bye"`, report: "close client 1000 bye", cut: true,
		},
		{
			name:   "a Close frame in pieces",
			events: []event{part(Client, 0, 1, bye), part(Client, 1, 5, bye), part(Client, 5, 11, bye), receives(Backend, bye)},
			client: `close 1000 "bye"`, backend: `close 1000 "bye"`, report: "close client 1000 bye",
		},
		{
			name:   "the client ends its stream, the backend has more to say",
			events: []event{receives(Client, ten), eof(Client), receives(Backend, ten, wstest.Close(1001, ""))},
			client: `text "0123456789", close 1001`, backend: `text "0123456789", close 1001`,
			report: "lost client 1001", detail: "the client closed the connection without a Close frame",
		},
		{
			name:   "the client ends its stream and the backend never ends",
			events: []event{eof(Client), receives(Backend, ten), expires},
			client: `text "0123456789", close 1001`, backend: `close 1001`, report: "lost client 1001", cut: true,
			detail: "the client closed the connection without a Close frame",
		},
		{
			name:   "the client ends its stream while the backend is inside a frame that never ends",
			events: []event{part(Backend, 0, 7, ten), eof(Client), expires},
			client: `+7 bytes`, backend: `close 1001`, report: "lost client 1001", cut: true,
			detail: "the client closed the connection without a Close frame",
		},
		{
			name:    "the client ends its stream inside a frame",
			events:  []event{receives(Backend, ten), part(Client, 0, 9, ten), eof(Client)},
			client:  `text "0123456789", close 1001`,
			backend: `+9 bytes`, report: "lost client 1001", cut: true,
			detail: "the client closed the connection inside a frame",
		},
		{
			name:    "both streams end inside frames",
			events:  []event{part(Backend, 0, 3, ten), part(Client, 0, 9, ten), eof(Client), eof(Backend)},
			client:  `+3 bytes`,
			backend: `+9 bytes`, report: "lost client 1001", cut: true,
			detail: "the client closed the connection inside a frame",
		},
		{
			name:    "inside a control frame nothing has passed, so a Close frame fits",
			events:  []event{part(Client, 0, 7, wstest.Ping("ping")), eof(Client), receives(Backend, wstest.Close(1001, ""))},
			client:  `close 1001`,
			backend: `close 1001`, report: "lost client 1001",
			detail: "the client closed the connection without a Close frame",
		},
		{
			name:    "the client's connection breaks",
			events:  []event{receives(Client, ten), reset(Client), receives(Backend, ten, wstest.Close(1001, ""))},
			backend: `text "0123456789", close 1001`, report: "lost client 1001",
			detail: "the connection to the client broke: connection reset by peer",
		},
		{
			name:   "the backend's connection breaks",
			events: []event{receives(Backend, ten), reset(Backend), receives(Client, ten, wstest.Close(1014, ""))},
			client: `text "0123456789", close 1014`, report: "lost backend 1014",
			detail: "the connection to the backend broke: connection reset by peer",
		},
		{
			name:   "the backend ends its stream without a Close frame",
			events: []event{eof(Backend), receives(Client, ten, wstest.Close(1014, ""))},
			client: `close 1014`, backend: `text "0123456789", close 1014`, report: "lost backend 1014",
			detail: "the backend closed the connection without a Close frame",
		},
		{
			name:    "the backend's connection breaks inside a frame",
			events:  []event{part(Backend, 0, 5, ten), part(Client, 0, 8, ten), reset(Backend)},
			client:  `+5 bytes`,
			backend: `+8 bytes`, report: "lost backend 1014",
			detail: "the connection to the backend broke: connection reset by peer",
		},
		{
			name:   "both streams end without a Close frame",
			events: []event{eof(Backend), eof(Client)},
			client: `close 1014`, backend: `close 1001`, report: "lost backend 1014",
			detail: "the backend closed the connection without a Close frame",
		},
		{
			name:    "a side that takes no more bytes may have sent a Close frame",
			events:  []event{part(Client, 0, 6, ten), writeFails(Client), receives(Backend, ten), part(Client, 6, 16, ten), receives(Client, bye), reset(Client), receives(Backend, bye)},
			backend: `text "0123456789", close 1000 "bye"`, report: "close client 1000 bye",
		},
		{
			name:    "a side that takes no more bytes and says nothing",
			events:  []event{writeFails(Client), expires},
			backend: `close 1001`, report: "lost client 1001", cut: true,
			detail: "the connection to the client broke: write: connection reset by peer",
		},
		{
			name:   "neither side takes more bytes",
			events: []event{writeFails(Backend), writeFails(Client), expires},
			report: "lost client 1001",
			detail: "the connection to the client broke: write: connection reset by peer",
		},
		{
			name:   "the answer to a Close frame can not be written",
			events: []event{receives(Backend, bye), writeFails(Backend), receives(Client, bye), eof(Backend)},
			client: `close 1000 "bye"`, report: "close backend 1000 bye",
		},
		{
			name:   "a violation of the client",
			events: []event{receives(Client, ten, bad, ten), eof(Backend)},
			client: `close 1002 "a frame with reserved bits set"`, backend: `text "0123456789", close 1001`,
			report: "protocol violation client 1002 a frame with reserved bits set", detail: "the client sent a frame with reserved bits set",
		},
		{
			name: "a violation of the client: what the backend says until it answers comes before the code",
			events: []event{
				receives(Client, ten, bad), receives(Backend, ten), receives(Client, ten, bye), part(Backend, 0, 5, ten), wait(CloseTimeout - instant),
				part(Backend, 5, 12, ten), receives(Backend, wstest.Ping("p"), bye, ten), receives(Client, bye),
			},
			client: `text "0123456789", text "0123456789", ping "p", close 1002 "a frame with reserved bits set"`, backend: `text "0123456789", close 1001`,
			report: "protocol violation client 1002 a frame with reserved bits set", detail: "the client sent a frame with reserved bits set",
		},
		{
			name: "a violation of the client: a backend that talks on is heard no longer than it may take to answer",
			events: []event{
				receives(Client, bad), receives(Backend, ten), wait(CloseTimeout), receives(Backend, ten, bye),
			},
			client: `text "0123456789", close 1002 "a frame with reserved bits set"`, backend: `close 1001`, cut: true,
			report: "protocol violation client 1002 a frame with reserved bits set", detail: "the client sent a frame with reserved bits set",
		},
		{
			name: "a violation of the client: the frame under way at that moment ends first",
			events: []event{
				receives(Client, bad), part(Backend, 0, 5, ten), wait(2*CloseTimeout - instant), raw(Backend, string(frametest.Encode(Backend, ten)[5:])+string(frametest.Encode(Backend, ten))),
			},
			client: `text "0123456789", close 1002 "a frame with reserved bits set"`, backend: `close 1001`, cut: true,
			report: "protocol violation client 1002 a frame with reserved bits set", detail: "the client sent a frame with reserved bits set",
		},
		{
			name:   "a violation of the client: it leaves before it was told",
			events: []event{receives(Client, bad), receives(Backend, ten), reset(Client), receives(Backend, ten, bye)},
			client: `text "0123456789"`, backend: `close 1001`,
			report: "protocol violation client 1002 a frame with reserved bits set", detail: "the client sent a frame with reserved bits set",
		},
		{
			name:   "a violation of the client: the backend is lost before it has answered",
			events: []event{receives(Client, bad), receives(Backend, ten), reset(Backend)},
			client: `text "0123456789", close 1002 "a frame with reserved bits set"`, backend: `close 1001`,
			report: "protocol violation client 1002 a frame with reserved bits set", detail: "the client sent a frame with reserved bits set",
		},
		{
			name:   "a reason of the client that is not UTF-8",
			events: []event{receives(Client, wstest.Close(1000, "\xff")), receives(Backend, ten, bye)},
			client: `text "0123456789", close 1007 (45)`, backend: `close 1001`,
			report: "protocol violation client 1007 a close frame with a reason that is not UTF-8", detail: "the client sent a close frame with a reason that is not UTF-8",
		},
		{
			name:   "a violation of the backend",
			events: []event{receives(Backend, ten, bad), receives(Client, wstest.Close(1001, ""))},
			client: `text "0123456789", close 1001`, backend: `close 1002 "a frame with reserved bits set"`,
			report: "protocol violation backend 1002 a frame with reserved bits set", detail: "the backend sent a frame with reserved bits set",
		},
		{
			name:   "a violation while the other side is inside a frame waits for its end",
			events: []event{part(Backend, 0, 7, ten), receives(Client, bad), part(Backend, 7, 12, ten), receives(Backend, ten, bye)},
			client: `text "0123456789", text "0123456789", close 1002 "a frame with reserved bits set"`, backend: `close 1001`,
			report: "protocol violation client 1002 a frame with reserved bits set", detail: "the client sent a frame with reserved bits set",
		},
		{
			name:   "a violation while the other side is inside a frame that never ends",
			events: []event{part(Backend, 0, 7, ten), receives(Client, bad), expires},
			client: `+7 bytes`, backend: `close 1001`, cut: true,
			report: "protocol violation client 1002 a frame with reserved bits set", detail: "the client sent a frame with reserved bits set",
		},
		{
			name:   "violations of both sides",
			events: []event{receives(Client, bad), receives(Backend, bad)},
			client: `close 1002 "a frame with reserved bits set"`, backend: `close 1001`,
			report: "protocol violation client 1002 a frame with reserved bits set", detail: "the client sent a frame with reserved bits set",
		},
		{
			name:   "a violation inside a fragmented message",
			events: []event{receives(Client, wstest.Part(ws.OpText, "a"), wstest.Text("b")), eof(Backend)},
			client: `close 1002 "a new message inside a fragmented one"`, backend: `text- "a", close 1001`,
			report: "protocol violation client 1002 a new message inside a fragmented one", detail: "the client sent a new message inside a fragmented one",
		},
		{
			name:   "a violation in answer to a Close frame is not forwarded",
			events: []event{receives(Client, bye), receives(Backend, bad)},
			client: `close 1001`, backend: `close 1000 "bye"`,
			report: "close client 1000 bye",
		},
		{
			name:   "shutdown, both answer",
			events: []event{ends(Shutdown), receives(Client, ten, wstest.Close(1001, "")), receives(Backend, ten, wstest.Close(1001, ""))},
			client: `close 1001 "shutdown"`, backend: `close 1001`, report: "shutdown gateway 1001 shutdown",
		},
		{
			name:   "a route is removed, no side answers",
			events: []event{ends(RouteRemoved), expires},
			client: `close 1012 "route removed"`, backend: `close 1001`, report: "route removed gateway 1012 route removed", cut: true,
		},
		{
			name:   "a backend is removed, both hang up",
			events: []event{ends(BackendRemoved), eof(Client), eof(Backend)},
			client: `close 1012 "backend removed"`, backend: `close 1001`, report: "backend removed gateway 1012 backend removed",
		},
		{
			name:   "an endpoint is drained",
			events: []event{ends(Drained), eof(Client), eof(Backend)},
			client: `close 1012 "drained"`, backend: `close 1001`, report: "drained gateway 1012 drained",
		},
		{
			name:   "sessions are rebalanced",
			events: []event{ends(Rebalanced), eof(Client), eof(Backend)},
			client: `close 1012 "rebalanced"`, backend: `close 1001`, report: "rebalanced gateway 1012 rebalanced",
		},
		{
			name:   "a credential expires",
			events: []event{ends(Expired), eof(Client), eof(Backend)},
			client: `close 1008 "credential expired"`, backend: `close 1001`, report: "credential expired gateway 1008 credential expired",
		},
		{
			name:   "an operator ends the session",
			events: []event{ends(Operator), eof(Client), eof(Backend)},
			client: `close 1008 "ended by operator"`, backend: `close 1001`, report: "ended by operator gateway 1008 ended by operator",
		},
		{
			name:   "an operator has a code and a reason for the client",
			events: []event{endsWith(Ending{Operator, 4003, "go away"}), eof(Client), eof(Backend)},
			client: `close 4003 "go away"`, backend: `close 1001`, report: "ended by operator gateway 4003 go away",
		},
		{
			name:   "an operator has a code for the client",
			events: []event{endsWith(Ending{Cause: Operator, Code: 4003}), eof(Client), eof(Backend)},
			client: `close 4003 "ended by operator"`, backend: `close 1001`, report: "ended by operator gateway 4003 ended by operator",
		},
		{
			name:   "an operator has a reason for the client",
			events: []event{endsWith(Ending{Cause: Operator, Reason: "go away"}), eof(Client), eof(Backend)},
			client: `close 1008 "go away"`, backend: `close 1001`, report: "ended by operator gateway 1008 go away",
		},
		{
			name:   "a code that must not be sent",
			events: []event{endsWith(Ending{Operator, 1005, "go away"}), eof(Client), eof(Backend)},
			client: `close 1008 "go away"`, backend: `close 1001`, report: "ended by operator gateway 1008 go away",
		},
		{
			name:   "the reason of an end goes into no other Close frame",
			events: []event{endsWith(Ending{Operator, 4003, "go away"}), raw(Backend, "\xff\xff"), expires},
			client: `close 4003 "go away"`, backend: `close 1001`, report: "ended by operator gateway 4003 go away",
		},
		{
			name:   "the first of two ends counts",
			events: []event{ends(RouteRemoved), ends(Shutdown), ends(RouteRemoved), reset(Client), reset(Backend)},
			client: `close 1012 "route removed"`, backend: `close 1001`, report: "route removed gateway 1012 route removed",
		},
		{
			name: "an end inside frames waits for theirs, not for their messages'",
			events: []event{
				part(Client, 0, 9, ten), part(Backend, 0, 3, wstest.Part(ws.OpText, "abc")), ends(Shutdown),
				part(Client, 9, 16, ten), part(Backend, 3, 5, wstest.Part(ws.OpText, "abc")),
				receives(Backend, wstest.Last("d")), eof(Client), eof(Backend),
			},
			client: `text- "abc", close 1001 "shutdown"`, backend: `text "0123456789", close 1001`, report: "shutdown gateway 1001 shutdown",
		},
		{
			name: "an end inside a frame: the bytes after it in the same piece do not pass",
			events: []event{
				part(Client, 0, 9, ten), ends(Shutdown),
				raw(Client, string(frametest.Encode(Client, ten)[9:])+string(frametest.Encode(Client, ten, bye))), eof(Backend),
			},
			client: `close 1001 "shutdown"`, backend: `text "0123456789", close 1001`, report: "shutdown gateway 1001 shutdown",
		},
		{
			name:   "an end inside a frame that never ends",
			events: []event{part(Client, 0, 9, ten), ends(Shutdown), receives(Backend, ten), expires},
			client: `close 1001 "shutdown"`, backend: `+9 bytes`, report: "shutdown gateway 1001 shutdown", cut: true,
		},
		{
			name: "a side that is lost inside a frame that is dropped does not keep the other from answering",
			events: []event{
				ends(Shutdown), part(Client, 0, 9, ten), eof(Client),
			},
			client: `close 1001 "shutdown"`, backend: `close 1001`, report: "shutdown gateway 1001 shutdown", open: true,
		},
		{
			name:   "an end while a writer is blocked waits for it",
			events: []event{stalls(Backend, ten), ends(Shutdown), writesOn(Client), eof(Client), eof(Backend)},
			client: `text "0123456789", close 1001 "shutdown"`, backend: `close 1001`, report: "shutdown gateway 1001 shutdown",
		},
		{
			name:   "time runs out while a writer is blocked: it is told when it goes on",
			events: []event{stalls(Backend, ten), ends(Shutdown), expires, writesOn(Client)},
			client: `text "0123456789", close 1001 "shutdown"`, backend: `close 1001`, report: "shutdown gateway 1001 shutdown", cut: true,
		},
		{
			name:   "an end during a closing handshake changes nothing",
			events: []event{receives(Client, bye), ends(Shutdown), receives(Backend, ten)},
			client: `text "0123456789"`, backend: `close 1000 "bye"`, report: "close client 1000 bye", open: true,
		},
		{
			name:   "what happens when all is over changes nothing",
			events: []event{receives(Client, bye), receives(Backend, bye), ends(Shutdown), reset(Client), writeFails(Client), expires, reset(Backend), receives(Client, ten)},
			client: `close 1000 "bye"`, backend: `close 1000 "bye"`, report: "close client 1000 bye",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

func TestCoreTellsTheClientTheRoutesCodeForALostBackend(t *testing.T) {
	t.Parallel()
	c := newCore(&Session{BadGateway: ws.StatusInternalServerError})
	c.ReadEnded(Backend, io.EOF)
	if r := frametest.Parse(Backend, false, c.AppendOwn(Client, nil, 1)); r.String() != "close 1011" || c.code != ws.StatusInternalServerError {
		t.Errorf("the client got %s, code %d; want close 1011", &r, c.code)
	}
}

// After a panic a side gets a Close frame only where the stream to it is between frames for
// certain, and nothing is waited for.
func TestCoreFails(t *testing.T) {
	t.Parallel()
	const told = `close 1011 "internal error"`
	ten, bye := wstest.Text("0123456789"), wstest.Close(1000, "bye")
	tests := []struct {
		name            string
		events          []event
		torn            [2]bool
		client, backend string // without what was passed on before
		code            ws.StatusCode
	}{
		{"an open session", []event{receives(Client, ten)}, [2]bool{}, told, "close 1001", 1011},
		{"the client is torn", nil, [2]bool{Client: true}, "", "close 1001", 1011},
		{"the backend is torn", nil, [2]bool{Backend: true}, told, "", 1011},
		{"both are torn", nil, [2]bool{true, true}, "", "", 1011},
		{"inside a frame to the client", []event{part(Backend, 0, 5, ten)}, [2]bool{}, "", "close 1001", 1011},
		{"after a Close frame of the client", []event{receives(Client, bye)}, [2]bool{}, "close 1000", "", 1000},
		{"after an end of the gateway's", []event{ends(RouteRemoved)}, [2]bool{}, `close 1012 "route removed"`, "close 1001", 1012},
		{"a backend that takes nothing any more", []event{writeFails(Backend)}, [2]bool{}, told, "", 1011},
	}
	for _, tt := range tests {
		p := newCoreFixture(false, Rules{})
		for _, happens := range tt.events {
			happens(p)
		}
		p.passed = [2][]byte{}
		p.Fail("panic: it", tt.torn)
		p.advance()
		toClient, toBackend := frametest.Parse(Backend, false, ownBytes(p, Client)), frametest.Parse(Client, false, ownBytes(p, Backend))
		if toClient.String() != tt.client || toBackend.String() != tt.backend {
			t.Errorf("%s: the client gets %s, the backend %s; want %s and %s", tt.name, &toClient, &toBackend, tt.client, tt.backend)
		}
		if !p.Failed() || !p.Over() {
			t.Errorf("%s: failed %t, over %t; want both", tt.name, p.Failed(), p.Over())
		}
		if r := p.Finish(nil, "", clock.New(), 2); r.Cause != Internal || r.By != Gateway || r.Code != tt.code || r.Detail != "panic: it" {
			t.Errorf("%s: report = %s by the %s, %d, %s", tt.name, r.Cause, r.By, r.Code, r.Detail)
		}
		for side := range tt.torn {
			if tt.torn[side] && !p.ClosesFirst(Side(side)) {
				t.Errorf("%s: the stream to the %s does not end at once", tt.name, Side(side))
			}
		}
	}
}

// ownBytes returns the gateway's own frames that a side got.
func ownBytes(p *coreFixture, side Side) (b []byte) {
	for _, own := range p.own[side] {
		b = append(b, frametest.Encode(side.Other(), own.frame)...)
	}
	return b
}

func TestCoreCountsWhatWentOn(t *testing.T) {
	t.Parallel()
	p := newCoreFixture(false, Rules{})
	receives(Client, wstest.Text("abc"), wstest.Ping("x"), wstest.Part(ws.OpText, "d"))(p)
	ends(Shutdown)(p)
	p.advance()
	receives(Client, wstest.Last("dropped"), wstest.Close(1001, ""))(p)
	if c := p.sides[Client].dir.Counts; c.Messages != 1 || c.Frames != 2 || c.Controls != 1 || c.Bytes != 4 {
		t.Errorf("counts = %+v; want 1 message, 2 frames, 1 control frame, 4 bytes", c)
	}
}

// TestCoreKeepsItsPromises plays random sessions and checks every step against rules that do
// not know the core's state.
func TestCoreKeepsItsPromises(t *testing.T) {
	t.Parallel()
	games := 5000
	if testing.Short() {
		games = 1000
	}
	for seed := range games {
		if script, wrong := playRandomSession(uint64(seed)); wrong != "" {
			t.Fatalf("seed %d: %s\n%s", seed, wrong, strings.Join(script, "\n"))
		}
	}
}

func playRandomSession(seed uint64) (script []string, wrong string) {
	r := rand.New(rand.NewPCG(seed, 1))
	var rules Rules
	if r.IntN(2) == 0 {
		rules = randomRules(r)
		script = append(script, fmt.Sprintf("rules %+v", rules))
	}
	p := newCoreFixture(r.IntN(2) == 0, rules)
	streams := [2][]byte{frametest.Random(r, Client), frametest.Random(r, Backend)}
	ended := [2]bool{} // by Side: nothing more can come from it
	var cause Cause
	step := func(format string, args ...any) {
		script = append(script, fmt.Sprintf(format, args...))
	}
	for range 40 {
		side := Side(r.IntN(2))
		early := p.Until(side) > p.now // bytes that wait for their time hide what is after them
		switch n := r.IntN(26); {
		case n < 10:
			if ended[side] {
				continue
			}
			k := min(1+r.IntN(30), len(streams[side]))
			b := streams[side][:k]
			streams[side] = streams[side][k:]
			step("%s sends %x", side, b)
			p.receive(side, b, r.IntN(3) == 0)
		case n < 15:
			if p.waiting[side] != nil {
				step("%s takes bytes", side)
				p.written(side)
				p.receive(side.Other(), nil, false)
			}
		case n == 15 && !ended[side] && !early:
			step("%s eof", side)
			ended[side] = true
			// The bytes after a write that waits are read first.
			p.written(side.Other())
			p.receive(side, nil, false)
			p.ReadEnded(side, io.EOF)
		case n == 16 && !ended[side] && !early:
			step("%s reset", side)
			ended[side] = true
			p.written(side.Other())
			p.receive(side, nil, false)
			p.ReadEnded(side, errReset)
		case n == 17:
			step("%s takes no more", side)
			p.waiting[side], p.blockedSince[side] = nil, 0
			p.WriteFailed(side, errReset)
		case n == 18:
			step("end")
			p.End(Ending{Cause: Shutdown + Cause(r.IntN(3))}, Gateway)
		case n == 19 && p.Closing() && r.IntN(4) == 0:
			step("expire")
			p.Expire()
		case n >= 20 && n < 24:
			d := time.Duration(r.Int64N(int64(4 * time.Second)))
			step("%v pass", d)
			p.advanceTime(d)
		case n == 24 && p.pings[side] != "" && !ended[side]:
			if r := frametest.Parse(side, p.deflate, p.sent[side]); r.Broken || r.Closed || r.Whole < len(p.sent[side]) {
				continue
			}
			step("%s sends the pong", side)
			p.receive(side, p.pong(side), false)
		case n == 25 && r.IntN(4) == 0:
			rules = randomRules(r)
			step("rules %+v", rules)
			p.part.Set(rules)
			p.changed = true
		}
		p.advance()
		if wrong := p.brokenPromise(); wrong != "" {
			return script, wrong
		}
		if cause != 0 && p.cause != cause {
			return script, fmt.Sprintf("the cause changed from %s to %s", cause, p.cause)
		}
		cause = p.cause
	}
	step("all ends")
	for _, side := range []Side{Client, Backend} {
		p.written(side)
		p.receive(side.Other(), nil, false)
	}
	if r.IntN(2) == 0 || p.Until(Client) > p.now || p.Until(Backend) > p.now {
		p.End(Ending{Cause: Shutdown}, Gateway)
		p.advance()
		p.Expire()
	} else {
		p.ReadEnded(Client, io.EOF)
		p.advance()
		p.ReadEnded(Backend, io.EOF)
	}
	p.advance()
	if !p.Over() || p.cause == 0 {
		return script, fmt.Sprintf("not over in the end: %+v", p.Core)
	}
	return script, p.brokenPromise()
}

// randomRules returns rules that short random streams can break.
func randomRules(r *rand.Rand) Rules {
	traffic := func() Traffic {
		return Traffic{
			Frame: []int64{0, 0, 5, 126}[r.IntN(4)], Message: []int64{0, 0, 20, 200}[r.IntN(4)],
			MessageRate: []float64{0, 0, 0.3, 5}[r.IntN(4)], MessageBurst: 1 + r.Int64N(3),
			ByteRate: []float64{0, 0, 5, 300}[r.IntN(4)], ByteBurst: 1 + r.Int64N(300),
			EndOverRate: r.IntN(2) == 0,
		}
	}
	return Rules{
		Client: traffic(), Backend: traffic(),
		Idle: time.Duration(r.IntN(3)) * 7 * time.Second, Lifetime: time.Duration(r.IntN(3)) * 20 * time.Second,
		Ping: time.Duration(r.IntN(3)) * time.Second, Pong: time.Duration(1+r.IntN(4)) * time.Second,
		Stall: time.Duration(r.IntN(3)) * 4 * time.Second,
	}
}

// brokenPromise describes the promise that was broken, if any.
func (p *coreFixture) brokenPromise() string {
	for _, to := range []Side{Client, Backend} {
		from := to.Other()
		if !bytes.HasPrefix(p.sentByPeer(from), p.passed[to]) {
			return fmt.Sprintf("the %s got %x, which is not how %x begins", to, p.passed[to], p.sentByPeer(from))
		}
		passed := frametest.Parse(from, p.deflate, p.passed[to])
		if passed.Broken || passed.Pass != len(p.passed[to]) {
			return fmt.Sprintf("the %s got what must not pass: %x", to, p.passed[to])
		}
		for i, own := range p.own[to] {
			before := frametest.Parse(from, p.deflate, p.passed[to][:own.at])
			switch op := own.frame.Header.OpCode; {
			case before.Inside():
				return fmt.Sprintf("the %s got a frame of the gateway's inside a frame", to)
			case before.Closed:
				return fmt.Sprintf("the %s got a frame of the gateway's after a Close frame", to)
			case op == ws.OpPing && len(own.frame.Payload) != 8, op == ws.OpClose && !frametest.ValidCloseBody(own.frame.Payload), op != ws.OpPing && op != ws.OpClose:
				return fmt.Sprintf("the %s got %+v of the gateway's own", to, own.frame)
			case op == ws.OpClose && (i < len(p.own[to])-1 || own.at < len(p.passed[to])):
				return fmt.Sprintf("the %s got bytes after the gateway's Close frame", to)
			}
		}
		if wrong := p.brokenLimit(from); wrong != "" {
			return wrong
		}
	}
	rules := p.part.rules.Load()
	if p.changed || rules == nil {
		return ""
	}
	switch {
	case p.cause == Unanswered && p.endedAt < p.lastFed[p.by]+int64(rules.Pong):
		return fmt.Sprintf("no answer of the %s at %d: it was heard at %d", p.by, p.endedAt, p.lastFed[p.by])
	case p.cause == Unanswered && len(p.own[p.by]) == 0 && p.blockedAtEnd[p.by] == 0 && !strings.Contains(passed(p, p.by), "ping"):
		return fmt.Sprintf("no answer of the %s, which had no ping", p.by)
	case p.cause == Stalled && (rules.Stall == 0 || p.blockedAtEnd[p.by] == 0 || p.endedAt != p.blockedAtEnd[p.by]+int64(rules.Stall)) &&
		(rules.Stall == 0 || p.recordSince[p.by] == 0 || p.endedAt != p.recordSince[p.by]+int64(rules.Stall)):
		return fmt.Sprintf("the %s stalled at %d: it took nothing since %d", p.by, p.endedAt, p.blockedAtEnd[p.by])
	case !p.Closing() && rules.Stall > 0 && (p.blockedSince[Client] != 0 && p.blockedSince[Client]+int64(rules.Stall) < p.now || p.blockedSince[Backend] != 0 && p.blockedSince[Backend]+int64(rules.Stall) < p.now):
		return fmt.Sprintf("the session is open at %d: its sides took nothing since %d", p.now, p.blockedSince)
	case p.cause == Lifetime && p.endedAt != 1+int64(rules.Lifetime):
		return fmt.Sprintf("the life of the session ended at %d", p.endedAt)
	case p.cause == Idle && (p.endedAt < 1+int64(rules.Idle) || rules.Idle == 0):
		return fmt.Sprintf("the session was idle at %d", p.endedAt)
	}
	return ""
}

// passed describes the frames of the other side that a side got.
func passed(p *coreFixture, to Side) string {
	r := frametest.Parse(to.Other(), p.deflate, p.passed[to])
	return r.String()
}

// brokenLimit describes the limit that an open session broke, if any.
func (p *coreFixture) brokenLimit(from Side) string {
	rules := p.part.rules.Load()
	if p.cause != 0 || p.changed || rules == nil {
		return ""
	}
	of := [...]Traffic{rules.Client, rules.Backend}[from]
	frame, message, begun := sizes(p.passed[from.Other()])
	passing := float64(p.now) / 1e9
	switch {
	case of.Frame > 0 && frame > of.Frame, of.Message > 0 && message > of.Message:
		return fmt.Sprintf("a frame of %d bytes and a message of %d bytes came from the %s", frame, message, from)
	case of.MessageRate > 0 && float64(begun) > float64(of.MessageBurst)+of.MessageRate*passing+1e-6:
		return fmt.Sprintf("%d messages came from the %s in %v s", begun, from, passing)
	case of.ByteRate > 0 && of.EndOverRate && float64(len(p.passed[from.Other()])) > float64(of.ByteBurst)+of.ByteRate*passing+1e-6:
		return fmt.Sprintf("%d bytes came from the %s in %v s", len(p.passed[from.Other()]), from, passing)
	}
	return ""
}

// sizes returns the length of the longest data frame of a stream, the length of its longest
// message, and how many messages began.
func sizes(stream []byte) (frame, message, begun int64) {
	in := bytes.NewReader(stream)
	total := int64(0)
	for {
		h, err := ws.ReadHeader(in)
		if err != nil {
			return frame, message, begun
		}
		in.Seek(h.Length, io.SeekCurrent)
		if h.OpCode.IsControl() {
			continue
		}
		if h.OpCode != ws.OpContinuation {
			begun++
			total = 0
		}
		total += h.Length
		frame, message = max(frame, h.Length), max(message, total)
	}
}
