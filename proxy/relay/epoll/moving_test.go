//go:build linux && !portable

package epoll

import (
	"bytes"
	"flag"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/codec"
	"sluice/proxy/relay/core"
)

// moving makes the sessions of all tests go to and fro between loops, as they go from one process to another: whatever a test is
// about holds all the same.
var moving = flag.Bool("moving", false, "sessions move all the time")

// notMoving skips a test that is about what moving sessions have not.
func notMoving(t testing.TB, why string) {
	t.Helper()
	if *moving {
		t.Skip(why)
	}
}

// keepMoving moves one session of the engine after the other until rest is called or the test ends.
func (h *engineFixture) keepMoving() (rest func()) {
	over, done := make(chan struct{}), make(chan struct{})
	rest = sync.OnceFunc(func() {
		close(over)
		<-done
	})
	h.T.Cleanup(rest)
	memory := [2][]byte{make([]byte, 0, 8<<20), make([]byte, 0, 8<<20)}
	go func() {
		defer close(done)
		for {
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond): // others run too
				h.moveOne(&memory)
			}
		}
	}()
	return rest
}

// moveOne moves a session, if there is one.
func (h *engineFixture) moveOne(memory *[2][]byte) {
	var (
		m     *Carried
		view  core.View
		files [2]int
	)
	h.still.Lock()
	defer h.still.Unlock()
	stopped := h.engine.StopSome(func(o Offer) (taken, more bool) {
		m, view, files = h.carry(o, memory), o.View, [2]int{core.Client: o.Client, core.Backend: o.Backend}
		for side, file := range files {
			other, err := unix.FcntlInt(uintptr(file), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				h.T.Errorf("a descriptor of a session: %v", err)
			}
			files[side] = other
		}
		return true, false
	})
	if stopped == nil {
		return
	}
	stopped.Settle([]bool{true})
	if !h.engine.Adopt(m, view.Group, view.Owner, files[core.Client], files[core.Backend]) {
		h.T.Error("a session was not adopted")
		m.Wipe()
		unix.Close(files[core.Client])
		unix.Close(files[core.Backend])
	}
}

// carry writes a session down, in memory, and reads it back.
func (h *engineFixture) carry(o Offer, memory *[2][]byte) *Carried {
	w := codec.Writer(memory[0])
	o.Carry(w)
	m, r := new(Carried), codec.Reader(w.Written())
	m.Carry(r)
	if w.End() != nil || r.End() != nil {
		h.T.Errorf("a session was written with the error %v, and read with %v", w.End(), r.End())
	}
	again := codec.Writer(memory[1])
	if m.Carry(again); !bytes.Equal(again.Written(), w.Written()) {
		h.T.Errorf("a session was written as\n%x\nand, after that was read, as\n%x", w.Written(), again.Written())
	}
	return m
}
