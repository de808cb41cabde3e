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
	wakeSlot     = -1                            // event data of the loop's own descriptor
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

	mu      sync.Mutex
	opened  bool
	closed  bool // calls are taken no more
	joining int  // sessions that will be handed in, whatever happens
	calls   []func()
	first   chan struct{} // closed when opened
	wake    int           // an eventfd

	epoll    int
	file     *os.File // of epoll
	raw      syscall.RawConn
	now      int64 // moment of the events that are being handled
	stopping bool
	sessions sessions
	secrets  secrets
	alarms   alarms
	events   [eventsAtOnce]unix.EpollEvent
	ready    int                // events fetched
	look     func(uintptr) bool // fetches them
	deadline int64              // moment at which the wait for them ends; 0 for never
	drained  []chan struct{}    // closed when there is no session
	buf      [loopBuffer]byte
	sealed   []byte                 // records for a side, until the next ones
	own      [frame.MaxControl]byte // for a frame of the gateway's own
	dropped  []joint                // their sockets are closed
	hots     []*hot                 // spare ones, empty
	told     uint64                 // events of sockets
	spliced  uint64                 // bytes that went through pipes
}

func newLoop(sink Sink, c clock, p *pipes) *loop {
	return &loop{sink: sink, clock: c, pipes: p, first: make(chan struct{})}
}

// reserve keeps the loop running until a call of join. It is false when the
// loop is over or has no epoll set.
func (l *loop) reserve() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || !l.opened && !l.open() {
		return false
	}
	l.joining++
	l.load.Add(1)
	return true
}

// join hands in the session that a place was reserved for, or nil to give the
// place back.
func (l *loop) join(a *arrival) {
	l.do(func() {
		l.mu.Lock()
		l.joining--
		l.mu.Unlock()
		if a != nil {
			l.add(a)
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
	own := unix.EpollEvent{Events: unix.EPOLLIN, Fd: wakeSlot}
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
	l.look = func(uintptr) bool { l.ready = l.fetch(); return l.ready > 0 }
	close(l.first)
	return true
}

// do has f called by the loop, before it is over. It is false when that is the
// case already, or the loop was never opened.
func (l *loop) do(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || !l.opened {
		return false
	}
	l.calls = append(l.calls, f)
	if len(l.calls) == 1 {
		one := [8]byte{1}
		unix.Write(l.wake, one[:])
	}
	return true
}

// wait is do, and waits until f has returned.
func (l *loop) wait(f func()) {
	done := make(chan struct{})
	if l.do(func() { defer close(done); f() }) {
		<-done
	}
}

// run serves the loop's sessions until ctx ends and the last one has.
func (l *loop) run(ctx context.Context) {
	select {
	case <-l.first:
	case <-ctx.Done():
		l.mu.Lock()
		l.closed = !l.opened
		closed := l.closed
		l.mu.Unlock()
		if closed {
			return
		}
	}
	defer l.file.Close()
	defer unix.Close(l.wake)
	stop := context.AfterFunc(ctx, func() {
		l.do(func() {
			l.stopping = true
			l.sessions.each(l.cut)
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
		l.ring()
		l.call()
		l.bury()
		l.tellDrained()
		if l.stopping && l.load.Load() == 0 && l.finish() {
			return
		}
		if l.now-since > yieldAfter {
			runtime.Gosched()
			since = l.now
		}
	}
}

// finish ends the taking of calls, unless there are some or will be.
func (l *loop) finish() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.calls) > 0 || l.joining > 0 {
		return false
	}
	l.closed = true
	return true
}

// park waits for events, or for the next alarm.
func (l *loop) park() {
	var next int64
	if len(l.alarms) > 0 {
		next = l.alarms[0].alarm
	}
	if next != l.deadline {
		l.deadline = next
		var t time.Time
		if next != 0 {
			t = l.clock.time(next)
		}
		l.file.SetReadDeadline(t)
	}
	l.ready = 0
	l.raw.Read(l.look)
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
	if e.Fd == wakeSlot {
		var b [8]byte
		unix.Read(l.wake, b[:])
		return
	}
	l.told++
	if k, ok := l.sessions.at(e.Fd>>1, e.Pad); ok {
		l.event(k, Side(e.Fd&1), e.Events)
	}
}

// call calls what others handed in.
func (l *loop) call() {
	l.mu.Lock()
	calls := l.calls
	l.calls = nil
	l.mu.Unlock()
	for _, f := range calls {
		f()
	}
}

// add begins a session.
func (l *loop) add(a *arrival) {
	k := l.sessions.take()
	k.begin(&a.Session, l.now)
	k.owner = a.Owner
	l.sessions.keep(k, a.Note)
	for side := range k.sockets {
		s, from := &k.sockets[side], &a.sides[side]
		s.fd, s.secret = from.fd, -1
		if from.secured {
			s.secret = l.secrets.keep(&from.state)
		}
	}
	for side := range k.sockets {
		l.begin(k, Side(side), &a.sides[side])
	}
	if l.stopping {
		l.cut(k)
	} else {
		l.settle(k)
	}
}

// begin passes on what a side said before the loop had it.
func (l *loop) begin(k joint, from Side, a *landing) {
	if !a.secured {
		l.consume(k, from, append(a.early, a.unread...))
		return
	}
	in, err := l.unseal(k, from, append(a.early, a.unread...), len(a.early))
	l.consume(k, from, in)
	if err != nil {
		l.finished(k, from, err)
	}
}

func (l *loop) end(k joint, cause Cause, spread time.Duration) {
	if spread > 0 {
		k.plan(cause, l.now+int64(rand.N(spread)))
	} else {
		k.end(cause, Gateway)
	}
	l.settle(k)
}

func (l *loop) tellDrained() {
	if len(l.drained) == 0 || l.load.Load() > 0 {
		return
	}
	for _, c := range l.drained {
		close(c)
	}
	l.drained = nil
}

// ring looks at the sessions whose moment has come.
func (l *loop) ring() {
	for len(l.alarms) > 0 && l.alarms[0].alarm <= l.now {
		p := l.alarms[0]
		l.alarms.remove(p)
		if k, ok := l.sessions.at(p.slot, p.generation); ok {
			l.tick(k)
		}
	}
}
