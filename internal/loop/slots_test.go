//go:build linux

package loop

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Timers fire in the order of their moments, each once, whatever was set, moved and stopped
// in between.
func TestTimersFireInOrder(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		entries := make([]Entry, 1+r.IntN(60))
		want := map[*Entry]int64{}
		var a timers
		check := func() {
			t.Helper()
			if len(a) != len(want) {
				t.Fatalf("seed %d: %d timers; want %d", seed, len(a), len(want))
			}
			for i, e := range a {
				if e.timer == 0 || e.timer != want[e] || int(e.rank) != i {
					t.Fatalf("seed %d: timer %d is for %d with rank %d; want %d", seed, i, e.timer, e.rank, want[e])
				}
				if up := a[max(i-1, 0)/2]; up.timer > e.timer {
					t.Fatalf("seed %d: timer %d, for %d, is below one for %d", seed, i, e.timer, up.timer)
				}
			}
		}
		for range 400 {
			e := &entries[r.IntN(len(entries))]
			switch moment := r.Int64N(50); {
			case r.IntN(4) == 0:
				a.stop(e)
				delete(want, e)
			default:
				a.set(e, moment)
				if want[e] = moment; moment == 0 {
					delete(want, e)
				}
			}
			check()
		}
		var fired, order []int64
		for _, moment := range want {
			order = append(order, moment)
		}
		for len(a) > 0 {
			if e := a.due(a.next() - 1); e != nil {
				t.Fatalf("seed %d: a timer for %d is due too early", seed, e.timer)
			}
			e := a.due(a.next())
			fired = append(fired, e.timer)
			a.stop(e)
			delete(want, e)
			check()
		}
		slices.Sort(order)
		if !slices.Equal(fired, order) {
			t.Fatalf("seed %d: fired at %v; want %v", seed, fired, order)
		}
	}
}

// Cells stay as their users leave them, are zero when they are allocated, and are unmapped
// when their chunk is empty.
func TestCellsAreAllocatedAndReleased(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		var c cells[[5]uint64]
		type holder struct {
			n    int32
			mark uint64
		}
		var held []holder
		most := 1 + r.IntN(5*chunkSize)
		for step := range uint64(6000) {
			if grow := step/1500%2 == 0; (grow || len(held) == 0) && len(held) < most {
				n, cell := c.alloc()
				if *cell != [5]uint64{} || cell != c.at(n) {
					t.Fatalf("seed %d: cell %d holds %v", seed, n, *cell)
				}
				cell[0], cell[4] = step+1, step+1
				held = append(held, holder{n, step + 1})
			} else if len(held) > 0 {
				i := r.IntN(len(held))
				h := held[i]
				if cell := c.at(h.n); cell[0] != h.mark || cell[4] != h.mark {
					t.Fatalf("seed %d: cell %d holds %v; want %d", seed, h.n, *cell, h.mark)
				}
				c.release(h.n)
				held = slices.Delete(held, i, i+1)
			}
		}
		chunks := map[int32]bool{0: true} // the first one stays
		for _, h := range held {
			chunks[h.n/chunkSize] = true
		}
		const one = 5 * 8 * chunkSize
		if got := c.mapped.Load(); got != one*int64(len(chunks)) {
			t.Errorf("seed %d: %d bytes mapped for %d chunks", seed, got, len(chunks))
		}
		for _, h := range held {
			c.release(h.n)
		}
		if got := c.mapped.Load(); got != one {
			t.Errorf("seed %d: %d bytes are mapped for nothing; want %d", seed, got, int64(one))
		}
		for _, n := range []int32{chunkSize, 100 * chunkSize} {
			if c.at(n) != nil {
				t.Errorf("seed %d: there is a cell %d", seed, n)
			}
		}
	}
}

type testSlot struct {
	Entry
	value int64
}

// A slot is found by the ID of its connection, and by no other.
func TestSlotsOfConnectionsThatComeAndGo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	s := &Slots[testSlot, string, *testSlot]{Kind: 2, generation: -3} // it goes through 0
	type connection struct {
		id    SlotID
		value int64
		note  string
	}
	var here, gone []connection
	for i := range int64(8000) {
		if grow := i/1500%2 == 0; grow || len(here) == 0 {
			p, note := s.Alloc()
			if p.value != 0 || *note != "" || p.generation == 0 || p.kind != 2 {
				t.Fatalf("a new slot is %+v, %q", *p, *note)
			}
			p.value, *note = i, fmt.Sprintf("%*d", 1+r.IntN(90), i)
			here = append(here, connection{p.SlotID(), i, *note})
			continue
		}
		n := r.IntN(len(here))
		c := here[n]
		p, note, ok := s.At(c.id)
		if !ok || p.value != c.value || *note != c.note {
			t.Fatalf("connection %+v is not in its slot: %t", c, ok)
		}
		s.Retire(p)
		if p.value != c.value || *note != c.note || !p.Retired() {
			t.Fatalf("a retired slot is %+v, %q; want connection %+v", *p, *note, c)
		}
		here = slices.Delete(here, n, n+1)
		gone = append(gone, c)
		if _, _, ok := s.At(c.id); ok {
			t.Fatalf("connection %+v is still there", c)
		}
		if i%3 == 0 {
			s.FreeRetired()
		}
	}
	s.FreeRetired()
	if n := s.FreeRetired(); n != 0 {
		t.Errorf("%d slots are freed twice", n)
	}
	for _, c := range gone {
		if _, _, ok := s.At(c.id); ok {
			t.Errorf("connection %+v is found after its end", c)
		}
	}
	found := map[int64]bool{}
	s.Each(func(p *testSlot, _ *string) { found[p.value] = true })
	if len(found) != len(here) {
		t.Errorf("Each calls with %d connections; want %d", len(found), len(here))
	}
	for _, c := range here {
		p, _, _ := s.At(c.id)
		s.Retire(p)
	}
	if n := s.FreeRetired(); n != len(here) {
		t.Errorf("%d slots are freed; want %d", n, len(here))
	}
	for i, refs := range s.refs {
		if i > 0 && refs != nil {
			t.Errorf("chunk %d is kept although it is empty", i)
		}
	}
	s.Each(func(p *testSlot, _ *string) { t.Errorf("Each calls with slot %d", p.number) })
	if _, _, ok := s.At(SlotID{1 << 20, 1}); ok {
		t.Error("a slot that never was is found")
	}
}
