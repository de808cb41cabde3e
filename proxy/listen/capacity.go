package listen

import (
	"context"
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
