//go:build !portable

package relay

import (
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/wire"
)

// Engine runs sessions. Those between two plain sockets belong to event loops,
// one for each CPU, which keep neither a goroutine nor a buffer for a session
// that is silent; all others are the portable engine's.
type Engine struct {
	portable *Portable
	ended    func(Report)
	loops    []*loop
	turn     atomic.Uint32
}

// New returns the engine for this system. It reports every session's end to
// ended, which must not block and may call Join, but nothing that waits for
// a loop: it may be called by one.
func New(ended func(Report)) *Engine {
	e := &Engine{portable: NewPortable(ended), ended: ended}
	for range runtime.GOMAXPROCS(0) {
		e.loops = append(e.loops, newLoop(ended))
	}
	return e
}

// Run runs the loops until ctx ends, cuts the sessions that are left and
// returns when all of them are reported and their sockets closed.
func (e *Engine) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	for _, l := range e.loops {
		all.Go(func() { l.run(ctx) })
	}
	return e.portable.Run(ctx)
}

// Join takes a session over and returns at once. The connections are closed,
// and the session is reported as any other, when the engine has stopped.
func (e *Engine) Join(s Session) {
	l := e.loops[int(e.turn.Add(1))%len(e.loops)]
	client, ok := plain(s.Client.Conn)
	backend, also := plain(s.Backend.Conn)
	if !ok || !also || !l.reserve() {
		e.portable.Join(s)
		return
	}
	k := &joint{Session: s, core: newCore(&s)}
	k.Client.Conn, k.Backend.Conn = nil, nil
	for side, c := range [...]*wire.Conn{Client: client, Backend: backend} {
		fd, unread, err := c.Detach()
		if err != nil { // the process is out of descriptors
			if side > 0 {
				unix.Close(k.ends[0].fd)
			}
			l.join(nil)
			e.portable.Join(s) // which tells whoever can still be told
			return
		}
		k.ends[side].fd, k.ends[side].release = fd, c.Release
		if side == int(Client) {
			k.Client.Early = append(k.Client.Early, unread...)
		} else {
			k.Backend.Early = append(k.Backend.Early, unread...)
		}
	}
	s.Group.open.Add(1)
	l.join(k)
}

// plain returns the socket of c, if it can be taken out of the Go runtime.
func plain(c net.Conn) (*wire.Conn, bool) {
	w, ok := c.(*wire.Conn)
	if !ok {
		return nil, false
	}
	switch w.Conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		return w, true
	}
	return nil, false
}

// End ends the sessions that match, each at a random moment within spread, and
// returns how many there are. The loops call match, and wait for it.
func (e *Engine) End(match func(View) bool, cause Cause, spread time.Duration) int {
	n := e.portable.End(match, cause, spread)
	for _, l := range e.loops {
		l.wait(func() { n += l.end(match, cause, spread) })
	}
	return n
}

// Each calls yield with every session that is not over until it returns false.
func (e *Engine) Each(yield func(View) bool) {
	more := true
	e.portable.Each(func(v View) bool {
		more = yield(v)
		return more
	})
	for _, l := range e.loops {
		if !more {
			return
		}
		var views []View
		l.wait(func() { views = l.views() })
		for _, v := range views {
			if more = yield(v); !more {
				return
			}
		}
	}
}

// Drained waits until the sockets of all sessions are closed, or until ctx
// ends.
func (e *Engine) Drained(ctx context.Context) {
	e.portable.Drained(ctx)
	for _, l := range e.loops {
		empty := make(chan struct{})
		if !l.do(func() { l.drained = append(l.drained, empty); l.tellDrained() }) {
			continue
		}
		select {
		case <-empty:
		case <-ctx.Done():
		}
	}
}
