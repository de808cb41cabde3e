package serve

import (
	"context"
	"sync"
)

// underway counts what has begun and not ended. Unlike those of a [sync.WaitGroup] its count may rise from 0
// while somebody waits.
type underway struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n falls to 0; nil unless somebody waits
}

func (u *underway) begin() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n++
}

func (u *underway) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n--; u.n == 0 && u.none != nil {
		close(u.none)
		u.none = nil
	}
}

// wait returns when there was nothing under way for a moment, or ctx has ended.
func (u *underway) wait(ctx context.Context) {
	u.mu.Lock()
	if u.n == 0 {
		u.mu.Unlock()
		return
	}
	if u.none == nil {
		u.none = make(chan struct{})
	}
	none := u.none
	u.mu.Unlock()
	select {
	case <-none:
	case <-ctx.Done():
	}
}
