package proxy

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"sluice/internal/limit"
)

// enter admits the request while the process has room for it, or answers. What
// it takes is given back by leave. One client never gets all of it.
func (x *exchange) enter() bool {
	g := x.g
	x.room = g.room.Acquire(x.started, g.engine.Memory())
	if x.room.Exhausted != 0 {
		x.overload(x.room.Exhausted)
		return false
	}
	own := x.room.MaxRequests
	if x.origin.Client.IsValid() {
		own = max(own/2, 1)
	}
	switch {
	case g.requests.Add(1) > x.room.MaxRequests:
		x.overload(x.room.Scarcest)
	case !g.clients.Acquire(limit.Key(x.origin.Client), int(min(own, math.MaxInt))):
		g.greedy.count(x.room.Scarcest.String())
		x.refuseForRoom(fmt.Errorf("limit: the process is short of %s for more requests of one address", x.room.Scarcest))
	default:
		return true
	}
	g.requests.Add(-1)
	g.room.Release(x.room)
	return false
}

// leave is for a request that was admitted and is answered.
func (x *exchange) leave() {
	// The end of an answer to a stream may wait for its client behind the
	// handler. Where many requests are in work it is sent before, so that it counts.
	if x.sent.streams && !x.sent.taken && x.through && x.g.requests.Load() > x.room.MaxRequests/8 {
		x.sent.FlushError()
	}
	x.g.room.Release(x.room)
	x.g.requests.Add(-1)
	x.g.clients.Release(limit.Key(x.origin.Client))
}

// overload refuses the request for want of something.
func (x *exchange) overload(short limit.Shortage) {
	err := fmt.Errorf("limit: the process is short of %s", short)
	x.g.shortages.met(short, err)
	x.refuseForRoom(err)
}

// refuseForRoom answers in the cheapest way: without a body, which a client could
// leave where it is, and without waiting for the rest of the request.
func (x *exchange) refuseForRoom(err error) {
	x.record.Error = err.Error()
	x.own, x.short = true, true
	x.sent.last = x.sent.last || x.body != nil && !x.sent.streams
	h := x.w.Header()
	h.Set("Retry-After", retryRoom)
	h.Set("Content-Length", "0")
	x.w.WriteHeader(http.StatusServiceUnavailable)
}

// tellGreedy logs that clients had their share of requests.
func (g *Gateway) tellGreedy(what string, since, total uint64) {
	g.logger().Warn().Uint64("requests", since).Uint64("total", total).Msg(
		"requests refused: their address has as many in work as half of the " + what + " allows; the access log has the addresses")
}

// connectionCount is the open connections of all listeners.
type connectionCount struct {
	open     atomic.Int64
	sessions *atomic.Int64 // which of them are sessions, or will be
}

// crowdInterval is how often listeners look again while the process may have no
// more connections.
const crowdInterval = 100 * time.Millisecond

// full returns what allows no more connections, if there may be none.
func (c *connectionCount) full() limit.Shortage {
	most, scarcest := limit.MaxConnections(c.sessions.Load())
	if c.open.Load() < most {
		return 0
	}
	return scarcest
}

// ended waits until none is open, or ctx ends.
func (c *connectionCount) ended(ctx context.Context) {
	look := time.NewTicker(crowdInterval / 10)
	defer look.Stop()
	for c.open.Load() > 0 {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// headRoom is what the heads of requests that are under way may take, beside
// the first bytes of each: those of one client's connections half of it.
type headRoom struct {
	most int64 // bytes
	used atomic.Int64
	own  *limit.Sums
}

// headShare is the part of the memory limit that heads may take, as bytes that
// came: what is made of them takes several times as much.
const headShare = 16

func newHeadRoom() *headRoom {
	return &headRoom{most: debug.SetMemoryLimit(-1) / headShare, own: limit.NewSums()}
}

// headsOf is the room for the heads of one client.
type headsOf struct {
	*headRoom
	client netip.Addr
}

// Borrow implements [wire.Lender].
func (h headsOf) Borrow(n int) bool {
	if h.used.Add(int64(n)) <= h.most && h.own.Acquire(h.client, n, h.most/2) {
		return true
	}
	h.used.Add(-int64(n))
	return false
}

// Return implements [wire.Lender].
func (h headsOf) Return(n int) {
	h.own.Release(h.client, n)
	h.used.Add(-int64(n))
}
