//go:build !portable

package relay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/frame"
)

const (
	eventsAtOnce = 128
	loopBuffer   = 64 << 10                      // bytes one read brings at most
	wakeData     = -1                            // event data of the loop's own descriptor
	yieldAfter   = int64(200 * time.Microsecond) // of work, for others on this processor
)

// loop is an epoll set and the sessions whose sockets are in it. Only its
// goroutine touches them; others hand it functions to call.
//
// The goroutine does not block in epoll_wait, which would cost a hand-over of
// its processor each time: the set itself is a descriptor that the Go runtime
// waits for.
type loop struct {
	sink  Sink
	clock clock
	pipes *pipes       // the engine's
	load  atomic.Int64 // sessions with open sockets

	mu        sync.Mutex
	opened    bool
	over      bool // calls are taken no more
	handOvers int  // sessions that will be handed in, whatever happens
	posted    []func()
	whenOpen  chan struct{} // closed when opened
	wake      int           // an eventfd

	epoll        int
	file         *os.File // of epoll
	raw          syscall.RawConn
	now          int64 // moment of the events that are being handled
	stopping     bool
	slots        slots
	tlsStates    tlsStates
	timers       timers
	events       [eventsAtOnce]unix.EpollEvent
	ready        int                // events fetched
	fetchReady   func(uintptr) bool // fetches them
	parkedUntil  int64              // moment at which the wait for them ends; 0 for never
	drainWaiters []chan struct{}    // closed when there is no session
	buf          [loopBuffer]byte
	sealed       []byte                 // records for a side, until the next ones
	ownFrame     [frame.MaxControl]byte // for a frame of the gateway's own
	closed       []handle               // their sockets are closed
	sparePending []*pending             // spare ones, empty
	eventCount   uint64                 // events of sockets
	spliced      uint64                 // bytes that went through pipes
}

func newLoop(sink Sink, c clock, p *pipes) *loop {
	return &loop{sink: sink, clock: c, pipes: p, whenOpen: make(chan struct{})}
}

// reserve keeps the loop running until a call of join. It is false when the
// loop is over or has no epoll set.
func (l *loop) reserve() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || !l.opened && !l.open() {
		return false
	}
	l.handOvers++
	l.load.Add(1)
	return true
}

// handOver hands in the session that a place was reserved for, or nil to give the
// place back.
func (l *loop) handOver(a *handover) {
	l.post(func() {
		l.mu.Lock()
		l.handOvers--
		l.mu.Unlock()
		if a != nil {
			l.start(a)
		} else {
			l.load.Add(-1)
		}
	})
}

// open opens the epoll set and reports whether there is one. It is called with
// the lock held.
func (l *loop) open() bool {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(epoll)
		return false
	}
	own := unix.EpollEvent{Events: unix.EPOLLIN, Fd: wakeData}
	err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &own)
	if err == nil {
		err = unix.SetNonblock(epoll, true) // has the runtime wait for it
	}
	file := os.NewFile(uintptr(epoll), "epoll")
	if err == nil {
		err = file.SetReadDeadline(time.Time{}) // fails if the runtime does not
	}
	var raw syscall.RawConn
	if err == nil {
		raw, err = file.SyscallConn()
	}
	if err != nil {
		file.Close()
		unix.Close(wake)
		return false
	}
	l.epoll, l.file, l.raw, l.wake, l.opened = epoll, file, raw, wake, true
	l.fetchReady = func(uintptr) bool { l.ready = l.fetch(); return l.ready > 0 }
	close(l.whenOpen)
	return true
}

// post has f called by the loop, before it is over. It is false when that is the
// case already, or the loop was never opened.
func (l *loop) post(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || !l.opened {
		return false
	}
	l.posted = append(l.posted, f)
	if len(l.posted) == 1 {
		one := [8]byte{1}
		unix.Write(l.wake, one[:])
	}
	return true
}

// call is do, and waits until f has returned.
func (l *loop) call(f func()) {
	done := make(chan struct{})
	if l.post(func() { defer close(done); f() }) {
		<-done
	}
}

