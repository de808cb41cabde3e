//go:build !portable

package relay

import (
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	eventsAtOnce = 128
	loopBuffer   = 64 << 10 // bytes one read brings at most
	wakeSlot     = -1       // event data of the loop's own descriptor
)

// loop is an epoll set and the sessions whose sockets are in it. Only its
// goroutine touches them; others hand it functions to call.
//
// The goroutine does not block in epoll_wait, which would cost a hand-over of
// its processor each time: the set itself is a descriptor that the Go runtime
// waits for.
type loop struct {
	ended func(Report)

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
	now      time.Time // of the events that are being handled
	stopping bool
	slots    []slot
	free     []int32
	live     int // sessions with open sockets
	timers   timers
	events   [eventsAtOnce]unix.EpollEvent
	ready    int                // events fetched
	look     func(uintptr) bool // fetches them
	deadline time.Time          // of the wait for them
	drained  []chan struct{}    // closed when live is 0
	buf      [loopBuffer]byte
	pipes    []*pipe
}

// slot holds a session. Events name the slot and its generation, which is
// another one for each session: an event that comes late finds nobody.
type slot struct {
	joint      *joint
	generation int32
}

func newLoop(ended func(Report)) *loop {
	return &loop{ended: ended, first: make(chan struct{})}
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
	return true
}

// join hands in the session that a place was reserved for, or nil to give the
// place back.
func (l *loop) join(k *joint) {
	l.do(func() {
		l.mu.Lock()
		l.joining--
		l.mu.Unlock()
		if k != nil {
			l.add(k)
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
	l.look = l.fetch
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
			l.each(l.cut)
		})
	})
	defer stop()
	for {
		n := l.poll()
		l.now = time.Now()
		for i := range l.events[:n] {
			l.dispatch(&l.events[i])
		}
		l.expire(l.now)
		l.call()
		l.tellDrained()
		if l.stopping && l.live == 0 && l.finish() {
			return
		}
		runtime.Gosched() // HTTP has goroutines on this processor too
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
	for _, p := range l.pipes {
		p.close()
	}
	return true
}

// poll waits for events, or for the next timer, and returns their number.
func (l *loop) poll() int {
	var deadline time.Time
	if len(l.timers) > 0 {
		deadline = l.timers[0].at
	}
	if deadline != l.deadline {
		l.deadline = deadline
		l.file.SetReadDeadline(deadline)
	}
	l.ready = 0
	l.raw.Read(l.look)
	return l.ready
}

// fetch fetches events without waiting, and reports whether there are any. The
// Go runtime calls it until there are.
func (l *loop) fetch(fd uintptr) bool {
	for {
		n, err := unix.EpollWait(int(fd), l.events[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			panic(fmt.Sprintf("relay: epoll_wait: %v", err)) // a loop must not die alone
		}
		l.ready = n
		return n > 0
	}
}

func (l *loop) dispatch(e *unix.EpollEvent) {
	if e.Fd == wakeSlot {
		var b [8]byte
		unix.Read(l.wake, b[:])
		return
	}
	s := &l.slots[e.Fd>>1]
	if s.generation != e.Pad || s.joint == nil {
		return
	}
	l.event(s.joint, Side(e.Fd&1), e.Events)
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
func (l *loop) add(k *joint) {
	if n := len(l.free); n > 0 {
		k.slot, l.free = l.free[n-1], l.free[:n-1]
	} else {
		k.slot = int32(len(l.slots))
		l.slots = append(l.slots, slot{})
	}
	l.slots[k.slot].joint = k
	l.slots[k.slot].generation++
	l.live++
	early := [2][]byte{k.Client.Early, k.Backend.Early}
	k.Client.Early, k.Backend.Early = nil, nil
	for side, b := range early {
		l.consume(k, Side(side), b)
	}
	if l.stopping {
		l.cut(k)
	} else {
		l.settle(k)
	}
}

// remove forgets a session whose sockets are closed.
func (l *loop) remove(k *joint) {
	l.slots[k.slot].joint = nil
	l.free = append(l.free, k.slot)
	l.live--
}

func (l *loop) each(f func(*joint)) {
	for i := range l.slots {
		if k := l.slots[i].joint; k != nil {
			f(k)
		}
	}
}

func (l *loop) views() (all []View) {
	l.each(func(k *joint) {
		if k.duration == 0 {
			all = append(all, k.view())
		}
	})
	return all
}

func (l *loop) end(match func(View) bool, cause Cause, spread time.Duration) (n int) {
	l.each(func(k *joint) {
		if k.duration != 0 || !match(k.view()) {
			return
		}
		n++
		if spread <= 0 {
			k.core.end(cause)
			l.settle(k)
			return
		}
		l.at(k, l.now.Add(rand.N(spread)), cause)
	})
	return n
}

func (l *loop) tellDrained() {
	if l.live > 0 || len(l.drained) == 0 {
		return
	}
	for _, c := range l.drained {
		close(c)
	}
	l.drained = nil
}

// timer is something to do for a session later.
type timer struct {
	at         time.Time
	slot       int32
	generation int32
	cause      Cause // to end the session for; 0 means its deadline has come
}

// timers is a heap, the next one first.
type timers []timer

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)        { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	old := *t
	last := old[len(old)-1]
	*t = old[:len(old)-1]
	return last
}

func (l *loop) at(k *joint, at time.Time, cause Cause) {
	heap.Push(&l.timers, timer{at, k.slot, l.slots[k.slot].generation, cause})
}

// expire does what is due at the moment now.
func (l *loop) expire(now time.Time) {
	l.now = now
	for len(l.timers) > 0 && !l.timers[0].at.After(now) {
		t := heap.Pop(&l.timers).(timer)
		s := &l.slots[t.slot]
		if s.joint == nil || s.generation != t.generation {
			continue
		}
		switch k := s.joint; {
		case t.cause != 0:
			k.core.end(t.cause)
			l.settle(k)
		case !k.deadline.After(now):
			l.timeout(k)
		}
	}
}
