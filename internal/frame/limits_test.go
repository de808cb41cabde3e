package frame

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sluice/internal/limit"
)

const second = int64(1e9)

// walkUnderLimits is walk under limits. Its clock stands still, and is put forward whenever the
// sender has to wait. It stops at what is over a limit: the violation of the outcome.
func walkUnderLimits(t *testing.T, d *Direction, l *Limits, stream []byte, piece func() int, skip func() bool) (o outcome, took int64) {
	t.Helper()
	const start = 5 * second
	now, over := start, false
	wait := func() {
		switch until := d.Until(); {
		case until == 0:
		case l.EndOverRate:
			t.Fatalf("Until() = %d under limits that close", until)
		case until > now:
			now = until
		}
	}
	spent := func() { // the law of a token bucket
		if l.MessageRate.Unlimited() {
			return
		}
		if most := allowed(l.MessageRate, now-start); float64(d.Messages) > most {
			t.Fatalf("%d messages in %d ns; want at most %v", d.Messages, now-start, most)
		}
	}
	excess := func(v Violation) (outcome, int64) {
		o.violation, o.counts, o.boundary, o.left = v, d.Counts, d.Boundary(), d.Left()
		return o, now - start
	}
	var held []byte
	for rest := stream; len(rest) > 0; {
		n := min(max(piece(), 1), len(rest))
		if left := d.Left(); left > 0 && len(held) == 0 && skip() {
			n = int(min(int64(n), left))
			o.forwarded = append(o.forwarded, rest[:n]...)
			rest = rest[n:]
			if d.Passed(int64(n), l, now) {
				return excess(ByteRate)
			}
			wait()
			continue
		}
		held = append(held, rest[:n]...)
		rest = rest[n:]
		for more := true; more; {
			before := settled(*d, now)
			v := d.Next(held, l, now)
			switch v.Do {
			case Excess, Hold:
				if after := settled(*d, now); v.Take != 0 || after != before {
					t.Fatalf("Next(%x) = %+v changed %+v to %+v", held, v, before, after)
				}
				if v.Do == Excess {
					return excess(v.Violation)
				}
				if d.Until() <= now {
					t.Fatalf("Next(%x) = %+v at %d until %d", held, v, now, d.Until())
				}
			case Forward, Close:
				o.forwarded = append(o.forwarded, held[:v.Take]...)
				if v.Do == Close {
					o.close, over = bytes.Clone(held[:v.Take]), true
				}
			case End:
				o.violation, over = v.Violation, true
			case Wait, Drop:
			}
			spent()
			held = slices.Delete(held, 0, v.Take)
			more = len(held) > 0 && v.Do != Wait
			if !over {
				wait()
			}
		}
	}
	o.counts, o.held, o.boundary, o.left = d.Counts, len(held), d.Boundary(), d.Left()
	return o, now - start
}

// settled returns d as it is at a moment, without until.
func settled(d Direction, now int64) Direction {
	d.bytesFullAt, d.messagesFullAt, d.until, d.untilFor = max(d.bytesFullAt, now), max(d.messagesFullAt, now), 0, None
	return d
}

// allowed returns how many tokens p gives within a time: its burst, and the rate times the
// time.
func allowed(p limit.Bucket, took int64) float64 {
	burst := 0
	for full := int64(0); p.Take(&full, 1, 0) == 0 && burst < 1<<20; burst++ {
	}
	var full int64
	each := p.Spend(&full, int64(burst)+1000, 0) / 1000
	return float64(burst) + (float64(took)+1000)/float64(max(each, 1))
}

