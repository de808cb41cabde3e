package core

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
	"sluice/proxy/relay/frametest"
)

// Ends because of limits: the side that broke one is told which, and the other side gets 1001.
func TestCoreUnderLimits(t *testing.T) {
	t.Parallel()
	ten := wstest.Text("0123456789") // 16 bytes from a client, 12 from a backend
	over := wstest.Text("0123456789x")
	bye := wstest.Close(1001, "")
	frames, messages := Traffic{Frame: 10}, Traffic{Message: 10}
	both := Rules{Client: frames, Backend: frames}
	few := Traffic{MessageRate: 1, MessageBurst: 2, EndOverRate: true}
	bytesOf := func(burst int64) Traffic { return Traffic{ByteRate: 1, ByteBurst: burst, EndOverRate: true} }
	const (
		bigFrame   = "a frame over the size limit"
		bigMessage = "a message over the size limit"
		tooMany    = "messages over the rate limit"
		tooMuch    = "bytes over the rate limit"
	)
	tests := []coreTest{
		{
			name: "a frame of the client", rules: both,
			events: []event{receives(Client, ten, over, ten), receives(Backend, ten, bye), receives(Client, wstest.Close(1009, ""))},
			client: `text "0123456789", close 1009 "a frame over the size limit"`, backend: `text "0123456789", close 1001`,
			report: "too large client 1009 " + bigFrame, detail: "the client sent " + bigFrame,
		},
		{
			name: "a frame of the backend", rules: both,
			events: []event{receives(Backend, ten, over, ten, wstest.Close(1009, "")), receives(Client, bye)},
			client: `text "0123456789", close 1001`, backend: `close 1009 "a frame over the size limit"`,
			report: "too large backend 1009 " + bigFrame, detail: "the backend sent " + bigFrame,
		},
		{
			name: "the other side has no limits", rules: Rules{Client: frames},
			events: []event{receives(Backend, over), receives(Client, ten)},
			client: `text "0123456789x"`, backend: `text "0123456789"`, report: "none client 0", open: true,
		},
		{
			name: "a header gives it away", rules: both,
			events: []event{part(Client, 0, 5, over), part(Client, 5, 6, over), eof(Backend), eof(Client)},
			client: `close 1009 "a frame over the size limit"`, backend: `close 1001`,
			report: "too large client 1009 " + bigFrame, detail: "the client sent " + bigFrame,
		},
		{
			name: "who is over a limit and does not answer", rules: both,
			events: []event{receives(Client, over, ten, ten), receives(Backend, bye), wait(CloseTimeout)},
			client: `close 1009 "a frame over the size limit"`, backend: `close 1001`,
			report: "too large client 1009 " + bigFrame, detail: "the client sent " + bigFrame,
		},
		{
			name: "no side answers", rules: both,
			events: []event{receives(Backend, over), wait(CloseTimeout)},
			client: `close 1001`, backend: `close 1009 "a frame over the size limit"`, cut: true,
			report: "too large backend 1009 " + bigFrame, detail: "the backend sent " + bigFrame,
		},
		{
			name: "a message of the client in fragments", rules: Rules{Client: messages},
			events: []event{receives(Client, wstest.Part(ws.OpText, "0123456789"), wstest.Ping("p"), wstest.Last("x")), eof(Client), eof(Backend)},
			client: `close 1009 "a message over the size limit"`, backend: `text- "0123456789", ping "p", close 1001`,
			report: "too large client 1009 " + bigMessage, detail: "the client sent " + bigMessage,
		},
		{
			name: "a message of the backend in one frame", rules: Rules{Backend: messages},
			events: []event{receives(Backend, over), eof(Backend), eof(Client)},
			client: `close 1001`, backend: `close 1009 "a message over the size limit"`,
			report: "too large backend 1009 " + bigMessage, detail: "the backend sent " + bigMessage,
		},
		{
			name: "while the other side is inside a frame: its end goes first", rules: both,
			events: []event{part(Backend, 0, 7, ten), receives(Client, over), part(Backend, 7, 12, ten), receives(Backend, ten, bye), eof(Client)},
			client: `text "0123456789", text "0123456789", close 1009 "a frame over the size limit"`, backend: `close 1001`,
			report: "too large client 1009 " + bigFrame, detail: "the client sent " + bigFrame,
		},
		{
			name: "while the other side is inside a frame that never ends", rules: both,
			events: []event{part(Backend, 0, 7, ten), receives(Client, over), wait(2 * CloseTimeout)},
			client: `+7 bytes`, backend: `close 1001`, cut: true,
			report: "too large client 1009 " + bigFrame, detail: "the client sent " + bigFrame,
		},
		{
			name: "while the other side is inside a message", rules: both,
			events: []event{receives(Backend, wstest.Part(ws.OpText, "a")), receives(Client, over), eof(Client), eof(Backend)},
			client: `text- "a", close 1009 "a frame over the size limit"`, backend: `close 1001`,
			report: "too large client 1009 " + bigFrame, detail: "the client sent " + bigFrame,
		},
		{
			name: "while its own reader stalls: it is told when that goes on", rules: both,
			events: []event{stalls(Backend, ten), receives(Client, over), eof(Client), writesOn(Client), eof(Backend)},
			client: `text "0123456789", close 1009 "a frame over the size limit"`, backend: `close 1001`,
			report: "too large client 1009 " + bigFrame, detail: "the client sent " + bigFrame,
		},
		{
			name: "both sides: the first one counts", rules: both,
			events: []event{receives(Backend, over), receives(Client, over), eof(Client), eof(Backend)},
			client: `close 1001`, backend: `close 1009 "a frame over the size limit"`,
			report: "too large backend 1009 " + bigFrame, detail: "the backend sent " + bigFrame,
		},
		{
			name: "after the other side's Close frame everything passes", rules: both,
			events: []event{receives(Backend, wstest.Close(1000, "")), receives(Client, over, wstest.Close(1000, ""))},
			client: `close 1000`, backend: `text "0123456789x", close 1000`, report: "close backend 1000",
		},
		{
			name: "and after the end of its stream", rules: both,
			events: []event{eof(Client), receives(Backend, over, bye)},
			client: `text "0123456789x", close 1001`, backend: `close 1001`, report: "lost client 1001",
			detail: "the client closed the connection without a Close frame",
		},
		{
			name: "a violation after what is over changes nothing", rules: both,
			events: []event{receives(Client, over), raw(Client, "\xff\xff"), eof(Backend)},
			client: `close 1009 "a frame over the size limit"`, backend: `close 1001`,
			report: "too large client 1009 " + bigFrame, detail: "the client sent " + bigFrame,
		},

		{
			name: "too many messages of the client", rules: Rules{Client: few},
			events: []event{receives(Client, ten, wstest.Part(ws.OpText, ""), wstest.Last("")), wait(s / 2), receives(Client, wstest.Ping("p"), ten, ten), eof(Client), eof(Backend)},
			client: `close 1008 "messages over the rate limit"`, backend: `text "0123456789", text-, more, ping "p", close 1001`, at: s / 2,
			report: "too fast client 1008 " + tooMany, detail: "the client sent " + tooMany,
		},
		{
			name: "too many messages of the backend", rules: Rules{Backend: few},
			events: []event{receives(Backend, ten, ten, ten), eof(Client), eof(Backend)},
			client: `text "0123456789", text "0123456789", close 1001`, backend: `close 1008 "messages over the rate limit"`,
			report: "too fast backend 1008 " + tooMany, detail: "the backend sent " + tooMany,
		},
		{
			name: "as many as there may be", rules: Rules{Client: few},
			events:  []event{receives(Client, ten, ten), wait(s), receives(Client, ten), wait(s), receives(Client, ten), wait(5 * s), receives(Client, ten, ten)},
			backend: strings.Repeat(`text "0123456789", `, 5) + `text "0123456789"`, report: "none client 0", open: true,
		},
		{
			name: "too many bytes of the client, between frames", rules: Rules{Client: bytesOf(31)},
			events: []event{receives(Client, ten), receives(Client, ten), eof(Client), eof(Backend)},
			client: `close 1008 "bytes over the rate limit"`, backend: `text "0123456789", close 1001`,
			report: "too fast client 1008 " + tooMuch, detail: "the client sent " + tooMuch,
		},
		{
			name: "too many bytes inside a frame: the rest of it goes first", rules: Rules{Client: bytesOf(10)},
			events: []event{part(Client, 0, 9, ten), part(Client, 9, 14, ten), part(Client, 14, 16, ten), receives(Client, ten), eof(Client), eof(Backend)},
			client: `close 1008 "bytes over the rate limit"`, backend: `text "0123456789", close 1001`,
			report: "too fast client 1008 " + tooMuch, detail: "the client sent " + tooMuch,
		},
		{
			name: "too many bytes inside a frame that never ends", rules: Rules{Backend: bytesOf(5)},
			events: []event{part(Backend, 0, 5, ten), part(Backend, 5, 6, ten), wait(CloseTimeout)},
			client: `+6 bytes`, backend: `close 1008 "bytes over the rate limit"`, cut: true,
			report: "too fast backend 1008 " + tooMuch, detail: "the backend sent " + tooMuch,
		},
		{
			name: "too many bytes in control frames", rules: Rules{Backend: bytesOf(7)},
			events: []event{receives(Backend, wstest.Ping("abc")), receives(Backend, wstest.Pong("x")), eof(Backend), eof(Client)},
			client: `ping "abc", close 1001`, backend: `close 1008 "bytes over the rate limit"`,
			report: "too fast backend 1008 " + tooMuch, detail: "the backend sent " + tooMuch,
		},
		{
			name: "too many bytes of payload that pass unseen", rules: Rules{Client: bytesOf(14)},
			events: []event{part(Client, 0, 9, ten), receivesSpliced(Client, 9, 13, ten), receivesSpliced(Client, 13, 15, ten), part(Client, 15, 16, ten), eof(Client), eof(Backend)},
			client: `close 1008 "bytes over the rate limit"`, backend: `text "0123456789", close 1001`,
			report: "too fast client 1008 " + tooMuch, detail: "the client sent " + tooMuch,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

// receivesSpliced lets payload of a frame go on without Feed, as through a pipe.
func receivesSpliced(from Side, first, last int, f ws.Frame) event {
	return func(p *coreFixture) {
		b := frametest.Encode(from, f)[first:last]
		if p.PayloadAhead(from) < int64(len(b)) {
			panic(fmt.Sprintf("%d bytes are ahead; want %d", p.PayloadAhead(from), len(b)))
		}
		p.sent[from] = append(p.sent[from], b...)
		p.passed[from.Other()] = append(p.passed[from.Other()], b...)
		p.Core.PayloadForwarded(from, int64(len(b)), p.now)
	}
}

// Delayed messages arrive whole, in order and not too early.
func TestCoreDelays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		rules Traffic
		n     int // messages sent at once, of 16 bytes
		took  int // seconds
		waits Waits
	}{
		{"messages", Traffic{MessageRate: 2, MessageBurst: 3}, 23, 10, Waits{Messages: 20}},
		{"bytes, each piece of 160", Traffic{ByteRate: 16, ByteBurst: 16}, 23, 19, Waits{Bytes: 3}}, // the last piece has 3 messages, and waits for the two before
		{"both, messages hold", Traffic{MessageRate: 2, MessageBurst: 3, ByteRate: 1000, ByteBurst: 1000}, 23, 10, Waits{Messages: 20}},
		{"both, bytes hold", Traffic{MessageRate: 1000, MessageBurst: 1000, ByteRate: 16, ByteBurst: 16}, 23, 19, Waits{Bytes: 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newCoreFixture(false, Rules{Client: tt.rules})
			var all []byte
			for i := range tt.n {
				all = append(all, frametest.Encode(Client, wstest.Text(fmt.Sprintf("%010d", i)))...)
			}
			left := all
			for len(left)+len(p.held[Client]) > 0 {
				if len(p.held[Client]) == 0 && p.Until(Client) <= p.now {
					n := min(160, len(left))
					p.receive(Client, left[:n], false)
					left = left[n:]
					continue
				}
				p.advanceTime(max(1, time.Duration(p.Until(Client)-p.now)))
				p.receive(Client, nil, false)
			}
			if !bytes.Equal(p.passed[Backend], all) {
				t.Errorf("%d of %d bytes passed", len(p.passed[Backend]), len(all))
			}
			if wrong := p.brokenPromise(); wrong != "" {
				t.Error(wrong)
			}
			if want := [2]Waits{Client: tt.waits}; p.part.Waits != want {
				t.Errorf("the waits are %+v; want %+v", p.part.Waits, want)
			}
			if took := int((p.now + 5e8) / 1e9); took != tt.took {
				t.Errorf("it took %d s; want %d", took, tt.took)
			}
		})
	}
}

// An engine may feed what has to wait again before its time: that is the same wait. Bytes that come
// after a Close frame wait for nothing.
func TestWaitsAreCountedOnce(t *testing.T) {
	t.Parallel()
	p := newCoreFixture(false, Rules{Client: Traffic{MessageRate: 1, MessageBurst: 1}})
	rest := frametest.Encode(Client, wstest.Text("1"), wstest.Text("2"), wstest.Text("3"), wstest.Close(1000, ""))
	for second, want := range []uint64{1, 2, 2, 2} {
		for range 3 {
			_, used := p.Feed(Client, rest, p.now)
			rest = rest[used:]
		}
		if got := p.part.Waits[Client]; got != (Waits{Messages: want}) {
			t.Errorf("the waits are %+v after %d s; want %d", got, second, want)
		}
		p.now += int64(time.Second)
	}
	if len(rest) > 0 {
		t.Errorf("%d bytes are left", len(rest))
	}
}

// A rate of bytes has its say after each read, and so after each move through a pipe.
func TestMoveSize(t *testing.T) {
	tests := []struct {
		name  string
		rules Rules
		want  int
	}{
		{"no limits", Rules{}, 1 << 20},
		{"a buffer, which is no pipe", Rules{Buffer: 4 << 10}, 1 << 20},
		{"other limits", Rules{Buffer: 4 << 10, Client: Traffic{Message: 1 << 30, MessageRate: 1, MessageBurst: 1}}, 1 << 20},
		{"a rate of the other side", Rules{Backend: Traffic{ByteRate: 1, ByteBurst: 1}}, 1 << 20},
		{"a rate", Rules{Client: Traffic{ByteRate: 1, ByteBurst: 1}}, 64 << 10},
		{"a rate and a buffer", Rules{Buffer: 4 << 10, Client: Traffic{ByteRate: 1, ByteBurst: 1}}, 4 << 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var g Group
			g.Set(tt.rules)
			c := New(new(State), new(Refs), &Part{Group: &g}, &Session{Group: &g}, 1)
			if got := c.MoveSize(Client, 1<<20, 64<<10); got != tt.want {
				t.Errorf("MoveSize = %d; want %d", got, tt.want)
			}
			if got := c.MoveSize(Client, 1, 64<<10); got != 1 {
				t.Errorf("MoveSize of 1 = %d", got)
			}
		})
	}
}
