//go:build linux && !portable

package http1

import (
	"net"
	"slices"

	"sluice/internal/loop"
)

// Engine is the connections on a set of loops.
type Engine struct{ loops []*loopConns }

// New returns an engine on loops on which nothing runs yet.
func New(loops []*loop.Loop) *Engine {
	e := new(Engine)
	var all []*upstreams
	for i, l := range loops {
		e.loops = append(e.loops, newLoopConns(l, i))
		all = append(all, e.loops[i].upstreams)
	}
	sets := new(idleSets)
	for _, u := range all {
		u.sets, u.all = sets, all
	}
	return e
}

// Memory returns how many bytes the engine holds that the Go runtime does not know of. Any
// goroutine may call it.
func (e *Engine) Memory() (n int64) {
	for _, l := range e.loops {
		n += l.slots.Mapped() + l.tls.Mapped()
	}
	return n
}

// Host makes a loop wake the goroutines that use a connection, unless one does. It closes the
// connection if none can. It is false, and does nothing, for another connection than a
// [loop.Conn].
func (e *Engine) Host(c net.Conn) bool {
	socket := loop.ConnOf(c)
	if socket != nil {
		e.leastBusy().Loop.Host(socket)
	}
	return socket != nil
}

// loopOf returns the loop that hosts a connection or, where none does, the one with the
// fewest connections. It is nil if c is no connection of a loop.
func (e *Engine) loopOf(c *loop.Conn) *loopConns {
	if c == nil {
		return nil
	}
	if host := c.HostedBy(); host != nil {
		i := slices.IndexFunc(e.loops, func(l *loopConns) bool { return l.Loop == host })
		return e.loops[i]
	}
	return e.leastBusy()
}

// leastBusy returns the loop with the fewest connections.
func (e *Engine) leastBusy() *loopConns {
	return slices.MinFunc(e.loops, func(a, b *loopConns) int { return int(a.Load() - b.Load()) })
}