func TestSizesAtEverySplit(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		name    string
		deflate bool
		rules   gatewayRules
		stream  func(c bool) [][]byte // the last one is over, with a violation
		want    Violation
	}{
		{"a frame of the size", false, gatewayRules{frame: 130}, func(c bool) [][]byte {
			return [][]byte{build(c, fin|bin, x(130)), build(c, fin|bin, ""), build(c, bin, x(130)), build(c, fin|continuation, x(130))}
		}, None},
		{"a frame one byte over", false, gatewayRules{frame: 130}, func(c bool) [][]byte {
			return [][]byte{build(c, fin|bin, x(130)), build(c, fin|ping, "p"), build(c, fin|bin, x(131))}
		}, FrameSize},
		{"a frame of which only the header came", false, gatewayRules{frame: 1 << 20}, func(c bool) [][]byte {
			return [][]byte{build(c, fin|text, "a"), build(c, fin|bin, x(1<<20+1))[:14]}
		}, FrameSize},
		{"the longest length", false, gatewayRules{frame: math.MaxInt64 - 1}, func(c bool) [][]byte {
			b := []byte{fin | bin, 127 | build(c, 0, "")[1], 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}
			return [][]byte{b}
		}, FrameSize},
		{"a continuation over the size of a frame", false, gatewayRules{frame: 3}, func(c bool) [][]byte {
			return [][]byte{build(c, text, "abc"), build(c, continuation, "abcd")}
		}, FrameSize},
		{"a frame over the size of a message", false, gatewayRules{message: 3}, func(c bool) [][]byte {
			return [][]byte{build(c, fin|text, "abc"), build(c, fin|text, "abcd")}
		}, MessageSize},
		{"a message of the size in many frames", false, gatewayRules{message: 4}, func(c bool) [][]byte {
			return [][]byte{
				build(c, text, "ab"), build(c, continuation, ""), build(c, fin|ping, x(125)), build(c, fin|continuation, "cd"),
				build(c, fin|text, "abcd"), build(c, text, "abcd"), build(c, fin|continuation, ""),
			}
		}, None},
		{"a message that gets over with its last frame", false, gatewayRules{message: 4}, func(c bool) [][]byte {
			return [][]byte{build(c, text, "ab"), build(c, continuation, "cd"), build(c, fin|pong, ""), build(c, fin|continuation, "e")}
		}, MessageSize},
		{"a compressed message", true, gatewayRules{message: 4}, func(c bool) [][]byte {
			return [][]byte{build(c, fin|0x40|text, "abcd"), build(c, 0x40|bin, "abc"), build(c, fin|continuation, "de")}
		}, MessageSize},
		{"both sizes, the frame's first", false, gatewayRules{frame: 3, message: 3}, func(c bool) [][]byte {
			return [][]byte{build(c, fin|text, "abcd")}
		}, FrameSize},
		{"control frames have no size", false, gatewayRules{frame: 1, message: 1}, func(c bool) [][]byte {
			return [][]byte{build(c, fin|ping, x(125)), build(c, fin|pong, x(125)), build(c, fin|closing, close4(1000, "bye"))}
		}, None},
		{"a violation counts more", false, gatewayRules{frame: 1}, func(c bool) [][]byte {
			return [][]byte{build(c, fin|text, "a"), build(c, fin|0x20|text, "abc")}
		}, ReservedBits},
		{"messages up to the burst", false, gatewayRules{messages: 3}, func(c bool) [][]byte {
			return [][]byte{build(c, fin|text, "a"), build(c, text, ""), build(c, fin|ping, ""), build(c, fin|continuation, ""), build(c, fin|bin, x(70000))}
		}, None},
		{"messages over it", false, gatewayRules{messages: 2}, func(c bool) [][]byte {
			return [][]byte{build(c, fin|text, "a"), build(c, text, ""), build(c, fin|continuation, "b"), build(c, text, "a")}
		}, MessageRate},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, client := range []bool{true, false} {
				frames := tt.stream(client)
				stream := slices.Concat(frames...)
				before := stream
				if tt.want != None {
					before = slices.Concat(frames[:len(frames)-1]...)
				}
				want := reference(stream, client, tt.deflate, tt.rules)
				if want.violation != tt.want || !bytes.Equal(want.forwarded, before) {
					t.Fatalf("the reference says %v after %d bytes; want %v after %d", want.violation, len(want.forwarded), tt.want, len(before))
				}
				l := &Limits{Frame: tt.rules.frame, Message: tt.rules.message, MessageRate: limit.NewBucket(float64(tt.rules.messages)/1e6, int64(tt.rules.messages)), EndOverRate: true}
				for at := range min(len(stream), 400) {
					next := at
					d := direction(client, tt.deflate)
					got, _ := walkUnderLimits(t, &d, l, stream, func() int { n := next; next = len(stream); return n }, func() bool { return false })
					if diff := differ(got, want); diff != "" {
						t.Fatalf("%.100x cut at %d: %s", stream, at, diff)
					}
				}
				d := direction(client, tt.deflate)
				got, _ := walkUnderLimits(t, &d, l, stream, func() int { return 1 }, func() bool { return true })
				if diff := differ(got, want); diff != "" {
					t.Fatalf("%.100x byte by byte: %s", stream, diff)
				}
				if tt.want == None || tt.want == ReservedBits {
					continue
				}
				// Without limits the same bytes go on.
				if v := d.Next(frames[len(frames)-1], nil, 0); v != (Verdict{Do: Forward, Take: len(frames[len(frames)-1])}) {
					t.Errorf("without limits Next = %+v; want Forward of all", v)
				}
			}
		})
	}
}

