package frame

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// The opcodes, as a byte with or without FIN.
const (
	fin          = 0x80
	continuation = 0x0
	text         = 0x1
	bin          = 0x2
	closing      = 0x8
	ping         = 0x9
	pong         = 0xa
)

// build returns a frame with first as its first byte. It is masked if the
// client sends it.
func build(client bool, first byte, payload string) []byte {
	b := []byte{first}
	var mask byte
	if client {
		mask = 0x80
	}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, mask|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), uint64(n))
	}
	if !client {
		return append(b, payload...)
	}
	key := [4]byte{0x12, 0xa4, 0, 0xff}
	b = append(b, key[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
}

func direction(client, deflate bool) Direction {
	if client {
		return FromClient(deflate)
	}
	return FromBackend(deflate)
}

// walk feeds stream to d in pieces and does what the verdicts say, as an engine does. Skip
// decides whether payload goes on without Next.
func walk(t *testing.T, d *Direction, stream []byte, piece func() int, skip func() bool) outcome {
	t.Helper()
	var o outcome
	var held []byte // a buffer of its own, so that a verdict on stale bytes shows
	ahead, over := int64(0), false
	for rest := stream; len(rest) > 0; {
		n := min(max(piece(), 1), len(rest))
		if ahead > 0 && len(held) == 0 && skip() {
			n = int(min(int64(n), ahead))
			o.forwarded = append(o.forwarded, rest[:n]...)
			rest = rest[n:]
			d.Passed(int64(n), nil, 0)
			ahead -= int64(n)
			continue
		}
		held = append(held, rest[:n]...)
		rest = rest[n:]
		for {
			v := d.Next(held, nil, 0)
			ahead = d.Left()
			if v.Take < 0 || v.Take > len(held) || (v.Violation != None) != (v.Do == End) {
				t.Fatalf("Next(%x) = %+v", held, v)
			}
			if ahead > 0 && v.Take != len(held) {
				t.Fatalf("Next(%x) = %+v with %d bytes of the frame left", held, v, d.Left())
			}
			if over && v.Do != Drop {
				t.Fatalf("Next(%x) = %+v after the end; want Drop", held, v)
			}
			switch v.Do {
			case Wait:
				if v.Take != 0 || len(held) > MaxControl {
					t.Fatalf("Next(%d bytes) = %+v", len(held), v)
				}
			case Forward, Close:
				if v.Take == 0 {
					t.Fatalf("Next(%x) = %+v", held, v)
				}
				o.forwarded = append(o.forwarded, held[:v.Take]...)
				if v.Do == Close {
					o.close, over = bytes.Clone(held[:v.Take]), true
				}
			case Drop:
				if !over || v.Take != len(held) {
					t.Fatalf("Next(%x) = %+v", held, v)
				}
			case End:
				if v.Take != 0 {
					t.Fatalf("Next(%x) = %+v", held, v)
				}
				o.violation, over = v.Violation, true
			}
			held = slices.Delete(held, 0, v.Take)
			if v.Do == Wait || len(held) == 0 {
				break
			}
		}
	}
	o.counts, o.held, o.boundary, o.left = d.Counts, len(held), d.Boundary(), d.Left()
	return o
}

// differ describes how two outcomes differ.
func differ(got, want outcome) string {
	switch {
	case got.violation != want.violation:
		return fmt.Sprintf("violation: %v; want %v", got.violation, want.violation)
	case !bytes.Equal(got.forwarded, want.forwarded):
		return fmt.Sprintf("forwarded %d bytes %.200x; want %d bytes %.200x", len(got.forwarded), got.forwarded, len(want.forwarded), want.forwarded)
	case got.counts != want.counts:
		return fmt.Sprintf("counts %+v; want %+v", got.counts, want.counts)
	case !bytes.Equal(got.close, want.close):
		return fmt.Sprintf("close frame %x; want %x", got.close, want.close)
	case got.held != want.held:
		return fmt.Sprintf("%d bytes wait; want %d", got.held, want.held)
	case got.boundary != want.boundary || got.left != want.left:
		return fmt.Sprintf("boundary %v, left %d; want %v, %d", got.boundary, got.left, want.boundary, want.left)
	}
	return ""
}

// everySplit walks stream in every way to cut it in two, byte by byte and at once, with and
// without payload that goes on without Next.
func everySplit(t *testing.T, client, deflate bool, stream []byte, want outcome) {
	t.Helper()
	always, never := func() bool { return true }, func() bool { return false }
	check := func(how string, piece func() int, skip func() bool) {
		d := direction(client, deflate)
		if diff := differ(walk(t, &d, stream, piece, skip), want); diff != "" {
			t.Errorf("%.100x %s: %s", stream, how, diff)
		}
	}
	check("at once", func() int { return len(stream) }, never)
	check("byte by byte", func() int { return 1 }, never)
	check("byte by byte, payload unseen", func() int { return 1 }, always)
	for at := 1; at < len(stream); at++ {
		next := 0
		halves := func() int { next = at - next; return cmp.Or(next, len(stream)) }
		check(fmt.Sprintf("cut at %d", at), halves, never)
	}
}

func close4(code int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}

// valid returns a stream that keeps all rules, up to the middle of a fragmented message or to
// its end.
func valid(client, open bool) []byte {
	b := slices.Concat(
		build(client, fin|text, "one"), build(client, fin|ping, "p"), build(client, fin|bin, ""),
		build(client, text, strings.Repeat("x", 126)), build(client, fin|pong, strings.Repeat("y", 125)), build(client, continuation, ""),
	)
	if !open {
		b = append(b, build(client, fin|continuation, "end")...)
	}
	return b
}

func TestViolationsAtEverySplit(t *testing.T) {
	type sides int
	const (
		both sides = iota
		clientOnly
		backendOnly
	)
	// raw returns the start of a frame with these fields and no more.
	raw := func(client bool, first byte, length byte, more ...byte) []byte {
		if client {
			length |= 0x80
		}
		return append([]byte{first, length}, more...)
	}
	tests := []struct {
		name    string
		from    sides
		deflate bool
		open    bool // inside a fragmented message
		bad     func(client bool) []byte
		want    Violation
	}{
		{"RSV1 without an extension", both, false, false, func(c bool) []byte { return raw(c, fin|0x40|text, 1) }, ReservedBits},
		{"RSV1 of a continuation", both, true, true, func(c bool) []byte { return raw(c, fin|0x40|continuation, 1) }, ReservedBits},
		{"RSV1 of a ping", both, true, false, func(c bool) []byte { return raw(c, fin|0x40|ping, 0) }, ReservedBits},
		{"RSV1 of a pong", both, true, false, func(c bool) []byte { return raw(c, fin|0x40|pong, 0) }, ReservedBits},
		{"RSV1 of a Close", both, true, false, func(c bool) []byte { return raw(c, fin|0x40|closing, 0) }, ReservedBits},
		{"RSV2", both, true, false, func(c bool) []byte { return raw(c, fin|0x20|text, 1) }, ReservedBits},
		{"RSV3", both, true, false, func(c bool) []byte { return raw(c, fin|0x10|bin, 1) }, ReservedBits},
		{"an unmasked frame", clientOnly, false, false, func(bool) []byte { return build(false, fin|text, "x") }, Unmasked},
		{"an unmasked ping", clientOnly, false, true, func(bool) []byte { return build(false, fin|ping, "x") }, Unmasked},
		{"an unmasked Close", clientOnly, false, false, func(bool) []byte { return build(false, fin|closing, close4(1000, "")) }, Unmasked},
		{"a masked frame", backendOnly, false, false, func(bool) []byte { return build(true, fin|text, "x") }, Masked},
		{"a masked Close", backendOnly, false, true, func(bool) []byte { return build(true, fin|closing, "") }, Masked},
		{"a fragmented ping", both, false, false, func(c bool) []byte { return raw(c, ping, 1) }, FragmentedControl},
		{"a fragmented Close", both, false, false, func(c bool) []byte { return raw(c, closing, 2) }, FragmentedControl},
		{"a ping of 126 bytes", both, false, false, func(c bool) []byte { return build(c, fin|ping, strings.Repeat("x", 126)) }, LongControl},
		{"a Close of 64 KiB", both, false, true, func(c bool) []byte { return raw(c, fin|closing, 127) }, LongControl},
		{"a continuation of nothing", both, false, false, func(c bool) []byte { return build(c, fin|continuation, "x") }, StrayContinuation},
		{"text inside a message", both, false, true, func(c bool) []byte { return build(c, fin|text, "x") }, MissingContinuation},
		{"binary inside a message", both, false, true, func(c bool) []byte { return build(c, bin, "") }, MissingContinuation},
		{"the length 2^63", both, false, false, func(c bool) []byte { return raw(c, fin|bin, 127, 0x80, 0, 0, 0, 0, 0, 0, 0) }, LengthOverflow},
		{"a length above 2^63, cut", both, false, false, func(c bool) []byte { return raw(c, fin|bin, 127, 0xff) }, LengthOverflow},
		{"the length 0 in two bytes", both, false, false, func(c bool) []byte { return raw(c, fin|bin, 126, 0, 0) }, LongLength},
		{"the length 125 in two bytes", both, false, true, func(c bool) []byte { return raw(c, continuation, 126, 0, 125, 1, 2, 3, 4) }, LongLength},
		{"the length 1 in eight bytes", both, false, false, func(c bool) []byte { return raw(c, fin|text, 127, 0, 0, 0, 0, 0, 0, 0, 1) }, LongLength},
		{"the length 65535 in eight bytes", both, false, false, func(c bool) []byte { return raw(c, text, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff) }, LongLength},
		{"half a close code", both, false, false, func(c bool) []byte { return build(c, fin|closing, "\x03") }, ShortClose},
		{"a reason that is not UTF-8", both, false, false, func(c bool) []byte { return build(c, fin|closing, close4(1000, "\xff")) }, CloseReason},
		{"a reason that ends inside a character", both, false, true, func(c bool) []byte { return build(c, fin|closing, close4(1000, "ok \xe2\x82")) }, CloseReason},
		{"a reason with a surrogate", both, false, false, func(c bool) []byte { return build(c, fin|closing, close4(1000, "\xed\xa0\x80")) }, CloseReason},
		{"a bad code and a bad reason", both, false, false, func(c bool) []byte { return build(c, fin|closing, close4(1005, "\xff")) }, CloseCode},
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		test := tests[0]
		test.name, test.want = fmt.Sprintf("opcode %d", op), ReservedOpcode
		test.bad = func(c bool) []byte { return raw(c, fin|op, 1) }
		tests = append(tests, test)
		test.name, test.deflate = fmt.Sprintf("opcode %d, compressed", op), true
		tests = append(tests, test)
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		test := tests[0]
		test.name, test.want = fmt.Sprintf("close code %d", code), CloseCode
		test.bad = func(c bool) []byte { return build(c, fin|closing, close4(code, "bye")) }
		tests = append(tests, test)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, client := range []bool{true, false} {
				if tt.from == clientOnly && !client || tt.from == backendOnly && client {
					continue
				}
				before := valid(client, tt.open)
				for _, after := range [][]byte{nil, build(client, fin|text, "never")} {
					bad := tt.bad(client)
					for _, prefix := range [][]byte{before, nil} {
						if prefix == nil && tt.open {
							continue
						}
						stream := slices.Concat(prefix, bad, after)
						want := reference(stream, client, tt.deflate, gatewayRules{})
						if want.violation != tt.want || !bytes.Equal(want.forwarded, prefix) {
							t.Fatalf("the reference says %v after %d bytes of %x; want %v after %d", want.violation, len(want.forwarded), stream, tt.want, len(prefix))
						}
						everySplit(t, client, tt.deflate, stream, want)
					}
				}
			}
		})
	}
}

