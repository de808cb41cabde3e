//go:build !portable

package relay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Alarms ring in the order of their moments, each session once, whatever was
// set, moved and taken away in between.
func TestAlarmsRingInOrder(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		places := make([]slot, 1+r.IntN(60))
		want := map[*slot]int64{}
		var a timers
		check := func() {
			t.Helper()
			if len(a) != len(want) {
				t.Fatalf("seed %d: %d alarms; want %d", seed, len(a), len(want))
			}
			for i, p := range a {
				if p.timer == 0 || p.timer != want[p] || int(p.timerRank) != i {
					t.Fatalf("seed %d: alarm %d is for %d with rank %d; want %d", seed, i, p.timer, p.timerRank, want[p])
				}
				if up := a[max(i-1, 0)/2]; up.timer > p.timer {
					t.Fatalf("seed %d: alarm %d, for %d, is below one for %d", seed, i, p.timer, up.timer)
				}
			}
		}
		for range 400 {
			p := &places[r.IntN(len(places))]
			switch moment := r.Int64N(50); {
			case r.IntN(4) == 0:
				a.remove(p)
				delete(want, p)
			default:
				a.set(p, moment)
				if want[p] = moment; moment == 0 {
					delete(want, p)
				}
			}
			check()
		}
		var rung, order []int64
		for _, moment := range want {
			order = append(order, moment)
		}
		for len(a) > 0 {
			p := a[0]
			rung = append(rung, p.timer)
			a.remove(p)
			delete(want, p)
			check()
		}
		slices.Sort(order)
		if !slices.Equal(rung, order) {
			t.Fatalf("seed %d: rung at %v; want %v", seed, rung, order)
		}
	}
}

// Cells are whose they were given to, zero when they are given, and their memory
// is given back when it is empty.
func TestCellsAreGivenAndTakenBack(t *testing.T) {
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

// A slot is found by whose it is, and by nobody else.
func TestSlotsOfSessionsThatComeAndGo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	s := &slots{generation: -3} // it goes through 0
	type guest struct {
		slot, generation int32
		note             string
	}
	var here, gone []guest
	for i := range 8000 {
		if grow := i/1500%2 == 0; grow || len(here) == 0 {
			k := s.alloc()
			note := fmt.Sprintf("%*d", 1+r.IntN(90), i)
			s.setNote(k, note)
			k.owner = i
			if k.generation == 0 {
				t.Fatal("a session has the generation of free places")
			}
			here = append(here, guest{k.number, k.generation, note})
			continue
		}
		n := r.IntN(len(here))
		g := here[n]
		k, ok := s.at(g.slot, g.generation)
		if !ok || s.note(k) != g.note {
			t.Fatalf("session %+v is not in its place: %t", g, ok)
		}
		s.release(k)
		here = slices.Delete(here, n, n+1)
		gone = append(gone, g)
		if _, ok := s.at(g.slot, g.generation); ok {
			t.Fatalf("session %+v is still there", g)
		}
	}
	for _, g := range gone {
		if _, ok := s.at(g.slot, g.generation); ok {
			t.Errorf("session %+v is found behind its end", g)
		}
	}
	found := map[int32]bool{}
	s.each(func(k handle) { found[k.number] = true })
	if len(found) != len(here) {
		t.Errorf("each calls with %d sessions; want %d", len(found), len(here))
	}
	for _, g := range here {
		k, _ := s.at(g.slot, g.generation)
		s.release(k)
	}
	if len(s.notes) != 0 {
		t.Errorf("%d notes are kept for nobody", len(s.notes))
	}
	for i, refs := range s.refs {
		if i > 0 && refs != nil {
			t.Errorf("chunk %d is kept for nobody", i)
		}
	}
	s.each(func(k handle) { t.Errorf("each calls with slot %d", k.number) })
	if _, ok := s.at(1<<20, 1); ok {
		t.Error("a slot that never was is found")
	}
}
