package core

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/clock"
	"sluice/internal/wstest"
	"sluice/proxy/relay/frametest"
)

// tappedAlone returns what a tap shows of a stream from a side, if it was set when the first bytes were
// through and the session ends after it. It is the tap without anything that makes it fast.
func tappedAlone(from Side, stream []byte, tapped int, o TapOptions) (want []TappedFrame) {
	n, message, compressed := 0, ws.OpContinuation, false
	for r := bytes.NewReader(stream); r.Len() > 0; {
		at := len(stream) - r.Len()
		h, err := ws.ReadHeader(r)
		if err != nil {
			panic(err) // whole headers go on
		}
		payload := make([]byte, min(h.Length, int64(r.Len())))
		r.Read(payload)
		if at < tapped {
			continue
		}
		f := TappedFrame{At: 7, From: from, To: from.Other(), Op: h.OpCode, Fin: h.Fin, Length: h.Length}
		if f.Op == ws.OpText || f.Op == ws.OpBinary {
			message, compressed = f.Op, h.Rsv1()
		}
		if f.Op.IsData() {
			f.Message, f.Compressed = message, compressed
		}
		if o.Ops != 0 && o.Ops&(1<<f.Op) == 0 {
			continue
		}
		if f.Op.IsData() {
			if n++; o.Sample > 1 && n%o.Sample != 1 {
				continue
			}
		}
		if h.Masked {
			ws.Cipher(payload, h.Mask, 0)
		}
		f.Payload = string(payload[:min(len(payload), o.Payload)])
		want = append(want, f)
	}
	return want
}

// pass sends a stream from a side through a session in random pieces, by Feed and past it. A tap is set
// at some moment. It returns what went on, how much of it before the tap was set, and what the tap showed
// until the session was finished.
func pass(t *testing.T, from Side, stream []byte, deflate bool, o TapOptions, r *rand.Rand) (forwarded []byte, tapped int, got []TappedFrame) {
	c, tap := newCore(&Session{Deflate: deflate}), NewTap(o)
	tapped = -1
	set := func() {
		if tapped = len(forwarded); !c.Tap(tap, clock.New()) {
			t.Fatal("Tap = false; want true")
		}
	}
	for at, end := 0, 0; at < len(stream); {
		if tapped < 0 && r.IntN(4) == 0 {
			set()
		}
		if n := min(c.PayloadAhead(from), int64(min(len(stream)-at, r.IntN(1000)))); n > 0 {
			c.PayloadForwarded(from, n, 7)
			forwarded = append(forwarded, stream[at:at+int(n)]...)
			at += int(n)
			end = at
		} else {
			whole := end == len(stream)
			end = min(len(stream), max(end, at)+1+r.IntN(1000))
			out, used := c.Feed(from, stream[at:end], 7)
			if used == 0 && whole {
				break // the rest is no whole header
			}
			forwarded = append(forwarded, out...)
			at += used
		}
		got, _, _ = tap.Read(got)
	}
	if tapped < 0 {
		set()
	}
	c.Finish(nil, "", clock.New(), 7)
	got, lost, over := tap.Read(got)
	if lost != 0 || !over {
		t.Errorf("Read = %d lost, over %t; want 0 and true", lost, over)
	}
	return forwarded, tapped, got
}

// A tap shows each frame that begins after it was set, wherever the stream is cut, and whether or not
// the payload goes by Feed.
func TestATapShowsEveryFrame(t *testing.T) {
	frames := []ws.Frame{
		wstest.Text("a"), frametest.Binary(strings.Repeat("b", 300)), wstest.Part(ws.OpText, "c"), wstest.Ping("p"), wstest.Part(ws.OpContinuation, "cc"), wstest.Last(""),
		frametest.Binary(strings.Repeat("d", 70<<10)), wstest.Pong(""), wstest.Text(""), wstest.Reserved(wstest.Part(ws.OpBinary, "e"), true, false, false), wstest.Last("f"),
		wstest.Close(1000, "bye"),
	}
	for name, o := range map[string]TapOptions{
		"headers": {}, "payloads": {Payload: 256}, "long payloads": {Payload: 1 << 20}, "short payloads": {Payload: 2},
		"a sample": {Payload: 256, Sample: 3}, "some opcodes": {Ops: 1<<ws.OpPing | 1<<ws.OpBinary}, "a sample of some": {Payload: 10, Sample: 2, Ops: 1<<ws.OpBinary | 1<<ws.OpClose},
	} {
		for _, from := range []Side{Client, Backend} {
			stream := frametest.Encode(from, frames...)
			for seed := range uint64(100) {
				forwarded, tapped, got := pass(t, from, stream, true, o, rand.New(rand.NewPCG(seed, 0)))
				if !bytes.Equal(forwarded, stream) {
					t.Fatalf("%s, from the %s, seed %d: %d bytes went on, or others; want the %d that came", name, from, seed, len(forwarded), len(stream))
				}
				o.Payload = min(o.Payload, MaxTapPayload)
				if want := tappedAlone(from, forwarded, tapped, o); !slices.Equal(got, want) {
					t.Fatalf("%s, from the %s, seed %d, tapped at %d: %+v; want %+v", name, from, seed, tapped, got, want)
				}
			}
		}
	}
}