// What a message had before there were limits counts, but has gone on.
func TestLimitsSetInTheMiddleOfAMessage(t *testing.T) {
	tests := []struct {
		name   string
		before []byte // without limits
		passed int64
		limits Limits
		next   []byte
		want   Verdict
	}{
		{"within the size", build(false, text, "abcd"), 0, Limits{Message: 6}, build(false, fin|continuation, "ef"), Verdict{Do: Forward, Take: 4}},
		{"over the size", build(false, text, "abcd"), 0, Limits{Message: 5}, build(false, fin|continuation, "ef"), Verdict{Do: Excess, Violation: MessageSize}},
		{"over the size already, and nothing more", build(false, text, "abcd"), 0, Limits{Message: 3}, build(false, fin|continuation, ""), Verdict{Do: Excess, Violation: MessageSize}},
		{"the frame under way goes on", build(false, fin|text, "abcd")[:4], 0, Limits{Frame: 1, Message: 1}, []byte("cd"), Verdict{Do: Forward, Take: 2}},
		{"but nothing after it", build(false, fin|text, "abcd")[:4], 2, Limits{Frame: 1}, build(false, fin|text, "ab"), Verdict{Do: Excess, Violation: FrameSize}},
		{"the message before does not count", build(false, fin|text, "abcd"), 0, Limits{Message: 1}, build(false, fin|text, "a"), Verdict{Do: Forward, Take: 3}},
		{
			"lengths that are too long to add", append([]byte{bin, 127}, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), math.MaxInt64,
			Limits{Message: math.MaxInt64 - 1}, []byte{fin | continuation, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, Verdict{Do: Excess, Violation: MessageSize},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := FromBackend(false)
			if v := d.Next(tt.before, nil, 0); v.Take != len(tt.before) {
				t.Fatalf("Next(%x) = %+v", tt.before, v)
			}
			if tt.passed > 0 {
				d.Passed(tt.passed, nil, 0)
			}
			if v := d.Next(tt.next, &tt.limits, 0); v != tt.want {
				t.Errorf("Next(%x) under %+v = %+v; want %+v", tt.next, tt.limits, v, tt.want)
			}
		})
	}
}

// A step is a call of Next or of Passed, and what it has to return.
type step struct {
	name   string
	at     float64 // seconds
	in     []byte
	passed int64 // instead of in
	want   Verdict
	until  float64
	excess bool // of Passed
}

func runSteps(t *testing.T, d *Direction, l *Limits, steps []step) {
	t.Helper()
	for _, s := range steps {
		now := int64(math.Round(s.at * 1e9))
		if s.passed > 0 {
			if excess := d.Passed(s.passed, l, now); excess != s.excess {
				t.Errorf("%s: Passed(%d) = %t; want %t", s.name, s.passed, excess, s.excess)
			}
		} else if v := d.Next(s.in, l, now); v != s.want {
			t.Errorf("%s: Next(%.60x) = %+v; want %+v", s.name, s.in, v, s.want)
		}
		if got := d.Until(); got != int64(math.Round(s.until*1e9)) {
			t.Errorf("%s: until %v s; want %v", s.name, float64(got)/1e9, s.until)
		}
	}
}

func forwards(n int) Verdict { return Verdict{Do: Forward, Take: n} }

