package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/clock"
	"sluice/internal/wstest"
	"sluice/proxy/relay/frametest"
)

// A tap shows each frame that begins after it was set, wherever the stream is cut, and whether or not
// the payload goes by Feed.
func TestATapShowsEveryFrame(t *testing.T) {
	frames := []ws.Frame{
		wstest.Text("a"), frametest.Binary(strings.Repeat("b", 300)), wstest.Part(ws.OpText, "c"), wstest.Ping("p"), wstest.Last(""),
		frametest.Binary(strings.Repeat("d", 70<<10)), wstest.Pong(""), wstest.Text(""),
	}
	for _, from := range []Side{Client, Backend} {
		stream, begins := []byte(nil), []int(nil) // begins is where each frame is
		for _, f := range frames {
			begins = append(begins, len(stream))
			stream = append(stream, frametest.Encode(from, f)...)
		}
		for seed := range uint64(200) {
			r := rand.New(rand.NewPCG(seed, 0))
			c, tap := newCore(&Session{}), new(Tap)
			tapped, at, end := -1, 0, 0
			for at < len(stream) {
				if tapped < 0 && r.IntN(4) == 0 {
					if !c.Tap(tap, clock.New()) {
						t.Fatal("Tap = false; want true")
					}
					tapped = at
				}
				if n := min(c.PayloadAhead(from), int64(r.IntN(1000))); n > 0 {
					c.PayloadForwarded(from, n, 7)
					at += int(n)
					end = at
					continue
				}
				end = min(len(stream), max(end, at)+1+r.IntN(1000))
				_, used := c.Feed(from, stream[at:end], 7)
				at += used
			}
			var want []TappedFrame
			for i, f := range frames {
				if tapped >= 0 && begins[i] >= tapped {
					want = append(want, TappedFrame{At: 7, From: from, To: from.Other(), Op: f.Header.OpCode, Fin: f.Header.Fin, Length: f.Header.Length})
				}
			}
			if got, lost, over := tap.Read(nil); !slices.Equal(got, want) || lost != 0 || over {
				t.Fatalf("from the %s, seed %d, tapped at %d: %+v, %d lost, over %t; want %+v", from, seed, tapped, got, lost, over, want)
			}
		}
	}
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
	for _, n := range []int{16, 1024} {
		in := slices.Repeat(frametest.Encode(Client, frametest.Binary(strings.Repeat("x", n))), (64<<10)/(n+8))
		b.Run(fmt.Sprintf("%dB", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			c, tap := newCore(&Session{}), new(Tap)
			c.Tap(tap, clock.New())
			for b.Loop() {
				c.Feed(Client, in, 1)
			}
		})
	}
}
