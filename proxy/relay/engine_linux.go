//go:build !portable

package relay

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/record"
	"sluice/internal/wire"
)

// Engine runs sessions. Those between sockets belong to event loops, one for
// each CPU, which keep neither a goroutine nor a buffer for a session that is
// silent; where there is TLS they protect its records. All others are the
// portable engine's: those whose connections are no sockets, and TLS that the
// loops cannot take over.
type Engine struct {
	portable  *Portable
	loops     []*loop
	pipes     *pipes
	takenOver atomic.Uint64 // TLS connections whose records the loops protect
}

// New returns the engine for this system, which tells sink of every session's
// end.
func New(sink Sink) *Engine {
	e := &Engine{portable: NewPortable(sink), pipes: newPipes()}
	for range runtime.GOMAXPROCS(0) {
		e.loops = append(e.loops, newLoop(sink, e.portable.clock, e.pipes))
	}
	return e
}

// Run runs the loops until ctx ends, cuts the sessions that are left and
// returns when all of them are reported and their sockets closed.
func (e *Engine) Run(ctx context.Context) error {
	defer e.pipes.close()
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
	wanted := s.capturesRecords()
	a := &handover{Session: s}
	if why := a.prepare(l); why != "" {
		a.dropCaptures()
		if wanted {
			e.portable.sink.Stayed(why)
		}
		e.portable.Join(a.Session)
		return
	}
	for side := range a.sides {
		if a.sides[side].hasTLS {
			e.takenOver.Add(1)
		}
	}
	s.Group.open.Add(1)
	l.handOver(a)
}

// handover is a session on its way to a loop.
type handover struct {
	Session
	sides [2]detachedSide // by Side
}

// detachedSide is what a loop takes over of one side.
type detachedSide struct {
	fd     int32 // 0 before it is detached
	hasTLS bool  // state is set
	state  record.State
	early  []byte // plaintext
	unread []byte // as it came from the socket
}

// prepare gets a session ready for a loop, which then has a place for it. Where that
// cannot be, the session is as it was, and the answer is why.
func (a *handover) prepare(l *loop) (why string) {
	switch {
	case !onSocket(a.Client.Conn) || !onSocket(a.Backend.Conn):
		return "one side of the session is a stream of another connection"
	case !l.reserve():
		return "there is no event loop that could have it"
	}
	if why = a.takeRecords(); why == "" {
		why = a.detach()
	}
	if why != "" {
		a.abandon()
		l.handOver(nil)
	}
	return why
}

// takeRecords takes the TLS records of both sides over from crypto/tls, or says why they
// stay there.
func (a *handover) takeRecords() (why string) {
	for side, s := range [...]*wire.Side{&a.Client, &a.Backend} {
		t, ok := s.Conn.(*tls.Conn)
		if !ok {
			continue
		}
		d := &a.sides[side]
		remembered := wire.Of(t).Remembers()
		var early []byte
		d.state, early, d.hasTLS = record.Take(t)
		s.Early = append(s.Early, early...)
		switch {
		case d.hasTLS:
		case !remembered:
			return "a connection of the session began without 'records: sluice'"
		case !record.Covers(t):
			return "the cipher suite " + tls.CipherSuiteName(t.ConnectionState().CipherSuite) + " is left to crypto/tls"
		default:
			return "the keys did not prove right with the records that went by"
		}
	}
	return ""
}

// detach takes both sides out of the Go runtime, the client last. Else it says why
// not: when the process is out of descriptors the client can still be told.
func (a *handover) detach() (why string) {
	for _, side := range [...]Side{Backend, Client} {
		s := &a.Client
		if side == Backend {
			s = &a.Backend
		}
		fd, unread, err := wire.Of(s.Conn).Detach()
		if err != nil {
			return "the process is out of file descriptors"
		}
		d := &a.sides[side]
		d.fd, d.early, d.unread = int32(fd), s.Early, unread
	}
	return ""
}

// abandon lets go of what was taken.
func (a *handover) abandon() {
	for side := range a.sides {
		d := &a.sides[side]
		d.state.Wipe()
		if d.fd > 0 {
			unix.Close(int(d.fd))
		}
	}
}

// onSocket reports whether c is a socket of the system's, or TLS over one.
func onSocket(c net.Conn) bool {
	w := wire.Of(c)
	if w == nil {
		return false
	}
	switch w.Conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// End ends the sessions that match, each at a random moment within spread, and
// returns how many there are. The loops call match, and wait for it.
func (e *Engine) End(match func(View) bool, cause Cause, spread time.Duration) int {
	n := e.portable.End(match, cause, spread)
	e.scan(func(l *loop, k handle) {
		if !k.ended && match(k.view(k.owner, l.clock)) {
			n++
			l.endWithin(k, cause, spread)
		}
	}, func() bool { return true })
	return n
}

// Review has the sessions held to the rules of their groups as they are now.
func (e *Engine) Review() {
	e.portable.Review()
	e.scan(func(l *loop, k handle) {
		if !k.ended {
			k.resetRates()
			l.advance(k)
		}
	}, func() bool { return true })
}

// Memory returns how many bytes the engine holds that the Go runtime does not
// know of.
func (e *Engine) Memory() (n int64) {
	for _, l := range e.loops {
		n += l.slots.cells.mapped.Load() + l.tlsStates.cells.mapped.Load()
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
	e.scan(func(l *loop, k handle) {
		if !k.ended {
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
func (e *Engine) scan(f func(*loop, handle), more func() bool) {
	for _, l := range e.loops {
		for i, left := 0, true; left; i++ {
			left = false
			l.call(func() {
				if left = i < len(l.slots.refs); left {
					l.slots.eachInChunk(i, func(k handle) { f(l, k) })
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
		if !l.post(func() { l.drainWaiters = append(l.drainWaiters, empty); l.signalDrained() }) {
			continue
		}
		select {
		case <-empty:
		case <-ctx.Done():
		}
	}
}