func TestMessageRate(t *testing.T) {
	for _, kind := range []struct {
		name   string
		client bool
		frames [][]byte // of one message
	}{
		{"whole messages", false, [][]byte{build(false, fin|text, "abc")}},
		{"masked messages", true, [][]byte{build(true, fin|text, "abc")}},
		{"long messages", true, [][]byte{build(true, fin|text, strings.Repeat("x", 70000))}},
		{"fragmented messages", true, [][]byte{build(true, text, ""), build(true, fin|ping, "p"), build(true, continuation, "a"), build(true, fin|continuation, "b")}},
	} {
		one := slices.Concat(kind.frames...)
		n := len(one)
		three := bytes.Repeat(one, 3)
		ping := build(kind.client, fin|ping, "p")
		t.Run("delay "+kind.name, func(t *testing.T) {
			d := direction(kind.client, false)
			runSteps(t, &d, &Limits{MessageRate: limit.NewBucket(10, 2)}, []step{
				{name: "the burst", at: 1, in: three, want: forwards(2 * n), until: 1.1},
				{name: "the third", at: 1, in: one, want: Verdict{Do: Hold}, until: 1.1},
				{name: "too early", at: 1.0999, in: one, want: Verdict{Do: Hold}, until: 1.1},
				{name: "control frames in front of it", at: 1.05, in: slices.Concat(ping, one), want: forwards(len(ping)), until: 1.1},
				{name: "in its time", at: 1.1, in: one, want: forwards(n)},
				{name: "part of a header", at: 1.15, in: one[:1], want: Verdict{Do: Wait}},
				{name: "the fourth", at: 1.15, in: one, want: Verdict{Do: Hold}, until: 1.2},
				{name: "after a rest there is the burst and no more", at: 100, in: three, want: forwards(2 * n), until: 100.1},
				{name: "no limits any more", at: 100, in: one, want: Verdict{Do: Hold}, until: 100.1},
			})
			if d.Messages != 5 || d.Last != 100*second {
				t.Errorf("%d messages, the last one at %d", d.Messages, d.Last)
			}
			runSteps(t, &d, nil, []step{{name: "without limits", at: 100, in: three, want: forwards(3 * n)}})
		})
		t.Run("close "+kind.name, func(t *testing.T) {
			d := direction(kind.client, false)
			l := &Limits{MessageRate: limit.NewBucket(10, 2), EndOverRate: true}
			runSteps(t, &d, l, []step{
				{name: "the burst goes first", at: 1, in: three, want: forwards(2 * n)},
				{name: "the third", at: 1, in: one, want: Verdict{Do: Excess, Violation: MessageRate}},
				{name: "control frames go", at: 1, in: ping, want: forwards(len(ping))},
				{name: "in its time", at: 1.1, in: one, want: forwards(n)},
			})
			before := d
			runSteps(t, &d, l, []step{{name: "the fourth", at: 1.1, in: one, want: Verdict{Do: Excess, Violation: MessageRate}}})
			if d != before {
				t.Errorf("Excess changed %+v to %+v", before, d)
			}
			runSteps(t, &d, nil, []step{{name: "without limits", at: 1.1, in: one, want: forwards(n)}})
		})
	}
}

// A message that began goes on: its frames cost nothing more.
func TestARateDoesNotHoldTheMessageUnderWay(t *testing.T) {
	d := FromBackend(false)
	runSteps(t, &d, &Limits{MessageRate: limit.NewBucket(1, 1)}, []step{
		{name: "half a frame", at: 1, in: build(false, text, "abcd")[:4], want: forwards(4)},
		{name: "the rest, and more frames", at: 1, in: slices.Concat([]byte("cd"), build(false, continuation, "x"), build(false, fin|continuation, "y")), want: forwards(8)},
		{name: "the next message", at: 1, in: build(false, text, ""), want: Verdict{Do: Hold}, until: 2},
	})
}