func TestValidFramesPassAtEverySplit(t *testing.T) {
	long := func(n int) func(bool) []byte {
		return func(c bool) []byte { return build(c, fin|bin, strings.Repeat("z", n)) }
	}
	tests := []struct {
		name    string
		deflate bool
		stream  func(client bool) []byte
		counts  Counts
		close   bool
	}{
		{"nothing", false, func(bool) []byte { return nil }, Counts{}, false},
		{"all kinds", false, func(c bool) []byte { return valid(c, false) }, Counts{Messages: 3, Frames: 5, Controls: 2, Bytes: 132}, false},
		{"an open message", false, func(c bool) []byte { return valid(c, true) }, Counts{Messages: 2, Frames: 4, Controls: 2, Bytes: 129}, false},
		{"125 bytes", false, long(125), Counts{1, 1, 0, 125}, false},
		{"126 bytes", false, long(126), Counts{1, 1, 0, 126}, false},
		{"empty frames", false, func(c bool) []byte { return bytes.Repeat(build(c, fin|text, ""), 30) }, Counts{Messages: 30, Frames: 30}, false},
		{"the longest length", false, func(c bool) []byte {
			b := []byte{fin | bin, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
			if c {
				b[1] |= 0x80
				b = append(b, 1, 2, 3, 4)
			}
			return append(b, "some of it"...)
		}, Counts{Bytes: 10}, false},
		{"compressed messages", true, func(c bool) []byte {
			return slices.Concat(build(c, 0x40|text, "a"), build(c, fin|continuation, "b"), build(c, fin|0x40|bin, "c"), build(c, fin|text, "d"))
		}, Counts{Messages: 3, Frames: 4, Bytes: 4}, false},
		{"a Close without a code", false, func(c bool) []byte { return build(c, fin|closing, "") }, Counts{Controls: 1}, true},
		{"a Close inside a message", false, func(c bool) []byte {
			return append(valid(c, true), build(c, fin|closing, close4(1001, ""))...)
		}, Counts{Messages: 2, Frames: 4, Controls: 3, Bytes: 129}, true},
		{"the longest Close", false, func(c bool) []byte {
			return build(c, fin|closing, close4(4999, strings.Repeat("€", 41)))
		}, Counts{Controls: 1}, true},
		{"anything after a Close", false, func(c bool) []byte {
			return append(build(c, fin|closing, close4(3000, "bye")), "\xff\xff\xff\xff and more"...)
		}, Counts{Controls: 1}, true},
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		test := tests[len(tests)-1]
		test.name = fmt.Sprintf("close code %d", code)
		test.stream = func(c bool) []byte { return build(c, fin|closing, close4(code, "")) }
		test.counts, test.close = Counts{Controls: 1}, true
		tests = append(tests, test)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, client := range []bool{true, false} {
				stream := tt.stream(client)
				want := reference(stream, client, tt.deflate, gatewayRules{})
				if want.violation != None || want.counts != tt.counts || (want.close != nil) != tt.close || want.held != 0 {
					t.Fatalf("the reference says %+v of %.100x", want, stream)
				}
				everySplit(t, client, tt.deflate, stream, want)
			}
		})
	}
}