// FuzzTap sends any bytes through a session in random pieces: a tap shows what went on, and changes
// nothing of it.
func FuzzTap(f *testing.F) {
	for i := range uint64(20) {
		r := rand.New(rand.NewPCG(i, 6))
		f.Add(frametest.Random(r, Client), false, i, 1<<(i%12), int(i%4), uint16(0))
		f.Add(frametest.Random(r, Backend), true, i, 300, 1, uint16(i<<8|3))
	}
	f.Fuzz(func(t *testing.T, stream []byte, backend bool, seed uint64, most, sample int, ops uint16) {
		from := Client
		if backend {
			from = Backend
		}
		o := TapOptions{Payload: max(most, 0), Sample: sample, Ops: ops}
		forwarded, tapped, got := pass(t, from, stream, seed%2 == 0, o, rand.New(rand.NewPCG(seed, 7)))
		if !bytes.HasPrefix(stream, forwarded) {
			t.Fatalf("%x went on; want the beginning of %x", forwarded, stream)
		}
		o.Payload = min(o.Payload, MaxTapPayload)
		if want := tappedAlone(from, forwarded, tapped, o); !slices.Equal(got, want) {
			t.Errorf("tapped at %d of %x: %+v; want %+v", tapped, forwarded, got, want)
		}
	})
}

// A reader that is too slow misses frames and hears how many; the session goes on.
func TestASlowReaderOfATapMissesFrames(t *testing.T) {
	c, tap := newCore(&Session{}), new(Tap)
	c.Tap(tap, clock.New())
	const more = 10
	in := frametest.Encode(Client, slices.Repeat([]ws.Frame{wstest.Text("x")}, tapFrames+more)...)
	if out, used := c.Feed(Client, in, 1); used != len(in) || len(out) != used {
		t.Errorf("Feed = %d bytes, %d used; want %d", len(out), used, len(in))
	}
	for _, want := range []int{tapFrames, 0} {
		frames, lost, _ := tap.Read(nil)
		if wantLost := uint64(min(want, more)); len(frames) != want || lost != wantLost {
			t.Errorf("Read = %d frames, %d lost; want %d and %d", len(frames), lost, want, wantLost)
		}
	}
	c.Feed(Client, frametest.Encode(Client, wstest.Ping("p")), 2)
	if frames, lost, _ := tap.Read(nil); len(frames) != 1 || frames[0].Op != ws.OpPing || lost != 0 {
		t.Errorf("Read = %+v, %d lost; want the ping", frames, lost)
	}
}

// A tap whose memory is full knows the message under way for as long as no other frame begins.
func TestAFullTapKnowsTheMessageUnderWay(t *testing.T) {
	for _, from := range []Side{Client, Backend} {
		c, tap := newCore(&Session{Deflate: true}), NewTap(TapOptions{Payload: 16})
		c.Tap(tap, clock.New())
		begin := frametest.Encode(from, wstest.Reserved(wstest.Part(ws.OpText, strings.Repeat("x", 1000)), true, false, false))
		c.Feed(from, begin[:500], 1)
		c.Feed(from.Other(), frametest.Encode(from.Other(), slices.Repeat([]ws.Frame{wstest.Ping("p")}, tapFrames)...), 1) // no room is left
		c.Feed(from, begin[500:], 1)
		tap.Read(nil)
		c.Feed(from, frametest.Encode(from, wstest.Last("rest")), 1)
		if got, _, _ := tap.Read(nil); len(got) != 1 || got[0].Message != ws.OpText || !got[0].Compressed {
			t.Errorf("from the %s: Read = %+v; want the rest of a text that is compressed", from, got)
		}
	}
}

