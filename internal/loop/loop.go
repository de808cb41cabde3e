//go:build linux

// Package loop is event loops over epoll, and what connections on a loop share: slots
// outside the Go heap, timers, pipes, a read buffer, TLS states, and functions that other
// goroutines post. It knows neither frames nor HTTP: a [Handler] does.
//
// A loop belongs to the goroutine in [Loop.Run]. Handlers are called there and must not
// block. Unless a comment says otherwise, every method and everything that hangs on a
// loop is for that goroutine only; others use [Loop.Post].
//
// Moments are nanoseconds of the loop's clock; 0 means none. [Loop.Now] is the moment of
// the events that are being handled: it stands still within a batch.
package loop

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/clock"
)

const (
	// BufferSize is how many bytes one read brings at most.
	BufferSize = 64 << 10

	eventsAtOnce = 128
	yieldAfter   = int64(200 * time.Microsecond) // of work, so that other goroutines on this processor get their turn
)

// A Handler serves one kind of connections on a loop.
type Handler interface {
	// Ready is called when epoll reports events of a socket. The slot may be free by
	// now, or another connection's: Slots.At tells.
	Ready(slot SlotID, side uint8, events uint32)
	// Due is called when the timer of a slot fires. The timer is stopped then.
	Due(slot SlotID)
	// BatchDone is called after each batch of events, timers and posted functions.
	BatchDone()
	// Stop is called once, when Run is to end. It makes the handler close its
	// connections; Run returns when the last one has left.
	Stop()
}

// Kind names a handler of a loop.
type Kind uint8

const maxKinds = 8

// A Loop is an epoll set and the connections whose sockets are in it.
//
// Its goroutine does not block in epoll_wait, which would cost a hand-over of the
// processor each time: the epoll set is itself a descriptor in the Go runtime's poller,
// and the goroutine waits there.
type Loop struct {
	// Buffer is for the bytes that a handler reads. It may be used until the handler
	// returns.
	Buffer [BufferSize]byte

	Pipes *Pipes // shared with other loops
	Turns Turns

	// BadRecords is how many TLS records were not authentic (bad_record_mac), see [Loop.CountBadRecord].
	BadRecords atomic.Uint64

	clock    clock.Clock
	handlers []Handler
	hosted   *hosted
	load     atomic.Int64

	mu       sync.Mutex
	opened   bool
	over     bool // nothing can be posted any more
	entering int  // reservations that have not entered
	posted   []func()
	whenOpen chan struct{} // closed when opened
	wakeFd   int           // an eventfd

	epollFd     int
	file        *os.File // of epollFd
	raw         syscall.RawConn
	now         int64
	stopping    bool
	timers      timers
	behind      int64 // number of events that were handled in full batches, while timers wait
	events      [eventsAtOnce]unix.EpollEvent
	ready       int                // number of events that were fetched
	fetchReady  func(uintptr) bool // fetches them
	parkedUntil int64              // the moment at which the wait for events ends; 0 means never
	handled     uint64             // events of sockets
	again       []unix.EpollEvent  // that Again asks for
	againSpare  []unix.EpollEvent  // memory for the next ones
}

// New returns a loop without handlers, which borrows pipes. It opens its descriptors with the
// first reservation.
func New(c clock.Clock, pipes *Pipes) *Loop {
	l := &Loop{Pipes: pipes, clock: c, whenOpen: make(chan struct{})}
	l.hosted = newHosted(l)
	return l
}

// AddHandler adds a handler and returns its kind. It is called before anything is reserved.
func (l *Loop) AddHandler(h Handler) Kind {
	if len(l.handlers) == maxKinds {
		panic("loop: too many handlers")
	}
	l.handlers = append(l.handlers, h)
	return Kind(len(l.handlers) - 1)
}

// Now returns the moment of the events that are being handled.
func (l *Loop) Now() int64 { return l.now }

// Stopping reports whether Stop of the handlers was called.
func (l *Loop) Stopping() bool { return l.stopping }

// Load returns the number of connections on the loop, reserved ones included. Any
// goroutine may call it.
func (l *Loop) Load() int64 { return l.load.Load() }

// open opens the epoll set and reports whether there is one. It is called with the lock
// held.
func (l *Loop) open() bool {
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
		err = unix.SetNonblock(epoll, true) // so that the runtime's poller takes it
	}
	file := os.NewFile(uintptr(epoll), "epoll")
	if err == nil {
		err = file.SetReadDeadline(time.Time{}) // fails if the poller has not taken it
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
	l.epollFd, l.file, l.raw, l.wakeFd, l.opened = epoll, file, raw, wake, true
	l.fetchReady = func(uintptr) bool { l.ready = l.fetch(); return l.ready > 0 }
	close(l.whenOpen)
	return true
}

// Run serves the loop until ctx ends and the last connection has left. A loop on which
// nothing was ever reserved costs nothing.
func (l *Loop) Run(ctx context.Context) {
	select {
	case <-l.whenOpen:
	case <-ctx.Done():
		l.mu.Lock()
		l.over = !l.opened
		over := l.over
		l.mu.Unlock()
		if over {
			return
		}
	}
	defer l.file.Close()
	defer unix.Close(l.wakeFd)
	stop := context.AfterFunc(ctx, func() {
		l.Post(func() {
			l.stopping = true
			for _, h := range l.handlers {
				h.Stop()
			}
		})
	})
	defer stop()
	since := l.clock.Now() // the moment at which others last had their turn on this processor
	for {
		n := l.fetch()
		if n == 0 && len(l.again) == 0 {
			l.park()
			since = l.clock.Now()
			n = l.ready
		}
		l.now = l.clock.Now()
		for i := range l.events[:n] {
			l.dispatch(&l.events[i])
		}
		l.dispatchAgain()
		if l.caughtUp(n) {
			l.fireTimers()
		}
		l.callPosted()
		for _, h := range l.handlers {
			h.BatchDone()
		}
		done := l.clock.Now()
		l.Turns.note(done - l.now)
		if l.stopping && l.load.Load() == 0 && l.finish() {
			return
		}
		if done-since > yieldAfter {
			runtime.Gosched()
			since = l.clock.Now()
		}
	}
}

// park waits for events, or for the next timer.
func (l *Loop) park() {
	next := l.timers.next()
	if next != l.parkedUntil {
		l.parkedUntil = next
		var t time.Time
		if next != 0 {
			t = l.clock.Time(next)
		}
		l.file.SetReadDeadline(t)
	}
	l.ready = 0
	l.raw.Read(l.fetchReady)
}

// fetch fetches events without waiting and returns their number.
func (l *Loop) fetch() int {
	n, err := pollEvents(l.epollFd, l.events[:])
	if err != nil {
		panic(fmt.Sprintf("loop: epoll_wait: %v", err)) // the process must not go on without one of its loops
	}
	return n
}

// caughtUp reports whether timers may fire after a batch of n events: whether all events that came before
// the timers were due have been handled. A loop that could not run for a while has more of them than one
// batch takes, and what a peer has sent in time must count. Epoll reports events in the order in which they
// came. So under a load whose batches are always full, timers wait for as many events as all sockets can
// have at once, and no longer.
func (l *Loop) caughtUp(n int) bool {
	if n == len(l.events) && l.behind < socketsOfASlot*l.load.Load() {
		l.behind += int64(n)
		return false
	}
	l.behind = 0
	return true
}

// fireTimers calls Due for every timer that has fired by now.
func (l *Loop) fireTimers() {
	for {
		e := l.timers.due(l.now)
		if e == nil {
			return
		}
		l.timers.stop(e)
		l.handlers[e.kind].Due(e.SlotID())
	}
}