func TestNextCoversWhatItCanAtOnce(t *testing.T) {
	stream := valid(true, false)
	d := FromClient(false)
	if v := d.Next(stream, nil, 0); v != (Verdict{Do: Forward, Take: len(stream)}) {
		t.Errorf("Next of %d valid bytes = %+v", len(stream), v)
	}
	d = FromClient(false)
	if v := d.Next(build(true, fin|bin, strings.Repeat("x", 70000))[:20], nil, 0); v != (Verdict{Do: Forward, Take: 20}) || d.Left() != 70000+14-20 {
		t.Errorf("Next of the start of a long frame = %+v", v)
	}
	if v := d.Next(nil, nil, 0); v != (Verdict{Do: Wait}) {
		t.Errorf("Next of nothing inside a frame = %+v", v)
	}
	for _, n := range []int{1<<16 - 1, 1 << 16} { // the longest length in two bytes, the shortest in eight
		d = FromClient(false)
		if v := d.Next(build(true, fin|bin, strings.Repeat("x", n)), nil, 0); v.Do != Forward || d.Bytes != uint64(n) || !d.Boundary() {
			t.Errorf("Next of a frame of %d bytes = %+v", n, v)
		}
	}
}

// A pong answers the ping with the same payload, whatever their masks are.
func TestPingsAndTheirPongs(t *testing.T) {
	long := strings.Repeat("p", 125)
	for _, tt := range []struct {
		name, ping string
		answers    []string
		owes       bool
	}{
		{"no answer", "a", nil, true},
		{"the answer", "a", []string{"a"}, false},
		{"an empty one", "", []string{""}, false},
		{"a long one", long, []string{long}, false},
		{"another", "a", []string{"b", "", "aa"}, true},
		{"among others", "a", []string{"b", "a", "c"}, false},
	} {
		for _, asker := range []bool{true, false} { // whether the client asks
			from, to := direction(asker, false), direction(!asker, false)
			from.Next(slices.Concat(build(asker, fin|ping, "first"), build(asker, fin|text, "x"), build(asker, fin|ping, tt.ping)), nil, 0)
			if from.ForwardedPing == 0 {
				t.Fatalf("%s: a ping went on and is not known", tt.name)
			}
			to.OwedPong = from.ForwardedPing
			for _, a := range tt.answers {
				to.Next(build(!asker, fin|pong, a), nil, 0)
			}
			if owes := to.OwedPong != 0; owes != tt.owes || from.OwedPong != 0 || to.ForwardedPing != 0 {
				t.Errorf("%s: owes %t; want %t", tt.name, owes, tt.owes)
			}
		}
	}
}