func TestByteRate(t *testing.T) {
	frame := build(false, fin|bin, strings.Repeat("x", 996)) // 1000 bytes
	long := build(false, fin|bin, strings.Repeat("x", 70000))
	control := build(false, fin|ping, strings.Repeat("p", 98)) // 100 bytes
	t.Run("delay", func(t *testing.T) {
		d := FromBackend(false)
		runSteps(t, &d, &Limits{ByteRate: limit.NewBucket(1000, 2000)}, []step{
			{name: "the burst", at: 1, in: slices.Concat(frame, frame), want: forwards(2000)},
			{name: "what is over goes, and is waited for", at: 1, in: frame, want: forwards(1000), until: 2},
			{name: "control frames count", at: 2, in: control, want: forwards(100), until: 2.1},
			{name: "a debt is not forgotten for bytes that wait", at: 2.05, in: control[:3], want: Verdict{Do: Wait}, until: 2.1},
			{name: "paid", at: 2.1, in: control[:3], want: Verdict{Do: Wait}},
			{name: "a header", at: 2.1, in: long[:10], want: forwards(10), until: 2.11},
			{name: "payload that was not seen", at: 2.11, passed: 1000, until: 3.11},
			{name: "more of it after a rest", at: 10, passed: 3000, until: 11},
			{name: "the rest, seen", at: 11, in: long[4010:5010], want: forwards(1000), until: 12},
		})
	})
	t.Run("close", func(t *testing.T) {
		d := FromBackend(false)
		l := &Limits{ByteRate: limit.NewBucket(1000, 2000), EndOverRate: true}
		runSteps(t, &d, l, []step{{name: "the burst", at: 1, in: slices.Concat(frame, frame), want: forwards(2000)}})
		for _, in := range [][]byte{frame, control, long[:10], slices.Concat(control, build(false, text, "")), build(false, fin|closing, "")} {
			before := d
			runSteps(t, &d, l, []step{{name: "over it", at: 1, in: in, want: Verdict{Do: Excess, Violation: ByteRate}}})
			if d != before {
				t.Errorf("Excess of %.20x changed %+v to %+v", in, before, d)
			}
		}
		runSteps(t, &d, l, []step{
			{name: "bytes that wait cost nothing", at: 1, in: control[:50], want: Verdict{Do: Wait}},
			{name: "a header in its time", at: 2, in: long[:10], want: forwards(10)},
			{name: "payload that was not seen", at: 2, passed: 990},
			{name: "more of it", at: 2, passed: 1, excess: true},
			{name: "the rest, seen", at: 2, in: long[1001:1002], want: Verdict{Do: Excess, Violation: ByteRate}},
		})
		runSteps(t, &d, nil, []step{{name: "without limits", at: 2, in: long[1001:], want: forwards(len(long) - 1001)}})
	})
	t.Run("after a Close frame nothing counts", func(t *testing.T) {
		d := FromBackend(false)
		runSteps(t, &d, &Limits{ByteRate: limit.NewBucket(1, 4), EndOverRate: true}, []step{
			{name: "the Close frame", at: 1, in: build(false, fin|closing, close4(1000, "")), want: Verdict{Do: Close, Take: 4}},
			{name: "anything", at: 1, in: frame, want: Verdict{Do: Drop, Take: 1000}},
		})
	})
}

// The longer wait counts, whichever of the two rates comes last.
func TestBothRatesHold(t *testing.T) {
	one := build(false, fin|bin, strings.Repeat("x", 96)) // 98 bytes
	d := FromBackend(false)
	runSteps(t, &d, &Limits{MessageRate: limit.NewBucket(10, 1), ByteRate: limit.NewBucket(49, 98)}, []step{
		{name: "the burst of both", at: 1, in: slices.Concat(one, one), want: forwards(98), until: 1.1},
		{name: "a message in its time", at: 1.1, in: slices.Concat(one, one), want: forwards(98), until: 2.9 + 0.1},
		{name: "is its bytes' debt too", at: 1.1, in: one, want: Verdict{Do: Hold}, until: 3},
	})
	d = FromBackend(false)
	runSteps(t, &d, &Limits{MessageRate: limit.NewBucket(1, 1), ByteRate: limit.NewBucket(980, 98)}, []step{
		{name: "the burst of both", at: 1, in: slices.Concat(one, one), want: forwards(98), until: 2},
		{name: "the message waits longer", at: 1.1, in: one, want: Verdict{Do: Hold}, until: 2},
	})
}

