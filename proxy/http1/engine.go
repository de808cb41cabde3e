//go:build linux && !portable

package http1

import (
	"slices"

	"sluice/internal/loop"
)

// Engine is the connections on a set of loops.
type Engine struct{ loops []*loopConns }

// New returns an engine on loops on which nothing runs yet.
func New(loops []*loop.Loop) *Engine {
	e := new(Engine)
	for _, l := range loops {
		e.loops = append(e.loops, newLoopConns(l))
	}
	return e
}

// Memory returns how many bytes the engine holds that the Go runtime does not know of. Any
// goroutine may call it.
func (e *Engine) Memory() (n int64) {
	for _, l := range e.loops {
		n += l.slots.Mapped()
	}
	return n
}

// leastBusy returns the loop with the fewest connections.
func (e *Engine) leastBusy() *loopConns {
	return slices.MinFunc(e.loops, func(a, b *loopConns) int { return int(a.Load() - b.Load()) })
}