func TestDirectionIsFlatAndCopyable(t *testing.T) {
	a := FromClient(false)
	stream := valid(true, false)
	a.Next(stream[:30], nil, 0)
	b := a
	a.Next(stream[30:], nil, 0)
	b.Next(stream[30:], nil, 0)
	if a != b {
		t.Errorf("a copy went on to %+v; want %+v", b, a)
	}
	if size := unsafe.Sizeof(a); size > 104 {
		t.Errorf("a Direction has %d bytes; want at most 104", size)
	}
}

// Any bytes, cut anywhere: what goes on, the counts, the Close frame and the violation are
// those of the reference, which reads the whole stream.
func FuzzNext(f *testing.F) {
	for _, client := range []bool{true, false} {
		f.Add(valid(client, false), client, false, uint64(1))
		f.Add(append(valid(client, true), build(client, fin|closing, close4(1000, "bye"))...), client, true, uint64(2))
		f.Add(slices.Concat(build(client, 0x40|text, "a"), build(client, fin|0x40, "b")), client, true, uint64(3))
		f.Add(build(client, fin|bin, strings.Repeat("x", 300)), client, false, uint64(4))
		f.Add(append(build(client, fin|ping, "x"), build(client, fin|closing, "\x03")...), client, false, uint64(5))
		f.Add([]byte{fin | bin, 127 | build(client, 0, "")[1], 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5}, client, false, uint64(6))
	}
	f.Fuzz(func(t *testing.T, stream []byte, client, deflate bool, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		most := 1 + r.IntN(1<<r.IntN(14))
		d := direction(client, deflate)
		got := walk(t, &d, stream, func() int { return 1 + r.IntN(most) }, func() bool { return r.IntN(2) == 0 })
		if diff := differ(got, reference(stream, client, deflate, gatewayRules{})); diff != "" {
			t.Fatalf("%x: %s", stream, diff)
		}
	})
}