func pingPayload(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

func TestTheAnswerToAnOwnPingIsSwallowed(t *testing.T) {
	const own = 0x0102030405060708
	tests := []struct {
		name   string
		before func(c bool) []byte
		pong   func(c bool) []byte
		drop   bool
	}{
		{"the pong", nil, func(c bool) []byte { return build(c, fin|pong, pingPayload(own)) }, true},
		{"inside a fragmented message", func(c bool) []byte { return build(c, text, "abc") }, func(c bool) []byte { return build(c, fin|pong, pingPayload(own)) }, true},
		{"another pong", nil, func(c bool) []byte { return build(c, fin|pong, pingPayload(own+1)) }, false},
		{"a pong without payload", nil, func(c bool) []byte { return build(c, fin|pong, "") }, false},
		{"a pong that begins like it", nil, func(c bool) []byte { return build(c, fin|pong, pingPayload(own)+"x") }, false},
		{"a ping with its payload", nil, func(c bool) []byte { return build(c, fin|ping, pingPayload(own)) }, false},
		{"a message with its payload", nil, func(c bool) []byte { return build(c, fin|bin, pingPayload(own)) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, client := range []bool{true, false} {
				d := direction(client, false)
				if tt.before != nil {
					d.Next(tt.before(client), nil, 0)
				}
				d.Ping = own
				frame := tt.pong(client)
				want := forwards(len(frame))
				if tt.drop {
					want = Verdict{Do: Drop, Take: len(frame)}
				}
				counts := d.Counts
				for range 2 { // a late pong may be after another
					if v := d.Next(frame, nil, 0); v != want {
						t.Errorf("Next(%x) = %+v; want %+v", frame, v, want)
					}
				}
				if tt.drop != (d.Counts == counts) {
					t.Errorf("counts went from %+v to %+v", counts, d.Counts)
				}
				d.Ping = 0
				if v := d.Next(frame, nil, 0); tt.drop && v != forwards(len(frame)) {
					t.Errorf("Next(%x) = %+v when there is no ping; want Forward", frame, v)
				}
			}
		})
	}
	t.Run("what stands before it goes first", func(t *testing.T) {
		d := FromClient(false)
		d.Ping = own
		before, answer := valid(true, false), build(true, fin|pong, pingPayload(own))
		runSteps(t, &d, nil, []step{
			{name: "before", in: slices.Concat(before, answer, before), want: forwards(len(before))},
			{name: "part of it", in: answer[:10], want: Verdict{Do: Wait}},
			{name: "the pong", in: slices.Concat(answer, before), want: Verdict{Do: Drop, Take: len(answer)}},
			{name: "after", in: before, want: forwards(len(before))},
		})
	})
}

func TestLastIsTheMomentOfTheLastDataFrame(t *testing.T) {
	whole, long := build(false, fin|bin, "abc"), build(false, bin, strings.Repeat("x", 300))
	d := FromBackend(false)
	steps := []struct {
		name   string
		in     []byte
		passed int64
		moves  bool
	}{
		{"a message", whole, 0, true},
		{"a ping", build(false, fin|ping, "p"), 0, false},
		{"a part of a header", long[:1], 0, false},
		{"a header", long[:4], 0, true},
		{"payload", long[4:10], 0, true},
		{"payload that was not seen", nil, 294, true},
		{"a pong inside the message", build(false, fin|pong, "p"), 0, false},
		{"an empty frame", build(false, fin|continuation, ""), 0, true},
		{"a message and a ping", slices.Concat(whole, build(false, fin|ping, "")), 0, true},
		{"a Close frame", build(false, fin|closing, ""), 0, false},
	}
	for i, s := range steps {
		before, now := d.Last, int64(i+1)
		if s.passed > 0 {
			d.Passed(s.passed, nil, now)
		} else {
			d.Next(s.in, nil, now)
		}
		if moved := d.Last == now; moved != s.moves || !moved && d.Last != before {
			t.Errorf("%s at %d: Last went from %d to %d", s.name, now, before, d.Last)
		}
	}
}

func TestLimitsAllocateNothing(t *testing.T) {
	stream := bytes.Repeat(valid(true, false), 20)
	for _, l := range []Limits{
		{Frame: 1 << 20, Message: 1 << 20, MessageRate: limit.NewBucket(1e6, 1e6), ByteRate: limit.NewBucket(1e9, 1e9), EndOverRate: true},
		{MessageRate: limit.NewBucket(1, 1), ByteRate: limit.NewBucket(1, 1)},
		{MessageRate: limit.NewBucket(1, 1), EndOverRate: true},
		{ByteRate: limit.NewBucket(1, 1), EndOverRate: true},
	} {
		d := FromClient(false)
		now := second
		if n := testing.AllocsPerRun(100, func() {
			now++
			d.Ping = 1
			d.Next(stream, &l, now)
		}); n != 0 {
			t.Errorf("Next under %+v allocates %v times; want 0", l, n)
		}
	}
}

// Any bytes, cut anywhere, under any limits: what goes on is what the reference lets through,
// whether it was walked frame by frame or in the tight loop. If a sender is delayed, nothing is
// lost and no more comes than the rates give. If not, it is over the rate of bytes if and only
// if there are more bytes than the burst.
func FuzzLimits(f *testing.F) {
	const own = 0x1122334455667788
	for i, client := range []bool{true, false, true, false} {
		many := bytes.Repeat(build(client, fin|text, "hello"), 20)
		f.Add(many, client, false, uint64(i), byte(i), uint16(0), uint16(0), uint8(7), uint16(0))
		f.Add(many, client, false, uint64(i), byte(i), uint16(5), uint16(5), uint8(30), uint16(100))
		f.Add(valid(client, false), client, true, uint64(i), byte(i), uint16(130), uint16(127), uint8(2), uint16(200))
		f.Add(slices.Concat(build(client, text, "abc"), build(client, fin|pong, pingPayload(own)), build(client, fin|continuation, "d"), many),
			client, false, uint64(i), byte(i), uint16(4), uint16(4), uint8(0), uint16(40))
		f.Add(append(many, build(client, fin|closing, close4(1000, "bye"))...), client, false, uint64(i), byte(i), uint16(0), uint16(0), uint8(20), uint16(1000))
	}
	f.Fuzz(func(t *testing.T, stream []byte, client, deflate bool, seed uint64, how byte, frame, message uint16, messages uint8, burst uint16) {
		r := rand.New(rand.NewPCG(seed, 0))
		most := 1 + r.IntN(1<<r.IntN(14))
		rules := gatewayRules{frame: int64(frame), message: int64(message), messages: int(messages), ping: own}
		closes, skips := how&1 == 1, how&2 == 2
		l := &Limits{
			Frame: rules.frame, Message: rules.message, EndOverRate: closes,
			MessageRate: limit.NewBucket(float64(messages)/1e6, int64(messages)), ByteRate: limit.NewBucket(float64(burst)/1e6, int64(burst)),
		}
		if !closes {
			rules.messages = 0
		}
		d := direction(client, deflate)
		d.Ping = own
		got, took := walkUnderLimits(t, &d, l, stream, func() int { return 1 + r.IntN(most) }, func() bool { return skips && r.IntN(2) == 0 })
		want := reference(stream, client, deflate, rules)
		over := closes && burst > 0 && len(want.forwarded)+want.swallowed > int(burst)
		if over != (got.violation == ByteRate) {
			t.Fatalf("%x: %v, with %d bytes to go on and a burst of %d", stream, got.violation, len(want.forwarded), burst)
		}
		if over {
			if !bytes.HasPrefix(want.forwarded, got.forwarded) || !skips && len(got.forwarded) > int(burst) {
				t.Fatalf("%x: forwarded %x before there were too many bytes", stream, got.forwarded)
			}
			return
		}
		if diff := differ(got, want); diff != "" {
			t.Fatalf("%x under %+v: %s", stream, rules, diff)
		}
		if closes {
			return
		}
		if burst > 0 && took < waits(int64(len(got.forwarded)-most), int64(burst)) {
			t.Fatalf("%x: %d bytes in %d ns with a burst of %d", stream, len(got.forwarded), took, burst)
		}
		if slowest := waits(int64(len(stream)), int64(burst)) + waits(int64(len(stream)), int64(messages)) + second; took > slowest {
			t.Fatalf("%x: took %d ns; want at most %d", stream, took, slowest)
		}
	})
}

// waits returns how long n tokens take at the rate of FuzzLimits, burst in a million seconds,
// from a bucket that is full at first.
func waits(n, burst int64) int64 {
	if burst == 0 || n <= burst {
		return 0
	}
	return int64(float64(n-burst) / float64(burst) * 1e15)
}

func BenchmarkWalkUnderLimits(b *testing.B) {
	for _, size := range []int{16, 128, 16 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			frame := build(true, fin|bin, strings.Repeat("x", size))
			stream := bytes.Repeat(frame, max(64<<10/len(frame), 1))
			l := &Limits{Frame: 1 << 20, Message: 1 << 20, MessageRate: limit.NewBucket(1e9, 1<<40), ByteRate: limit.NewBucket(1e12, 1<<50)}
			d := FromClient(false)
			b.ReportAllocs()
			b.SetBytes(int64(len(stream)))
			for now := second; b.Loop(); now += second {
				if v := d.Next(stream, l, now); v.Take != len(stream) {
					b.Fatal(v)
				}
			}
		})
	}
}