// run serves the loop's sessions until ctx ends and the last one has.
func (l *loop) run(ctx context.Context) {
	select {
	case <-l.whenOpen:
	case <-ctx.Done():
		l.mu.Lock()
		l.over = !l.opened
		closed := l.over
		l.mu.Unlock()
		if closed {
			return
		}
	}
	defer l.file.Close()
	defer unix.Close(l.wake)
	stop := context.AfterFunc(ctx, func() {
		l.post(func() {
			l.stopping = true
			l.slots.each(l.abort)
		})
	})
	defer stop()
	since := l.clock.now() // others had their turn on this processor
	for {
		n := l.fetch()
		if n == 0 {
			l.park()
			since = l.clock.now()
			n = l.ready
		}
		l.now = l.clock.now()
		for i := range l.events[:n] {
			l.dispatch(&l.events[i])
		}
		l.fireTimers()
		l.runPosted()
		l.freeClosed()
		l.signalDrained()
		if l.stopping && l.load.Load() == 0 && l.stopTaking() {
			return
		}
		if l.now-since > yieldAfter {
			runtime.Gosched()
			since = l.now
		}
	}
}

// stopTaking ends the taking of calls, unless there are some or will be.
func (l *loop) stopTaking() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.posted) > 0 || l.handOvers > 0 {
		return false
	}
	l.over = true
	return true
}

// park waits for events, or for the next alarm.
func (l *loop) park() {
	var next int64
	if len(l.timers) > 0 {
		next = l.timers[0].timer
	}
	if next != l.parkedUntil {
		l.parkedUntil = next
		var t time.Time
		if next != 0 {
			t = l.clock.time(next)
		}
		l.file.SetReadDeadline(t)
	}
	l.ready = 0
	l.raw.Read(l.fetchReady)
}

// fetch fetches events without waiting and returns their number.
func (l *loop) fetch() int {
	n, err := pollEvents(l.epoll, l.events[:])
	if err != nil {
		panic(fmt.Sprintf("relay: epoll_wait: %v", err)) // a loop must not die alone
	}
	return n
}

func (l *loop) dispatch(e *unix.EpollEvent) {
	if e.Fd == wakeData {
		var b [8]byte
		unix.Read(l.wake, b[:])
		return
	}
	l.eventCount++
	if k, ok := l.slots.at(e.Fd>>1, e.Pad); ok {
		l.event(k, Side(e.Fd&1), e.Events)
	}
}

// runPosted calls what others handed in.
func (l *loop) runPosted() {
	l.mu.Lock()
	calls := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, f := range calls {
		f()
	}
}

// start begins a session.
func (l *loop) start(a *handover) {
	k := l.slots.alloc()
	k.open(&a.Session, l.now)
	k.owner = a.Owner
	l.slots.setNote(k, a.Note)
	for side := range k.sockets {
		s, from := &k.sockets[side], &a.sides[side]
		s.fd, s.tlsCell = from.fd, -1
		if from.hasTLS {
			s.tlsCell = l.tlsStates.add(&from.state)
		}
	}
	for side := range k.sockets {
		l.startSide(k, Side(side), &a.sides[side])
	}
	if l.stopping {
		l.abort(k)
	} else {
		l.advance(k)
	}
}

// startSide passes on what a side said before the loop had it.
func (l *loop) startSide(k handle, from Side, a *detachedSide) {
	if !a.hasTLS {
		l.consume(k, from, append(a.early, a.unread...))
		return
	}
	in, err := l.unseal(k, from, append(a.early, a.unread...), len(a.early))
	l.consume(k, from, in)
	if err != nil {
		l.tlsEnded(k, from, err)
	}
}

func (l *loop) endWithin(k handle, cause Cause, spread time.Duration) {
	if spread > 0 {
		k.planEnd(cause, l.now+int64(rand.N(spread)))
	} else {
		k.end(cause, Gateway)
	}
	l.advance(k)
}

func (l *loop) signalDrained() {
	if len(l.drainWaiters) == 0 || l.load.Load() > 0 {
		return
	}
	for _, c := range l.drainWaiters {
		close(c)
	}
	l.drainWaiters = nil
}

// fireTimers looks at the sessions whose moment has come.
func (l *loop) fireTimers() {
	for len(l.timers) > 0 && l.timers[0].timer <= l.now {
		p := l.timers[0]
		l.timers.remove(p)
		if k, ok := l.slots.at(p.number, p.generation); ok {
			l.tick(k)
		}
	}
}