func TestWalkAllocatesNothing(t *testing.T) {
	tests := []struct {
		name   string
		stream func(client bool) []byte
	}{
		{"all kinds of frames", func(c bool) []byte { return valid(c, false) }},
		{"a Close", func(c bool) []byte { return build(c, fin|closing, close4(1000, "a long enough reason for kernels")) }},
		{"a violation", func(c bool) []byte { return build(c, fin|closing, close4(1000, "\xff")) }},
		{"a cut control frame", func(c bool) []byte { return build(c, fin|ping, "abc")[:4] }},
		{"a long frame", func(c bool) []byte { return build(c, fin|bin, strings.Repeat("x", 70000)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, client := range []bool{true, false} {
				stream := tt.stream(client)
				n := testing.AllocsPerRun(100, func() {
					d := direction(client, false)
					for rest := stream; len(rest) > 0; {
						v := d.Next(rest, nil, 0)
						if v.Take == 0 {
							break
						}
						rest = rest[v.Take:]
					}
				})
				if n != 0 {
					t.Errorf("the walk (from the client: %v) allocates %v times; want 0", client, n)
				}
			}
		})
	}
}

func BenchmarkWalk(b *testing.B) {
	tests := []struct {
		name   string
		client bool
		frame  []byte
		count  int
	}{
		{"tiny", false, build(false, fin|text, "hello"), 1000},
		{"tiny masked", true, build(true, fin|text, "hello"), 1000},
		{"pings masked", true, build(true, fin|ping, "hello"), 1000},
		{"large", false, build(false, fin|bin, strings.Repeat("x", 64<<10)), 4},
		{"large masked", true, build(true, fin|bin, strings.Repeat("x", 64<<10)), 4},
	}
	for _, tt := range tests {
		b.Run(tt.name, func(b *testing.B) {
			stream := bytes.Repeat(tt.frame, tt.count)
			b.ReportAllocs()
			b.SetBytes(int64(len(stream)))
			for b.Loop() {
				d := direction(tt.client, false)
				if v := d.Next(stream, nil, 0); v.Take != len(stream) {
					b.Fatal(v)
				}
			}
		})
	}
}
