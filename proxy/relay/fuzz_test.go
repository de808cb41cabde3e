package relay

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

// FuzzRelay sends two streams, cut at random places, through a session. A side gets the
// beginning of what the other one sent, up to what must not pass, and after it at most one
// Close frame of the gateway's own, between frames. A side whose own stream does not end the
// session misses nothing, and a client that breaks the rules misses nothing of the backend.
func FuzzRelay(f *testing.F) {
	long := frametest.Binary(strings.Repeat("x", 2000))
	bad := wstest.Reserved(wstest.Text("x"), false, true, false)
	seeds := []struct{ client, backend []ws.Frame }{
		{[]ws.Frame{wstest.Text("a"), wstest.Ping("p")}, []ws.Frame{wstest.Part(ws.OpText, "a"), wstest.Last("b")}},
		{[]ws.Frame{wstest.Text("a"), wstest.Close(1000, "bye")}, []ws.Frame{long}},
		{[]ws.Frame{long, bad}, []ws.Frame{wstest.Text("a"), wstest.Close(1005, "")}},
		{[]ws.Frame{wstest.Close(3000, "")}, []ws.Frame{wstest.Close(4000, "")}},
		{[]ws.Frame{wstest.Close(1001, "\xff")}, []ws.Frame{bad}},
	}
	for i, s := range seeds {
		f.Add(frametest.Encode(Client, s.client...), frametest.Encode(Backend, s.backend...), uint64(i), i%2 == 0)
	}
	for i := range uint64(20) {
		r := rand.New(rand.NewPCG(i, 2))
		f.Add(frametest.Random(r, Client), frametest.Random(r, Backend), i, i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, fromClient, fromBackend []byte, seed uint64, deflate bool) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			links := []relaytest.Link{relaytest.MemoryLink(1), relaytest.Narrow, relaytest.Roomy}
			early := min(len(fromClient), r.IntN(1+len(fromClient)))
			o := Session{Deflate: deflate}
			o.Client.Early = bytes.Clone(fromClient[:early])
			h := newFixture(t)
			c, b := h.StartSession(links[r.IntN(3)], links[r.IntN(3)], o)

			said := [2][]byte{fromClient, fromBackend}
			may := [2]frametest.Stream{frametest.Parse(Client, deflate, fromClient), frametest.Parse(Backend, deflate, fromBackend)}
			var got [2][]byte
			var wg sync.WaitGroup
			for _, p := range []*relaytest.Peer{c, b} {
				rest := said[p.Side]
				if p.Side == Client {
					rest = rest[early:]
				}
				cuts := rand.New(rand.NewPCG(seed, uint64(p.Side)+1))
				wg.Go(func() {
					for len(rest) > 0 {
						n := min(len(rest), 1+cuts.IntN(1<<cuts.IntN(17)))
						if _, err := p.Write(rest[:n]); err != nil {
							return
						}
						rest = rest[n:]
					}
				})
				wg.Go(func() { got[p.Side], _ = io.ReadAll(p) })
			}
			synctest.Wait() // everything is relayed, or the session has ended
			c.CloseWrite()
			b.CloseWrite()
			wg.Wait()
			report := h.AwaitReport()
			h.Drained(t.Context())

			for _, to := range []Side{Client, Backend} {
				from := to.Other()
				pass := said[from][:may[from].Pass]
				n := prefix(got[to], pass)
				if n < len(got[to]) { // the gateway's Close frame may begin like the next frame
					n = frametest.Parse(from, deflate, got[to][:n]).Whole
				}
				own := frametest.Parse(from, deflate, got[to][n:])
				switch at := frametest.Parse(from, deflate, got[to][:n]); {
				case n < len(got[to]) && (len(own.Frames) != 1 || !own.Closed || own.Broken || own.Pass != len(got[to])-n):
					t.Errorf("after the %s's bytes the %s got %x", from, to, got[to][n:])
				case n < len(got[to]) && at.Closed:
					t.Errorf("the %s got a Close frame of the gateway's after %s", to, &at)
				case n < len(pass) && (!may[to].Ends() || to == Client && !may[to].Closed && !may[from].Closed):
					t.Errorf("the %s missed %d bytes of the %s", to, len(pass)-n, from)
				}
			}
			switch ends := [2]bool{may[Client].Ends(), may[Backend].Ends()}; {
			case report.Cause == 0:
				t.Error("the session ended for no cause")
			case !ends[0] && !ends[1] && report.Cause != Lost:
				t.Errorf("cause = %s; want lost", report.Cause)
			case ends[0] != ends[1] && (report.Cause != Closed && report.Cause != Violation || !ends[report.By]):
				t.Errorf("report = %s by the %s", report.Cause, report.By)
			}
		})
	})
}

// prefix returns the length of the common beginning of a and b.
func prefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
