//go:build !portable

package relay

import (
	"cmp"
	"context"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/wire"
)

// Engine runs sessions. Those between two plain sockets belong to event loops,
// one for each CPU, which keep neither a goroutine nor a buffer for a session
// that is silent; all others are the portable engine's.
type Engine struct {
	portable *Portable
	loops    []*loop
}

// New returns the engine for this system, which tells sink of every session's
// end.
func New(sink Sink) *Engine {
	e := &Engine{portable: NewPortable(sink)}
	for range runtime.GOMAXPROCS(0) {
		e.loops = append(e.loops, newLoop(sink, e.portable.clock))
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
	l := slices.MinFunc(e.loops, func(a, b *loop) int { return cmp.Compare(a.load.Load(), b.load.Load()) })
	client, ok := plain(s.Client.Conn)
	backend, also := plain(s.Backend.Conn)
	if !ok || !also || !l.reserve() {
		e.portable.Join(s)
		return
	}
	a := &arrival{Session: s}
	for side, c := range [...]*wire.Conn{Client: client, Backend: backend} {
		fd, unread, err := c.Detach()
		if err != nil { // the process is out of descriptors
			if Side(side) == Backend {
				unix.Close(int(a.fds[Client]))
			}
			l.join(nil)
			e.portable.Join(s) // which tells whoever can still be told
			return
		}
		a.fds[side] = int32(fd)
		if Side(side) == Client {
			a.Client.Early = append(a.Client.Early, unread...)
		} else {
			a.Backend.Early = append(a.Backend.Early, unread...)
		}
	}
	s.Group.open.Add(1)
	l.join(a)
}

// arrival is a session on its way to a loop, with the descriptors of its
// sockets.
type arrival struct {
	Session
	fds [2]int32 // by Side
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
	e.scan(func(l *loop, k joint) {
		if !k.done && match(k.view(k.owner, l.clock)) {
			n++
			l.end(k, cause, spread)
		}
	}, func() bool { return true })
	return n
}

// Review has the sessions held to the rules of their groups as they are now.
func (e *Engine) Review() {
	e.portable.Review()
	e.scan(func(l *loop, k joint) {
		if !k.done {
			l.settle(k)
		}
	}, func() bool { return true })
}

// Memory returns how many bytes the engine holds that the Go runtime does not
// know of.
func (e *Engine) Memory() (n int64) {
	for _, l := range e.loops {
		n += l.slabs.mapped.Load()
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
	var views []View
	e.scan(func(l *loop, k joint) {
		if !k.done {
			views = append(views, k.view(k.owner, l.clock))
		}
	}, func() bool {
		for _, v := range views {
			if more = more && yield(v); !more {
				break
			}
		}
		views = views[:0]
		return more
	})
}

// scan has the loops call f with every session, some hundreds at a time so that
// the others need not wait long. It calls more after each time, and stops when
// that is false.
func (e *Engine) scan(f func(*loop, joint), more func() bool) {
	for _, l := range e.loops {
		for i, left := 0, true; left; i++ {
			left = false
			l.wait(func() {
				if left = i < len(l.slabs.all); left {
					l.slabs.among(i, func(k joint) { f(l, k) })
				}
			})
			if !more() {
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
