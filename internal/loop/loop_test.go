//go:build linux

package loop

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/clock"
)

// testHandler keeps connections of two sockets each, and writes down its calls.
type testHandler struct {
	loop    *Loop
	slots   Slots[testSlot, [2]int32, *testSlot] // R is the descriptors
	calls   []string
	batches int
	stopped int
}

func newTestHandler(l *Loop) *testHandler {
	h := &testHandler{loop: l}
	h.slots.Kind = l.AddHandler(h)
	return h
}

func (h *testHandler) Ready(id SlotID, side uint8, events uint32) {
	p, fds, ok := h.slots.At(id)
	if !ok {
		h.calls = append(h.calls, "ready: nothing there")
		return
	}
	n, err := Read(fds[side], h.loop.Buffer[:])
	if n > 0 || err != nil {
		h.calls = append(h.calls, fmt.Sprintf("ready %d side %d: %q %v", p.value, side, h.loop.Buffer[:n], err))
	}
}

func (h *testHandler) Due(id SlotID) {
	p, _, ok := h.slots.At(id)
	if !ok {
		h.calls = append(h.calls, "due: nothing there")
		return
	}
	h.calls = append(h.calls, fmt.Sprintf("due %d at %d, timer %d", p.value, h.loop.Now(), p.Timer()))
}

func (h *testHandler) BatchDone() {
	h.batches++
	h.loop.Leave(h.slots.FreeRetired())
}

func (h *testHandler) Stop() {
	h.stopped++
	h.slots.Each(func(p *testSlot, fds *[2]int32) { h.close(p, fds) })
}

func (h *testHandler) close(p *testSlot, fds *[2]int32) {
	h.loop.StopTimer(&p.Entry)
	h.slots.Retire(p)
	for _, fd := range fds {
		unix.Close(int(fd))
	}
}

