//go:build !portable

package relay

import (
	"bytes"
	"crypto/tls"
	"testing"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"sluice/internal/codec"
	"sluice/internal/wstest"
	"sluice/proxy/relay/frametest"
	"sluice/proxy/relay/relaytest"
)

// written returns sessions as they are written down, with something under way in each.
func written(f *testing.F) (all [][]byte) {
	h := newFixture(f)
	half := func(p *relaytest.Peer, frames ...ws.Frame) {
		b := frametest.Encode(p.Side, frames...)
		p.Write(b[:len(b)-1])
	}
	for _, link := range []relaytest.Link{
		relaytest.Loopback, relaytest.OverTLS(f, relaytest.Loopback),
		relaytest.OverTLS(f, relaytest.Loopback, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }),
	} {
		c, b := h.StartSession(link, link, Session{Deflate: true})
		half(c, wstest.Text("hello"))
		half(b, wstest.Ping("p"), frametest.Binary("0123456789"))
		c, b = h.StartSession(link, link, Session{})
		c.Write(frametest.Encode(Client, wstest.Close(4000, "bye")))
		b.Receive(wstest.Close(4000, "bye"))
	}
	for stopped := h.engine.StopSome; ; {
		var n int
		s := stopped(func(o Offer) (taken, more bool) {
			w := codec.Writer(make([]byte, 0, 1<<20))
			if o.Carry(w); w.End() != nil {
				f.Fatal(w.End())
			}
			all = append(all, bytes.Clone(w.Written()))
			n++
			return true, true
		})
		if s == nil {
			return all
		}
		s.Settle(make([]bool, n))
	}
}

// FuzzCarried reads sessions from bytes, and lets those run that can be read. Whatever they hold, no loop panics or hangs, and each
// session ends and is reported once.
func FuzzCarried(f *testing.F) {
	for _, b := range written(f) {
		f.Add(b, frametest.Encode(Client, wstest.Text("a"), wstest.Close(1000, "")), frametest.Encode(Backend, wstest.Pong("p"), wstest.Text("b")))
	}
	f.Fuzz(func(t *testing.T, state, fromClient, fromBackend []byte) {
		m := new(Carried)
		r := codec.Reader(state)
		if m.Carry(r); r.End() != nil {
			m.Wipe()
			return
		}
		h := newFixture(t)
		var ours, theirs [2]int
		for side := range ours {
			ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			ours[side], theirs[side] = ends[0], ends[1]
		}
		if !h.engine.Adopt(m, &h.Group, nil, ours[Client], ours[Backend]) {
			t.Fatal("a session was not adopted")
		}
		for side, b := range [...][]byte{Client: fromClient, Backend: fromBackend} {
			unix.Write(theirs[side], b) // what the socket takes
			unix.Close(theirs[side])
		}
		h.Stop()
		h.AwaitReport()
		select {
		case r := <-h.Reports:
			t.Errorf("a second report: %+v", r)
		default:
		}
	})
}
