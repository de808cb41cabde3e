package core

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/frame"
	"sluice/internal/wstest"
	"sluice/proxy/relay/frametest"
)

const (
	s       = time.Second
	instant = time.Nanosecond // for moments just before others
)

func TestCoreByTheClock(t *testing.T) {
	t.Parallel()
	ten := wstest.Text("0123456789")
	bye := wstest.Close(1001, "")
	pings := Rules{Ping: 10 * s, Pong: 5 * s}
	tests := []coreTest{
		{
			name:   "nothing is due without rules",
			events: []event{wait(1000 * time.Hour)},
			report: "none client 0", open: true,
		},
		{
			name: "nothing is due under rules without times", rules: Rules{Client: Traffic{Frame: 1}},
			events: []event{wait(1000 * time.Hour)},
			report: "none client 0", open: true,
		},

		{
			name: "idle from the beginning", rules: Rules{Idle: 10 * s},
			events: []event{wait(10 * s), receives(Client, bye), receives(Backend, bye)},
			client: `close 1001 "idle"`, backend: `close 1001`, report: "idle gateway 1001 idle", at: 10 * s,
		},
		{
			name: "not idle yet", rules: Rules{Idle: 10 * s},
			events: []event{wait(10*s - instant)},
			report: "none client 0", open: true,
		},
		{
			name: "data of either side puts idleness off", rules: Rules{Idle: 10 * s},
			events: []event{wait(9 * s), receives(Client, ten), wait(9 * s), receives(Backend, ten), wait(30 * s)},
			client: `text "0123456789", close 1001 "idle"`, backend: `text "0123456789", close 1001`,
			report: "idle gateway 1001 idle", at: 28 * s, cut: true,
		},
		{
			name: "parts of frames put it off", rules: Rules{Idle: 10 * s},
			events: []event{
				wait(9 * s), part(Client, 0, 7, ten), wait(9 * s), part(Client, 7, 9, ten), wait(9 * s), part(Client, 9, 16, ten), wait(10 * s),
			},
			client: `close 1001 "idle"`, backend: `text "0123456789", close 1001`, report: "idle gateway 1001 idle", at: 37 * s, open: true,
		},
		{
			name: "control frames do not put it off", rules: Rules{Idle: 10 * s},
			events: []event{wait(9 * s), receives(Client, wstest.Ping("")), receives(Backend, wstest.Pong("")), part(Client, 0, 3, wstest.Ping("abc")), wait(s)},
			client: `pong, close 1001 "idle"`, backend: `ping, close 1001`, report: "idle gateway 1001 idle", at: 10 * s, open: true,
		},
		{
			name: "the gateway's pings do not put it off", rules: Rules{Idle: 10 * s, Ping: 4 * s, Pong: 3 * s},
			events: []event{wait(4 * s), pongs(Client), pongs(Backend), wait(4 * s), pongs(Backend), pongs(Client), wait(2 * s), receives(Client, bye), receives(Backend, bye)},
			client: `ping "gateway!", ping "gateway!", close 1001 "idle"`, backend: `ping "gateway!", ping "gateway!", close 1001`,
			report: "idle gateway 1001 idle", at: 10 * s,
		},
		{
			name: "idle inside a frame, whose end comes first", rules: Rules{Idle: 10 * s},
			events: []event{part(Client, 0, 9, ten), wait(10 * s), part(Client, 9, 16, ten), receives(Client, ten, bye), eof(Backend)},
			client: `close 1001 "idle"`, backend: `text "0123456789", close 1001`, report: "idle gateway 1001 idle", at: 10 * s,
		},
		{
			name: "idle inside a frame that does not go on", rules: Rules{Idle: 10 * s},
			events: []event{part(Client, 0, 9, ten), wait(10*s + CloseTimeout)},
			client: `close 1001 "idle"`, backend: `+9 bytes`, report: "idle gateway 1001 idle", at: 10 * s, cut: true,
		},
		{
			name: "idle inside a message", rules: Rules{Idle: 10 * s},
			events: []event{receives(Backend, wstest.Part(ws.OpText, "a")), wait(10 * s), eof(Client), eof(Backend)},
			client: `text- "a", close 1001 "idle"`, backend: `close 1001`, report: "idle gateway 1001 idle", at: 10 * s,
		},
		{
			name: "idleness counts no more once the session is closing", rules: Rules{Idle: 3 * s},
			events: []event{wait(2 * s), receives(Client, wstest.Close(1000, "bye")), wait(4 * s), receives(Backend, wstest.Close(1000, ""))},
			client: `close 1000`, backend: `close 1000 "bye"`, report: "close client 1000 bye", at: 2 * s,
		},
		{
			name: "idleness counts no more once a side is lost", rules: Rules{Idle: 3 * s},
			events: []event{wait(2 * s), eof(Client), wait(4 * s), receives(Backend, ten, bye)},
			client: `text "0123456789", close 1001`, backend: `close 1001`, report: "lost client 1001", at: 2 * s,
			detail: "the client closed the connection without a Close frame",
		},

		{
			name: "the life is over", rules: Rules{Lifetime: 100 * s},
			events: []event{wait(50 * s), receives(Client, ten), wait(49 * s), receives(Backend, ten), wait(s), receives(Client, bye), receives(Backend, bye)},
			client: `text "0123456789", close 1001 "lifetime over"`, backend: `text "0123456789", close 1001`,
			report: "lifetime over gateway 1001 lifetime over", at: 100 * s,
		},
		{
			name: "the life is not over", rules: Rules{Lifetime: 100 * s},
			events: []event{wait(100*s - instant)},
			report: "none client 0", open: true,
		},
		{
			name: "life before idleness", rules: Rules{Lifetime: 10 * s, Idle: 10 * s},
			events: []event{wait(10 * s), eof(Client), eof(Backend)},
			client: `close 1001 "lifetime over"`, backend: `close 1001`, report: "lifetime over gateway 1001 lifetime over", at: 10 * s,
		},

		{
			name: "silence is met with a ping", rules: pings,
			events: []event{wait(10 * s)},
			client: `ping "gateway!"`, backend: `ping "gateway!"`, report: "none client 0", open: true,
		},
		{
			name: "not sooner", rules: pings,
			events: []event{wait(10*s - instant)},
			report: "none client 0", open: true,
		},
		{
			name: "each side by its own silence", rules: pings,
			events: []event{wait(6 * s), receives(Client, ten), wait(4 * s), receives(Backend, wstest.Pong("")), wait(6*s - instant)},
			client: `pong`, backend: `text "0123456789", ping "gateway!"`, report: "none client 0", open: true,
		},
		{
			name: "any frame breaks the silence, and any part of one that goes on", rules: pings,
			events: []event{wait(9 * s), part(Client, 0, 6, ten), receives(Backend, wstest.Ping("p")), wait(9 * s), part(Client, 6, 7, ten), receives(Backend, wstest.Pong("")), wait(9 * s)},
			client: `ping "p", pong`, backend: `+7 bytes`, report: "none client 0", open: true,
		},
		{
			name: "what does not go on is silence", rules: pings,
			events: []event{
				wait(9 * s), part(Client, 0, 7, wstest.Ping("never ends")), receives(Backend, ten), wait(s), raw(Client, ""), wait(3 * s), raw(Client, ""), wait(2 * s),
				eof(Client), eof(Backend),
			},
			client: `text "0123456789", ping "gateway!", close 1001 "ping unanswered"`, backend: `close 1001`,
			report: "ping unanswered client 1001 ping unanswered", at: 15 * s,
		},
		{
			name: "answers are swallowed, and silence counts from them", rules: pings,
			events: []event{
				wait(10 * s), wait(3 * s), pongs(Client), pongs(Backend), wait(10*s - instant), receives(Client, wstest.Text("x")), wait(instant),
			},
			client: `ping "gateway!"`, backend: `ping "gateway!", text "x", ping "gateway!"`, report: "none client 0", open: true,
		},
		{
			name: "the client does not answer", rules: pings,
			events: []event{wait(10 * s), pongs(Backend), wait(5*s - instant), receives(Backend, ten), wait(instant), receives(Client, bye), receives(Backend, bye)},
			client: `ping "gateway!", text "0123456789", close 1001 "ping unanswered"`, backend: `ping "gateway!", close 1001`,
			report: "ping unanswered client 1001 ping unanswered", at: 15 * s,
		},
		{
			name: "the backend does not answer", rules: pings,
			events: []event{wait(10 * s), pongs(Client), wait(5 * s), receives(Client, bye), receives(Backend, bye)},
			client: `ping "gateway!", close 1001 "ping unanswered"`, backend: `ping "gateway!", close 1001`,
			report: "ping unanswered backend 1001 ping unanswered", at: 15 * s,
		},
		{
			name: "whatever comes after a ping is an answer", rules: pings,
			events: []event{wait(10 * s), wait(3 * s), receives(Client, ten), part(Backend, 0, 2, ten), wait(10*s - instant)},
			client: `ping "gateway!" +2 bytes`, backend: `ping "gateway!", text "0123456789"`, report: "none client 0", open: true,
		},
		{
			name: "the next silence gets another ping", rules: pings,
			events: []event{wait(10 * s), wait(3 * s), receives(Client, ten), pongs(Backend), wait(7 * s), receives(Backend, ten), wait(3 * s), wait(5 * s), eof(Backend), eof(Client)},
			client: `ping "gateway!", text "0123456789", ping "gateway!", close 1001 "ping unanswered"`, backend: `ping "gateway!", text "0123456789", close 1001`,
			report: "ping unanswered client 1001 ping unanswered", at: 28 * s,
		},
		{
			name: "a ping waits for the end of a frame, and its time counts from there", rules: pings,
			events: []event{
				part(Backend, 0, 5, ten), wait(9 * s), part(Backend, 5, 6, ten), wait(8 * s),
				part(Backend, 6, 12, ten), wait(5*s - instant), pongs(Client), wait(instant),
			},
			client: `text "0123456789", ping "gateway!"`, report: "none client 0", open: true,
		},
		{
			name: "a ping that waited for the end of a frame is not answered", rules: pings,
			events: []event{
				part(Backend, 0, 5, ten), wait(9 * s), part(Backend, 5, 6, ten), wait(8 * s),
				part(Backend, 6, 12, ten), wait(5 * s), eof(Client), eof(Backend),
			},
			client: `text "0123456789", ping "gateway!", close 1001 "ping unanswered"`, backend: `close 1001`,
			report: "ping unanswered client 1001 ping unanswered", at: 22 * s,
		},
		{
			name: "a ping stands between the frames of a message", rules: pings,
			events: []event{receives(Backend, wstest.Part(ws.OpText, "a")), wait(10 * s), pongs(Client), receives(Backend, wstest.Last("b"))},
			client: `text- "a", ping "gateway!", more "b"`, backend: `ping "gateway!"`, report: "none client 0", open: true,
		},
		{
			name: "a reader that stalls and speaks is alive", rules: pings,
			events: []event{
				stalls(Backend, ten), wait(10 * s), receives(Client, wstest.Ping("alive")), wait(9 * s), receives(Client, wstest.Ping("alive")),
				wait(9 * s), writesOn(Client), wait(5*s - instant), pongs(Client), wait(instant),
			},
			client: `text "0123456789", ping "gateway!"`, backend: `ping "alive", ping "alive", ping "gateway!"`, report: "none client 0", open: true,
		},
		{
			name: "a reader that takes nothing while its ping waits", rules: pings,
			events:  []event{stalls(Backend, ten), wait(15*s - instant), wait(instant)},
			backend: `close 1001`, report: "ping unanswered client 1001 ping unanswered", at: 15 * s, open: true,
		},
		{
			name: "a reader that takes nothing after its ping", rules: pings,
			events:  []event{wait(10 * s), wait(s), pongs(Backend), stalls(Backend, ten), wait(5 * s)},
			client:  `ping "gateway!"`,
			backend: `ping "gateway!", close 1001`, report: "ping unanswered client 1001 ping unanswered", at: 16 * s, open: true,
		},
		{
			name: "a slow reader is alive", rules: pings,
			events: []event{stalls(Backend, ten), wait(14 * s), takesSome(Client), wait(4 * s), takesSome(Client), wait(5*s - instant), writesOn(Client), wait(5*s - instant), pongs(Client)},
			client: `text "0123456789", ping "gateway!"`, report: "none client 0", open: true,
		},
		{
			name: "a slow reader that takes no more", rules: pings,
			events:  []event{stalls(Backend, ten), wait(14 * s), takesSome(Client), wait(5 * s)},
			backend: `close 1001`, report: "ping unanswered client 1001 ping unanswered", at: 19 * s, open: true,
		},
		{
			name: "two readers that wait for each other", rules: pings,
			events: []event{stalls(Backend, ten), stalls(Client, ten), wait(15 * s)},
			report: "ping unanswered client 1001 ping unanswered", at: 15 * s, open: true,
		},

		{
			name: "while a side owes the other one a pong it gets no ping of the gateway's", rules: pings,
			events: []event{
				wait(9 * s), receives(Backend, wstest.Ping("p")), wait(5 * s), receives(Client, wstest.Pong("p")), wait(4 * s), receives(Backend, ten), wait(6 * s),
			},
			client: `ping "p", text "0123456789", ping "gateway!"`, backend: `pong "p"`, report: "none client 0", open: true,
		},
		{
			name: "the other side's ping is not answered", rules: pings,
			events: []event{wait(9 * s), receives(Backend, wstest.Ping("p")), wait(6 * s), eof(Client), eof(Backend)},
			client: `ping "p", close 1001 "ping unanswered"`, backend: `close 1001`,
			report: "ping unanswered client 1001 ping unanswered", at: 15 * s,
		},
		{
			name: "the other side's pings do not put the end off", rules: pings,
			events: []event{
				wait(9 * s), receives(Backend, wstest.Ping("p")), wait(3 * s), receives(Backend, wstest.Ping("q")), wait(2 * s), receives(Backend, wstest.Ping("r")), wait(s),
				eof(Client), eof(Backend),
			},
			client: `ping "p", ping "q", ping "r", close 1001 "ping unanswered"`, backend: `close 1001`,
			report: "ping unanswered client 1001 ping unanswered", at: 15 * s,
		},
		{
			name: "the answer to an older ping is not the answer to the last one", rules: Rules{Ping: 2 * s, Pong: 8 * s},
			events: []event{
				receives(Backend, wstest.Ping("p"), wstest.Ping("q")), wait(s), receives(Client, wstest.Pong("p")), receives(Backend, ten), wait(2*s - instant), receives(Backend, ten),
				wait(2*s - instant), receives(Backend, ten), wait(2*s - instant), receives(Client, wstest.Pong("q")), receives(Backend, ten), wait(2*s - instant),
			},
			client: `ping "p", ping "q", text "0123456789", text "0123456789", text "0123456789", text "0123456789"`, backend: `pong "p", pong "q"`,
			report: "none client 0", open: true,
		},
		{
			name: "a side that answers with another pong is asked later", rules: Rules{Ping: 2 * s, Pong: 8 * s},
			events: []event{
				receives(Backend, wstest.Ping("p")), wait(s), receives(Client, wstest.Pong("")), wait(s), receives(Backend, ten), wait(2 * s), pongs(Backend),
				wait(2 * s), pongs(Backend), wait(2 * s), pongs(Backend), receives(Backend, ten), wait(2 * s), pongs(Backend), pongs(Client),
			},
			client: `ping "p", text "0123456789", ping "gateway!", text "0123456789"`, backend: `pong, ping "gateway!", ping "gateway!", ping "gateway!", ping "gateway!", ping "gateway!"`, report: "none client 0", open: true,
		},
		{
			name: "a ping of the other side serves as the one that waits for the end of its frame", rules: pings,
			events: []event{
				part(Backend, 0, 5, ten), wait(9 * s), part(Backend, 5, 6, ten), wait(8 * s), raw(Backend, string(frametest.Encode(Backend, ten)[6:])+string(frametest.Encode(Backend, wstest.Ping("p")))),
				wait(5*s - instant), receives(Client, wstest.Pong("p")), wait(s),
			},
			client: `text "0123456789", ping "p"`, backend: `pong "p"`, report: "none client 0", open: true,
		},
		{
			name: "a side that is not read is not blamed", rules: pings,
			events: []event{
				wait(10 * s), pongs(Client), stalls(Backend, ten), wait(9 * s), receives(Client, ten), wait(9 * s), receives(Client, ten), wait(9 * s), writesOn(Client),
			},
			client: `ping "gateway!", text "0123456789"`, backend: `ping "gateway!", text "0123456789", text "0123456789"`, report: "none client 0", open: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

// A side may take nothing of the bytes that wait for it for as long as Stall, with pings or
// without.
func TestCoreByTheClockOfStalls(t *testing.T) {
	t.Parallel()
	ten := wstest.Text("0123456789")
	bye := wstest.Close(1001, "")
	stall := Rules{Stall: 10 * s}
	tests := []coreTest{
		{
			name: "a client that takes nothing", rules: stall,
			events:  []event{wait(3 * s), stalls(Backend, ten), wait(10 * s), receives(Backend, bye)},
			backend: `close 1001`, report: "stalled client 1001 stalled", at: 13 * s, open: true,
		},
		{
			name: "a backend that takes nothing", rules: stall,
			events: []event{wait(3 * s), stalls(Client, ten), wait(10 * s), receives(Client, bye)},
			client: `close 1001 "stalled"`, report: "stalled backend 1001 stalled", at: 13 * s, open: true,
		},
		{
			name: "not yet", rules: stall,
			events: []event{wait(3 * s), stalls(Backend, ten), wait(10*s - instant)},
			report: "none client 0", open: true,
		},
		{
			name: "one that takes bytes again is told after them", rules: stall,
			events: []event{stalls(Backend, ten), wait(10 * s), wait(CloseTimeout - instant), writesOn(Client), receives(Client, bye), receives(Backend, bye)},
			client: `text "0123456789", close 1001 "stalled"`, backend: `close 1001`, report: "stalled client 1001 stalled", at: 10 * s,
		},
		{
			name: "a slow reader", rules: stall,
			events: []event{stalls(Backend, ten), wait(9 * s), takesSome(Client), wait(9 * s), takesSome(Client), wait(9 * s), writesOn(Client), wait(time.Hour)},
			client: `text "0123456789"`, report: "none client 0", open: true,
		},
		{
			name: "a slow reader that takes no more", rules: stall,
			events:  []event{stalls(Backend, ten), wait(9 * s), takesSome(Client), wait(10 * s)},
			backend: `close 1001`, report: "stalled client 1001 stalled", at: 19 * s, open: true,
		},
		{
			name: "a reader that stalls and speaks", rules: stall,
			events:  []event{stalls(Backend, ten), wait(9 * s), receives(Client, wstest.Ping("alive")), wait(s)},
			backend: `ping "alive", close 1001`, report: "stalled client 1001 stalled", at: 10 * s, open: true,
		},
		{
			name: "a client that never ends a TLS record", rules: stall,
			events: []event{wait(3 * s), begins(Client), receives(Backend, ten), wait(10 * s), receives(Backend, bye)},
			client: `text "0123456789", close 1001 "stalled"`, backend: `close 1001`, report: "stalled client 1001 stalled", at: 13 * s, open: true,
		},
		{
			name: "a backend that never ends a TLS record", rules: stall,
			events: []event{wait(3 * s), begins(Backend), wait(10 * s), receives(Client, bye)},
			client: `close 1001 "stalled"`, backend: `close 1001`, report: "stalled backend 1001 stalled", at: 13 * s, open: true,
		},
		{
			name: "one that ends it in time", rules: stall,
			events: []event{begins(Client), wait(10*s - instant), begins(Client), wait(10*s - instant)},
			report: "none client 0", open: true,
		},
		{
			name: "two readers that wait for each other", rules: stall,
			events: []event{stalls(Client, ten), wait(s), stalls(Backend, ten), wait(10 * s)},
			report: "stalled backend 1001 stalled", at: 10 * s, open: true,
		},
		{
			name: "before a ping is unanswered", rules: Rules{Stall: 10 * s, Ping: 10 * s, Pong: 5 * s},
			events:  []event{stalls(Backend, ten), wait(9 * s), receives(Client, wstest.Pong("")), wait(s)},
			backend: `pong, close 1001`, report: "stalled client 1001 stalled", at: 10 * s, open: true,
		},
		{
			name: "after a ping that is unanswered", rules: Rules{Stall: 20 * s, Ping: 10 * s, Pong: 5 * s},
			events:  []event{stalls(Backend, ten), wait(15 * s)},
			backend: `close 1001`, report: "ping unanswered client 1001 ping unanswered", at: 15 * s, open: true,
		},
		{
			name: "a side that is over a rate does not make the other one stall", rules: Rules{Stall: s, Client: Traffic{MessageRate: 1.0 / 30, MessageBurst: 1}},
			events:  []event{receives(Client, ten, ten), wait(30*s - instant)},
			backend: `text "0123456789"`, report: "none client 0", open: true,
		},
		{
			name:    "a rule for a side that has stalled for longer",
			events:  []event{stalls(Backend, ten), wait(time.Hour), sets(stall), wait(0)},
			backend: `close 1001`, report: "stalled client 1001 stalled", at: time.Hour, open: true,
		},
		{
			name: "a rule that is taken back", rules: stall,
			events: []event{stalls(Backend, ten), wait(9 * s), sets(Rules{}), wait(time.Hour), writesOn(Client)},
			client: `text "0123456789"`, report: "none client 0", open: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

func TestCoreByTheClockAndItsRates(t *testing.T) {
	t.Parallel()
	one := wstest.Text("a")
	slow := Traffic{MessageRate: 1.0 / 30, MessageBurst: 1}
	tests := []coreTest{
		{
			name: "a side over a rate is not read, gets no ping and is not blamed", rules: Rules{Client: slow, Ping: 4 * s, Pong: 2 * s},
			events: []event{
				receives(Client, one, one), wait(4 * s), pongs(Backend), wait(4 * s), pongs(Backend), wait(4 * s), pongs(Backend), wait(4 * s), pongs(Backend),
			},
			backend: `text "a", ping "gateway!", ping "gateway!", ping "gateway!", ping "gateway!"`, report: "none client 0", open: true,
		},
		{
			name: "what waits for its time goes on in it", rules: Rules{Client: slow},
			events:  []event{receives(Client, one, one, one), wait(30*s - instant), receives(Backend, one), wait(instant)},
			backend: `text "a", text "a"`, client: `text "a"`, report: "none client 0", open: true,
		},
		{
			name: "what waits for its time is idle", rules: Rules{Client: slow, Idle: 10 * s},
			events:  []event{receives(Client, one, one), wait(10 * s), receives(Backend, one, wstest.Close(1001, "")), receives(Client, wstest.Close(1001, ""))},
			backend: `text "a", close 1001`, client: `close 1001 "idle"`, report: "idle gateway 1001 idle", at: 10 * s,
		},
		{
			name: "an end waits for no rate", rules: Rules{Client: slow},
			events:  []event{receives(Client, one, one, one, wstest.Close(1000, "")), wait(s), receives(Backend, wstest.Close(4000, "")), raw(Client, "")},
			backend: `text "a", text "a", text "a", close 1000`, client: `close 4000`, report: "close backend 4000", at: s,
		},
		{
			name: "a rate that is taken away holds nothing", rules: Rules{Client: slow},
			events:  []event{receives(Client, one, one, one), wait(s), sets(Rules{}), raw(Client, "")},
			backend: `text "a", text "a", text "a"`, report: "none client 0", open: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

func TestCoreUnderRulesThatChange(t *testing.T) {
	t.Parallel()
	ten := wstest.Text("0123456789")
	tests := []coreTest{
		{
			name:   "idleness counts from the last data, whenever the rule came",
			events: []event{wait(5 * s), receives(Client, ten), wait(8 * s), sets(Rules{Idle: 10 * s}), wait(2 * s), eof(Client), eof(Backend)},
			client: `close 1001 "idle"`, backend: `text "0123456789", close 1001`, report: "idle gateway 1001 idle", at: 15 * s,
		},
		{
			name:   "a session that is idle already ends when the rule comes",
			events: []event{wait(50 * s), sets(Rules{Idle: 10 * s}), wait(0), eof(Client), eof(Backend)},
			client: `close 1001 "idle"`, backend: `close 1001`, report: "idle gateway 1001 idle", at: 50 * s,
		},
		{
			name: "a longer time", rules: Rules{Idle: 10 * s, Lifetime: 20 * s},
			events: []event{wait(9 * s), sets(Rules{Idle: 30 * s, Lifetime: 40 * s}), wait(30*s - 9*s - instant)},
			report: "none client 0", open: true,
		},
		{
			name: "no times any more", rules: Rules{Idle: 10 * s, Lifetime: 20 * s, Ping: 5 * s, Pong: s},
			events: []event{wait(5 * s), sets(Rules{}), wait(time.Hour), pongs(Client), pongs(Backend)},
			client: `ping "gateway!"`, backend: `ping "gateway!"`, report: "none client 0", open: true,
		},
		{
			name:   "a life that has been too long ends",
			events: []event{wait(50 * s), sets(Rules{Lifetime: 20 * s}), wait(0), eof(Client), eof(Backend)},
			client: `close 1001 "lifetime over"`, backend: `close 1001`, report: "lifetime over gateway 1001 lifetime over", at: 50 * s,
		},
		{
			name: "a smaller size binds the next frame", rules: Rules{Client: Traffic{Frame: 100}},
			events: []event{receives(Client, ten), part(Client, 0, 9, ten), sets(Rules{Client: Traffic{Frame: 9}}), part(Client, 9, 16, ten), receives(Client, ten, wstest.Close(1009, "")), eof(Backend)},
			client: `close 1009 "a frame over the size limit"`, backend: `text "0123456789", text "0123456789", close 1001`,
			report: "too large client 1009 a frame over the size limit", detail: "the client sent a frame over the size limit",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

func TestCorePlans(t *testing.T) {
	t.Parallel()
	bye := wstest.Close(1001, "")
	tests := []coreTest{
		{
			name:   "an end in its moment",
			events: []event{planned(RouteRemoved, 10*s), wait(10*s - instant), receives(Client, wstest.Text("a")), wait(instant), receives(Client, bye), receives(Backend, bye)},
			client: `close 1012 "route removed"`, backend: `text "a", close 1001`, report: "route removed gateway 1012 route removed", at: 10 * s,
		},
		{
			name:   "the earlier of two ends, planned first",
			events: []event{planned(RouteRemoved, 10*s), planned(Shutdown, 11*s), wait(11 * s), receives(Client, bye), receives(Backend, bye)},
			client: `close 1012 "route removed"`, backend: `close 1001`, report: "route removed gateway 1012 route removed", at: 10 * s,
		},
		{
			name:   "the earlier of two ends, planned second",
			events: []event{planned(RouteRemoved, 10*s), planned(Shutdown, 9*s), wait(9 * s), receives(Client, bye), receives(Backend, bye)},
			client: `close 1001 "shutdown"`, backend: `close 1001`, report: "shutdown gateway 1001 shutdown", at: 9 * s,
		},
		{
			name:   "an end with a code and a reason of its own",
			events: []event{plannedWith(Ending{Operator, 4003, "go away"}, 10*s), wait(10*s - instant), receives(Backend, wstest.Text("a")), wait(instant), receives(Client, bye), receives(Backend, bye)},
			client: `text "a", close 4003 "go away"`, backend: `close 1001`, report: "ended by operator gateway 4003 go away", at: 10 * s,
		},
		{
			name:   "an earlier end without, planned after it",
			events: []event{plannedWith(Ending{Operator, 4003, "go away"}, 10*s), planned(Shutdown, 9*s), wait(9 * s), receives(Client, bye), receives(Backend, bye)},
			client: `close 1001 "shutdown"`, backend: `close 1001`, report: "shutdown gateway 1001 shutdown", at: 9 * s,
		},
		{
			name:   "a later end with a code changes nothing",
			events: []event{planned(Expired, 9*s), plannedWith(Ending{Operator, 4003, "go away"}, 10*s), wait(9 * s), receives(Client, bye), receives(Backend, bye)},
			client: `close 1008 "credential expired"`, backend: `close 1001`, report: "credential expired gateway 1008 credential expired", at: 9 * s,
		},
		{
			name:   "a moment that is over",
			events: []event{wait(5 * s), plannedWith(Ending{Cause: Expired}, -10*s), wait(0), receives(Client, bye), receives(Backend, bye)},
			client: `close 1008 "credential expired"`, backend: `close 1001`, report: "credential expired gateway 1008 credential expired", at: 5 * s,
		},
		{
			name:   "a Close frame before it",
			events: []event{plannedWith(Ending{Operator, 4003, "go away"}, 10*s), wait(9 * s), receives(Client, wstest.Close(1000, "bye")), wait(2 * s), receives(Backend, wstest.Close(1000, ""))},
			client: `close 1000`, backend: `close 1000 "bye"`, report: "close client 1000 bye", at: 9 * s,
		},
		{
			name: "a rule that ends the session sooner", rules: Rules{Idle: 5 * s},
			events: []event{planned(RouteRemoved, 10*s), wait(5 * s), receives(Client, bye), receives(Backend, bye)},
			client: `close 1001 "idle"`, backend: `close 1001`, report: "idle gateway 1001 idle", at: 5 * s,
		},
		{
			name: "and a later one", rules: Rules{Idle: 15 * s, Lifetime: 11 * s, Ping: 3 * s, Pong: 20 * s},
			events: []event{planned(BackendRemoved, 10*s), wait(10 * s), eof(Client), eof(Backend)},
			client: `ping "gateway!", close 1012 "backend removed"`, backend: `ping "gateway!", close 1001`, report: "backend removed gateway 1012 backend removed", at: 10 * s,
		},
		{
			name:   "a session that ends before has its own time for answers",
			events: []event{planned(RouteRemoved, 10*s), wait(9 * s), receives(Client, wstest.Close(1000, "")), wait(CloseTimeout - instant), receives(Backend, wstest.Close(1000, ""))},
			client: `close 1000`, backend: `close 1000`, report: "close client 1000", at: 9 * s,
		},
		{
			name:   "and no more",
			events: []event{planned(RouteRemoved, time.Hour), wait(9 * s), receives(Client, wstest.Close(1000, "")), wait(CloseTimeout)},
			client: `close 1000`, backend: `close 1000`, report: "close client 1000", at: 9 * s, cut: true,
		},
		{
			name:   "an end planned while the session closes changes nothing",
			events: []event{receives(Client, wstest.Close(1000, "")), planned(RouteRemoved, s), wait(CloseTimeout - instant), receives(Backend, wstest.Close(1000, ""))},
			client: `close 1000`, backend: `close 1000`, report: "close client 1000",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

// Sessions end in the last tenth of their lifetime, spread evenly over it, and a session always
// at the same moment.
func TestLivesEndInTheLastTenth(t *testing.T) {
	t.Parallel()
	const life = 1000 * s
	var g Group
	g.Set(Rules{Lifetime: life})
	over := func(id uint64) int64 {
		c := newCore(&Session{ID: id, Group: &g})
		when := c.NextDue(1, [2]int64{}, [2]int64{})
		if again := c.NextDue(when-1, [2]int64{}, [2]int64{}); again != when {
			t.Errorf("session %x: due at %d, then at %d", id, when, again)
		}
		if c.Tick(when-1, [2]int64{}, [2]int64{}); c.cause != 0 {
			t.Errorf("session %x ended before %d", id, when)
		}
		if c.Tick(when, [2]int64{}, [2]int64{}); c.cause != Lifetime || c.by != Gateway {
			t.Errorf("session %x: cause %s by the %s at %d; want its life", id, c.cause, c.by, when)
		}
		return when
	}
	tests := []struct {
		id   uint64
		want time.Duration
	}{
		{0, life},
		{1 << 32, life},
		{1 << 31, life * 19 / 20},
		{0xabcd<<32 | 1<<30, life * 39 / 40},
		{math.MaxUint32, life*9/10 + 23*time.Nanosecond},
		{math.MaxUint64, life*9/10 + 23*time.Nanosecond},
	}
	for _, tt := range tests {
		if got := time.Duration(over(tt.id) - 1); got != tt.want && (got < tt.want-30 || got > tt.want+30) {
			t.Errorf("session %x ends after %v; want %v", tt.id, got, tt.want)
		}
	}
}

// The codes that both sides get when the gateway ends the session.
func TestCodesOfTheGatewaysEnds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		cause           Cause
		client, backend string
		code            ws.StatusCode
	}{
		{Idle, `close 1001 "idle"`, `close 1001`, 1001},
		{Lifetime, `close 1001 "lifetime over"`, `close 1001`, 1001},
		{Stalled, `close 1001 "stalled"`, `close 1001`, 1001},
		{Unanswered, `close 1001 "ping unanswered"`, `close 1001`, 1001},
		{Shutdown, `close 1001 "shutdown"`, `close 1001`, 1001},
		{RouteRemoved, `close 1012 "route removed"`, `close 1001`, frame.StatusServiceRestart},
		{BackendRemoved, `close 1012 "backend removed"`, `close 1001`, frame.StatusServiceRestart},
		{Drained, `close 1012 "drained"`, `close 1001`, frame.StatusServiceRestart},
		{Rebalanced, `close 1012 "rebalanced"`, `close 1001`, frame.StatusServiceRestart},
		{Internal, `close 1011 "internal error"`, `close 1001`, ws.StatusInternalServerError},
		{Expired, `close 1008 "credential expired"`, `close 1001`, ws.StatusPolicyViolation},
		{Operator, `close 1008 "ended by operator"`, `close 1001`, ws.StatusPolicyViolation},
	}
	for _, tt := range tests {
		c := newCore(&Session{})
		c.End(Ending{Cause: tt.cause}, Gateway)
		toClient, toBackend := frametest.Parse(Backend, false, c.AppendOwn(Client, nil, 1)), frametest.Parse(Client, false, c.AppendOwn(Backend, nil, 1))
		if toClient.String() != tt.client || toBackend.String() != tt.backend || c.code != tt.code {
			t.Errorf("%s: the client gets %s, the backend %s, code %d; want %s, %s, %d", tt.cause, &toClient, &toBackend, c.code, tt.client, tt.backend, tt.code)
		}
	}
}

func TestSetTellsWhatIsNew(t *testing.T) {
	t.Parallel()
	var g Group
	limited := Rules{Client: Traffic{Frame: 1}}
	for i, s := range []struct {
		rules Rules
		want  bool
	}{{Rules{}, false}, {limited, true}, {limited, false}, {Rules{Idle: s}, true}, {Rules{}, true}, {Rules{}, false}} {
		if got := g.Set(s.rules); got != s.want {
			t.Errorf("call %d: Set(%+v) = %t; want %t", i, s.rules, got, s.want)
		}
	}
}

// Pings cannot be predicted.
func TestPingsAreUnpredictable(t *testing.T) {
	t.Parallel()
	const n = 1000
	seen := map[string]bool{}
	for range n {
		p := newCoreFixture(false, Rules{Ping: s, Pong: s})
		p.advanceTime(s)
		for _, side := range []Side{Client, Backend} {
			if seen[p.pings[side]] {
				t.Fatalf("ping %x comes twice", p.pings[side])
			}
			seen[p.pings[side]] = true
			pongs(side)(p)
		}
		if got := fmt.Sprint(len(p.passed[Client]), len(p.passed[Backend]), p.cause); got != "0 0 none" {
			t.Fatalf("pongs passed, or the session ended: %s", got)
		}
	}
	for bit := range 64 {
		set := 0
		for payload := range seen {
			set += int(payload[bit/8] >> (bit % 8) & 1)
		}
		if share := float64(set) / (2 * n); share < 0.4 || share > 0.6 {
			t.Errorf("bit %d is set in %d of %d pings", bit, set, 2*n)
		}
	}
}

// Pongs that come late, after data or after the next ping, do not reach the other side either.
func TestLatePongsGoNoFurther(t *testing.T) {
	t.Parallel()
	p := newCoreFixture(false, Rules{Ping: s, Pong: 10 * s})
	p.advanceTime(s)
	first := wstest.Pong(p.pings[Client])
	receives(Client, wstest.Text("a"))(p)
	p.advanceTime(s)
	receives(Client, first, wstest.Pong(p.pings[Client]))(p)
	receives(Client, wstest.Text("b"))(p)
	if r := frametest.Parse(Client, false, p.passed[Backend]); r.String() != `text "a", text "b"` {
		t.Errorf("the backend got %s; want the two messages", &r)
	}
}
