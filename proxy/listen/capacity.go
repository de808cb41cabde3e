package listen

import (
	"context"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"sluice/internal/limit"
)

// connectionCount is the number of open connections of all listeners.
type connectionCount struct {
	open     atomic.Int64
	sessions func() int64 // how many of them are sessions, or will be
}

// fullInterval is how often listeners check again while the process may have no more
// connections.
const fullInterval = 100 * time.Millisecond

// full returns what the process is short of for another connection, or 0.
func (c *connectionCount) full() limit.Shortage {
	most, scarcest := limit.MaxConnections(c.sessions())
	if c.open.Load() < most {
		return 0
	}
	return scarcest
}

// awaitNone returns when no connection is open, or ctx ends.
func (c *connectionCount) awaitNone(ctx context.Context) {
	check := time.NewTicker(fullInterval / 10)
	defer check.Stop()
	for c.open.Load() > 0 {
		select {
		case <-check.C:
		case <-ctx.Done():
			return
		}
	}
}

// headBudget is the memory for request heads that are under way, beyond the first
// bytes of each. One client may have half of it.
type headBudget struct {
	most     int64 // bytes
	used     atomic.Int64
	byClient *limit.Sums
}

// headShare is the share of the memory limit that heads may take, in bytes as they
// came: what is made of them takes several times as much.
const headShare = 16

func newHeadBudget() *headBudget {
	return &headBudget{most: debug.SetMemoryLimit(-1) / headShare, byClient: limit.NewSums()}
}

// clientHeads is the budget as one client may use it.
type clientHeads struct {
	*headBudget
	client netip.Addr
}

// Acquire implements [wire.HeadMemory].
func (h clientHeads) Acquire(n int) bool {
	if h.used.Add(int64(n)) <= h.most && h.byClient.Acquire(h.client, n, h.most/2) {
		return true
	}
	h.used.Add(-int64(n))
	return false
}

// Release implements [wire.HeadMemory].
func (h clientHeads) Release(n int) {
	h.byClient.Release(h.client, n)
	h.used.Add(-int64(n))
}