// Payloads have bounded memory: frames that do not fit are missed, and those that come when there is room
// again are shown.
func TestAReaderOfPayloadsThatIsTooSlowMissesFrames(t *testing.T) {
	c, tap := newCore(&Session{}), NewTap(TapOptions{Payload: MaxTapPayload})
	c.Tap(tap, clock.New())
	const fit = maxTapBytes / MaxTapPayload
	send := func(n int) {
		for range n {
			c.Feed(Client, frametest.Encode(Client, frametest.Binary(strings.Repeat("x", MaxTapPayload+1))), 1)
		}
	}
	for range 3 {
		send(fit + 10)
		frames, lost, _ := tap.Read(nil)
		if len(frames) != fit || lost != 10 {
			t.Fatalf("Read = %d frames, %d lost; want %d and 10", len(frames), lost, fit)
		}
		for i, f := range frames {
			if f.Payload != strings.Repeat("x", MaxTapPayload) {
				t.Fatalf("frame %d has %d bytes, or others; want %d times x", i, len(f.Payload), MaxTapPayload)
			}
		}
		send(fit / 2) // so that what comes next goes over the end of the memory
		if frames, lost, _ := tap.Read(nil); len(frames) != fit/2 || lost != 0 {
			t.Fatalf("Read = %d frames, %d lost; want %d and none", len(frames), lost, fit/2)
		}
	}
}

// Every frame is shown or missed, whatever comes between the reads of a slow reader, and what is shown is
// what was sent.
func TestATapCountsWhatItMisses(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 2))
		var frames []ws.Frame
		for i := range 20_000 {
			frames = append(frames, frametest.Binary(fmt.Sprintf("%d %s", i, strings.Repeat("x", r.IntN(200)))))
		}
		from := Side(seed % 2)
		stream := frametest.Encode(from, frames...)
		c, tap := newCore(&Session{}), NewTap(TapOptions{Payload: int(seed % 3 * 100)})
		c.Tap(tap, clock.New())
		shown, missed := 0, 0
		read := func() {
			got, lost, _ := tap.Read(nil)
			shown, missed = shown+len(got), missed+int(lost)
			for _, f := range got {
				n := 0
				if tap.payloads == nil {
					continue
				}
				if _, err := fmt.Sscan(f.Payload, &n); err != nil || f.Payload != string(frames[n].Payload[:min(len(f.Payload), len(frames[n].Payload))]) {
					t.Fatalf("seed %d: the payload %q was not sent, %v", seed, f.Payload, err)
				}
			}
		}
		for at, end := 0, 0; at < len(stream); {
			end = min(len(stream), max(end, at)+1+r.IntN(64<<10))
			_, used := c.Feed(from, stream[at:end], 1)
			at += used
			if r.IntN(10) == 0 {
				read()
			}
		}
		c.Finish(nil, "", clock.New(), 1)
		read()
		if shown+missed != len(frames) || missed == 0 {
			t.Errorf("seed %d: %d frames were shown and %d missed; want %d together, and some missed", seed, shown, missed, len(frames))
		}
	}
}

// Payload that is shown has to be read; the rest of its frame, and frames of which nothing is shown, may
// go past the tap.
func TestATapLeavesWhatItDoesNotShow(t *testing.T) {
	frame := frametest.Encode(Client, frametest.Binary(strings.Repeat("x", 1000)))
	head := len(frame) - 1000
	c, tap := newCore(&Session{}), NewTap(TapOptions{Payload: 100, Sample: 2})
	c.Feed(Client, frame[:head], 1)
	c.Tap(tap, clock.New())
	ahead := func(when string, want int64) {
		t.Helper()
		if n := c.PayloadAhead(Client); n != want {
			t.Errorf("%s %d bytes may go past the tap; want %d", when, n, want)
		}
	}
	ahead("of a frame that began before the tap,", 1000)
	c.PayloadForwarded(Client, 1000, 1)
	c.Feed(Client, frame[:head+99], 1)
	ahead("after 99 bytes of a frame", 0)
	c.Feed(Client, frame[head+99:head+100], 1)
	ahead("after 100 bytes of it", 900)
	c.PayloadForwarded(Client, 900, 1)
	c.Feed(Client, frame[:head], 1)
	ahead("of a frame that the sample leaves out,", 1000)
	c.PayloadForwarded(Client, 1000, 1)
	c.Feed(Client, frame[:head+10], 1)
	ahead("after 10 bytes of the third frame", 0)
	c.Untap(tap)
	ahead("without the tap", 990)
	if frames, _, _ := tap.Read(nil); len(frames) != 1 || frames[0].Payload != strings.Repeat("x", 100) {
		t.Errorf("the tap showed %+v; want 100 bytes of one frame", frames)
	}
}