// add puts a connection with a value on the loop and returns the far ends of its sockets.
func (h *testHandler) add(t *testing.T, value int64) (far [2]int32, id SlotID) {
	t.Helper()
	if !h.loop.Reserve() {
		t.Fatal("the loop is over")
	}
	done := make(chan struct{})
	h.loop.Enter(func() {
		defer close(done)
		p, fds := h.slots.Alloc()
		p.value, id = value, p.SlotID()
		for side := range far {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				fds[side], far[side] = int32(pair[0]), int32(pair[1])
				err = h.loop.Control(unix.EPOLL_CTL_ADD, fds[side], &p.Entry, uint8(side), unix.EPOLLIN)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	<-done
	t.Cleanup(func() {
		for _, fd := range far {
			unix.Close(int(fd))
		}
	})
	return far, id
}

// run runs a loop until the test ends, or until stop is called.
func run(t *testing.T, l *Loop) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

// seen waits until a handler has had n calls, and returns them.
func (h *testHandler) seen(n int) (calls []string) {
	for len(calls) < n {
		h.loop.Call(func() { calls = slices.Clone(h.calls) })
	}
	return calls
}

func expect(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q; want %q", what, got, want)
	}
}

// Connections of several kinds live on one loop: each handler gets the events of its own.
func TestEventsReachTheHandlerOfTheirKind(t *testing.T) {
	l := New(clock.New(), NewPipes(0))
	handlers := []*testHandler{newTestHandler(l), newTestHandler(l), newTestHandler(l), newTestHandler(l)}
	run(t, l)
	for i, h := range handlers {
		for n := range int64(300) { // more than a chunk of slots
			far, _ := h.add(t, n)
			if n%100 == 99 {
				for side, fd := range far {
					Write(fd, fmt.Appendf(nil, "%d.%d.%d", i, n, side))
					h.seen(int(n/100)*2 + side + 1)
				}
			}
		}
	}
	for i, h := range handlers {
		var want []string
		for _, n := range []int{99, 199, 299} {
			for side := range 2 {
				want = append(want, fmt.Sprintf("ready %d side %d: \"%d.%d.%d\" <nil>", n, side, i, n, side))
			}
		}
		expect(t, fmt.Sprintf("handler %d", i), h.seen(6), want)
	}
	if n := l.Load(); n != 1200 {
		t.Errorf("Load() = %d; want 1200", n)
	}
	l.Call(func() {
		if n := DriverOf(l).Handled(); n < 24 {
			t.Errorf("Handled() = %d; want 24 or more", n)
		}
	})
}

// Timers fire in the order of their moments and at none before, and an event or a timer of
// a connection that is gone finds nothing.
func TestTimersAndEventsOfConnectionsThatAreGone(t *testing.T) {
	l := New(clock.New(), NewPipes(0))
	h := newTestHandler(l)
	run(t, l)
	var ids [3]SlotID
	for i := range ids {
		_, ids[i] = h.add(t, int64(i))
	}
	l.Call(func() {
		start := l.Now()
		for i, after := range []int64{30, 10, 20} {
			p, _, _ := h.slots.At(ids[i])
			l.SetTimer(&p.Entry, start+int64(time.Hour)+after)
		}
		p, fds, _ := h.slots.At(ids[2])
		DriverOf(l).SetNow(start + int64(time.Hour) + 9)
		DriverOf(l).FireTimers()
		expect(t, "before all moments", h.calls, nil)
		DriverOf(l).SetNow(start + int64(time.Hour) + 15)
		DriverOf(l).FireTimers()
		expect(t, "after the first moment", h.calls, []string{fmt.Sprintf("due 1 at %d, timer 0", l.Now())})
		if n := DriverOf(l).Timers(); n != 2 {
			t.Errorf("Timers() = %d; want 2", n)
		}
		h.close(p, fds)
		h.calls = nil
		DriverOf(l).SetNow(start + int64(2*time.Hour))
		DriverOf(l).FireTimers()
		h.Ready(ids[2], 0, unix.EPOLLIN)
		h.Due(ids[2])
		expect(t, "after all moments", h.calls, []string{fmt.Sprintf("due 0 at %d, timer 0", l.Now()), "ready: nothing there", "due: nothing there"})
	})
}

// A timer wakes a loop that waits for events.
func TestATimerWakesTheLoop(t *testing.T) {
	l := New(clock.New(), NewPipes(0))
	h := newTestHandler(l)
	run(t, l)
	_, id := h.add(t, 7)
	fired := make(chan struct{})
	due := &dueHandler{fired: fired}
	l.Call(func() {
		l.handlers[h.slots.Kind] = due
		p, _, _ := h.slots.At(id)
		l.SetTimer(&p.Entry, l.Now()+int64(time.Millisecond))
	})
	<-fired
	l.Call(func() { l.handlers[h.slots.Kind] = h })
}

// dueHandler waits for one timer.
type dueHandler struct{ fired chan struct{} }

func (d *dueHandler) Ready(SlotID, uint8, uint32) {}
func (d *dueHandler) Due(SlotID)                  { close(d.fired) }
func (d *dueHandler) BatchDone()                  {}
func (d *dueHandler) Stop()                       {}

// A loop that was kept from running has events and timers at once. Who has sent something in time is not
// late, however many others have, too.
func TestEventsComeBeforeTimers(t *testing.T) {
	l := New(clock.New(), NewPipes(0))
	h := newTestHandler(l)
	run(t, l)
	const n = 3 * eventsAtOnce
	var far [n]int32
	for i := range far {
		both, _ := h.add(t, int64(i))
		far[i] = both[0]
	}
	l.Call(func() {
		for _, fd := range far {
			Write(fd, []byte("in time"))
		}
		h.slots.Each(func(p *testSlot, _ *[2]int32) { l.SetTimer(&p.Entry, 1) })
	})
	for i, call := range h.seen(2 * n) {
		if event := strings.HasPrefix(call, "ready"); event != (i < n) {
			t.Fatalf("call %d of %d is %q; want all events before all timers", i, 2*n, call)
		}
	}
}

// busyHandler reads nothing, so that its events never end.
type busyHandler struct{ *testHandler }

func (h busyHandler) Ready(SlotID, uint8, uint32) {}

// Batches that are always full do not put timers off for ever.
func TestTimersFireUnderALoadThatNeverEnds(t *testing.T) {
	l := New(clock.New(), NewPipes(0))
	h := &testHandler{loop: l}
	h.slots.Kind = l.AddHandler(busyHandler{h})
	run(t, l)
	for range 2 * eventsAtOnce {
		far, _ := h.add(t, 0)
		Write(far[0], []byte("unread"))
	}
	l.Call(func() { h.slots.Each(func(p *testSlot, _ *[2]int32) { l.SetTimer(&p.Entry, 1) }) })
	h.seen(2 * eventsAtOnce)
}

// Run ends when the last connection has left, those that are reserved included, and takes
// nothing more then.
func TestALoopThatStops(t *testing.T) {
	l := New(clock.New(), NewPipes(0))
	h := newTestHandler(l)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); l.Run(ctx) }()
	h.add(t, 1)
	if !l.Reserve() {
		t.Fatal("nothing can be reserved")
	}
	cancel()
	for stopped := false; !stopped; {
		l.Call(func() { stopped = l.Stopping() })
	}
	called := false
	if !l.Post(func() { called = true }) {
		t.Error("nothing can be posted while a reservation is open")
	}
	l.Call(func() {})
	select {
	case <-over:
		t.Error("the loop ended before the reservation entered")
	default:
	}
	l.Enter(func() { l.Leave(1) })
	<-over
	if !called || h.stopped != 1 || l.Load() != 0 {
		t.Errorf("called %t, Stop called %d times, load %d; want true, 1 and 0", called, h.stopped, l.Load())
	}
	if l.Post(func() { t.Error("called after the end") }) || l.Reserve() {
		t.Error("a loop that is over takes functions or connections")
	}
	l.Call(func() { t.Error("called after the end") })
}

