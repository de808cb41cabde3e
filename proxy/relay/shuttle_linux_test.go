//go:build !portable

package relay

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"sluice/internal/clock"
	"sluice/internal/codec"
)

// A shuttle is two engines. Each step moves sessions from one to the other, as from one process to another; they
// begin on the first one.
type shuttle struct {
	*Engine
	other  *Engine
	t      testing.TB
	r      *rand.Rand
	memory [2][]byte  // of a session as it is written
	mu     sync.Mutex // one step at a time
	moves  int        // sessions that have gone over
}

func newShuttle(t testing.TB, sink Sink, seed uint64) *shuttle {
	c := clock.New()
	return &shuttle{
		Engine: New(sink, c), other: New(sink, c), t: t, r: rand.New(rand.NewPCG(seed, 6)),
		memory: [2][]byte{make([]byte, 0, 8<<20), make([]byte, 0, 8<<20)},
	}
}

// Run runs both engines.
func (s *shuttle) Run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { s.Engine.Run(ctx) })
	both.Go(func() { s.other.Run(ctx) })
	both.Wait()
}

// step moves the sessions that each engine has.
func (s *shuttle) step() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for from, to := s.Engine, s.other; ; from, to = to, from {
		from.OfferAgain()
		for s.move(from, to) {
		}
		if from == s.other {
			return
		}
	}
}

// stepped is a stream with a step before each Read and Write.
type stepped struct {
	io.ReadWriter
	step func()
}

func (s stepped) Read(b []byte) (int, error) {
	s.step()
	return s.ReadWriter.Read(b)
}

func (s stepped) Write(b []byte) (int, error) {
	s.step()
	return s.ReadWriter.Write(b)
}

// moved is a session between two engines.
type moved struct {
	Carried
	view  View
	files [2]int
}

// move moves some sessions; some of them are refused, and stay. It is false if there were none.
func (s *shuttle) move(from, to *Engine) bool {
	var all []*moved
	most := 1 + s.r.IntN(3)
	stopped := from.StopSome(func(o Offer) (taken, more bool) {
		if s.r.IntN(8) == 0 {
			return false, true
		}
		all = append(all, s.carry(o))
		return true, len(all) < most
	})
	if stopped == nil {
		return false
	}
	gone := make([]bool, len(all))
	for i := range gone {
		gone[i] = s.r.IntN(8) != 0
	}
	settle := func() { stopped.Settle(gone) }
	adopt := func() {
		for i, m := range all {
			if gone[i] {
				s.moves++
				to.Adopt(&m.Carried, m.view.Group, m.view.Owner, m.files[Client], m.files[Backend])
				continue
			}
			m.Wipe()
			unix.Close(m.files[Client])
			unix.Close(m.files[Backend])
		}
	}
	if s.r.IntN(2) == 0 { // two processes do both in any order
		settle, adopt = adopt, settle
	}
	settle()
	adopt()
	return true
}

// carry writes a session down and reads it back. Its descriptors are others of the same sockets.
func (s *shuttle) carry(o Offer) *moved {
	w := codec.Writer(s.memory[0])
	o.Carry(w)
	m := &moved{view: o.View}
	r := codec.Reader(w.Written())
	m.Carry(r)
	if w.End() != nil || r.End() != nil {
		s.t.Errorf("a session was written with the error %v, and read with %v", w.End(), r.End())
	}
	again := codec.Writer(s.memory[1])
	if m.Carry(again); !bytes.Equal(again.Written(), w.Written()) {
		s.t.Errorf("a session was written as\n%x\nand, after that was read, as\n%x", w.Written(), again.Written())
	}
	for side, file := range [...]int{Client: o.Client, Backend: o.Backend} {
		other, err := unix.FcntlInt(uintptr(file), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			s.t.Errorf("a descriptor of a session: %v", err)
		}
		m.files[side] = other
	}
	return m
}