// Both sides send at once, and the tap is read meanwhile: the frames of each side are shown in their
// order, with their own payloads.
func TestATapOfBothSidesAtOnce(t *testing.T) {
	const frames = 500
	c, tap := newCore(&Session{}), NewTap(TapOptions{Payload: 300})
	c.Tap(tap, clock.New())
	var streams [2][]byte
	for i := range frames {
		for _, from := range []Side{Client, Backend} {
			streams[from] = append(streams[from], frametest.Encode(from, frametest.Binary(fmt.Sprintf("%s %d %s", from, i, strings.Repeat("x", i))))...)
		}
	}
	got := make(chan []TappedFrame)
	go func() {
		var all []TappedFrame
		for over := false; !over; runtime.Gosched() {
			all, _, over = tap.Read(all)
		}
		got <- all
	}()
	r := rand.New(rand.NewPCG(1, 1))
	var at [2]int
	for ends := at; at[Client] < len(streams[Client]) || at[Backend] < len(streams[Backend]); {
		from := Side(r.IntN(2))
		ends[from] = min(len(streams[from]), max(ends[from], at[from])+1+r.IntN(100))
		_, used := c.Feed(from, streams[from][at[from]:ends[from]], 7)
		at[from] += used
	}
	c.Finish(nil, "", clock.New(), 7)
	all := <-got
	for _, from := range []Side{Client, Backend} {
		of := slices.DeleteFunc(slices.Clone(all), func(f TappedFrame) bool { return f.From != from })
		if want := tappedAlone(from, streams[from], 0, TapOptions{Payload: 300}); !slices.Equal(of, want) {
			t.Errorf("of the %s the tap showed %d frames, or others; want %d", from, len(of), len(want))
		}
	}
}

// A session has one tap. When that is taken off it may have another; when it is finished it has none.
func TestASessionHasOneTap(t *testing.T) {
	c, first, second := newCore(&Session{}), new(Tap), new(Tap)
	if !c.Tap(first, clock.New()) || c.Tap(second, clock.New()) {
		t.Error("a session took two taps, or none")
	}
	c.Untap(second)
	if c.Tap(second, clock.New()) {
		t.Error("a session has lost its tap to another one")
	}
	c.Untap(first)
	if !c.Tap(second, clock.New()) {
		t.Error("a session whose tap is taken off took no other")
	}
	c.End(Ending{Cause: Operator, Code: 4001}, Gateway)
	c.AppendOwn(Client, nil, 5)
	c.Finish(nil, "", clock.New(), 6)
	want := []TappedFrame{{At: 5, From: Gateway, To: Client, Op: ws.OpClose, Fin: true, Length: int64(2 + len(Operator.String()))}}
	if frames, _, over := second.Read(nil); !slices.Equal(frames, want) || !over {
		t.Errorf("Read = %+v, over %t; want %+v and true", frames, over, want)
	}
	if c.Tap(new(Tap), clock.New()) {
		t.Error("a session that is finished took a tap")
	}
}

func BenchmarkCoreFeedTapped(b *testing.B) {
	for name, o := range map[string]TapOptions{"headers": {}, "payloads": {Payload: 256}, "a sample": {Payload: 256, Sample: 1000}} {
		for _, n := range []int{16, 1024} {
			in := bytes.Repeat(frametest.Encode(Client, frametest.Binary(strings.Repeat("x", n))), (64<<10)/(n+8))
			for _, reader := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/%dB/read=%t", name, n, reader), func(b *testing.B) {
					b.ReportAllocs()
					b.SetBytes(int64(len(in)))
					c, tap := newCore(&Session{}), NewTap(o)
					c.Tap(tap, clock.New())
					for b.Loop() {
						c.Feed(Client, in, 1)
						if reader { // the ring is empty again
							tap.read.Store(tap.written.Load())
							if tap.payloads != nil {
								tap.payloads.taken.Store(tap.payloads.added)
							}
						}
					}
				})
			}
		}
	}
}