// A loop on which nothing was reserved has no descriptors, and ends at once.
func TestALoopWithoutConnections(t *testing.T) {
	l := New(clock.New(), NewPipes(0))
	h := newTestHandler(l)
	run(t, l)()
	if l.opened || h.batches != 0 || l.Reserve() {
		t.Errorf("opened %t, %d batches; want none, and no reservations", l.opened, h.batches)
	}
}

// What others post is called in order, on the loop.
func TestPostedFunctionsAreCalledInOrder(t *testing.T) {
	l := New(clock.New(), NewPipes(0))
	newTestHandler(l)
	if l.Post(func() {}) {
		t.Error("a loop that was never opened takes functions")
	}
	l.Reserve()
	run(t, l)
	var got []int
	for i := range 1000 {
		l.Post(func() { got = append(got, i) })
	}
	l.Call(func() {
		if len(got) != 1000 || !slices.IsSorted(got) {
			t.Errorf("%d functions were called, sorted %t; want 1000 in order", len(got), slices.IsSorted(got))
		}
	})
	l.Enter(func() { l.Leave(1) })
}

// An event costs no allocation, whatever handler it is for.
func TestEventsAllocateNothing(t *testing.T) {
	l := New(clock.New(), NewPipes(0))
	newTestHandler(l)
	h := newTestHandler(l)
	run(t, l)
	far, id := h.add(t, 1)
	l.Call(func() {
		quiet := &quietHandler{h: h}
		l.handlers[h.slots.Kind] = quiet
		p, _, _ := h.slots.At(id)
		n := testing.AllocsPerRun(200, func() {
			Write(far[1], []byte("x"))
			l.SetTimer(&p.Entry, l.Now())
			DriverOf(l).FireTimers()
			if DriverOf(l).Poll() != 1 {
				t.Error("no event")
			}
		})
		if n != 0 || quiet.events != 201 || quiet.timers != 201 {
			t.Errorf("%v allocations for an event and a timer, %d and %d of which came; want none, and 201", n, quiet.events, quiet.timers)
		}
		l.handlers[h.slots.Kind] = h
	})
}

// quietHandler reads, and writes nothing down.
type quietHandler struct {
	h              *testHandler
	events, timers int
}

func (q *quietHandler) Ready(id SlotID, side uint8, _ uint32) {
	if _, fds, ok := q.h.slots.At(id); ok {
		Read(fds[side], q.h.loop.Buffer[:])
		q.events++
	}
}

func (q *quietHandler) Due(SlotID) { q.timers++ }
func (q *quietHandler) BatchDone() {}
func (q *quietHandler) Stop()      {}
