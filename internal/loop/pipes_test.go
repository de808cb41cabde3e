//go:build linux

package loop

import (
	"testing"

	"sluice/internal/wstest"
)

// Of the pipes that were in use at once, few are kept.
func TestSparePipesDoNotPileUp(t *testing.T) {
	before := wstest.Descriptors(t)
	all := NewPipes(mostPipes)
	var used []*Pipe
	for p := all.Borrow(); p != nil; p = all.Borrow() {
		used = append(used, p)
	}
	if len(used) != mostPipes {
		t.Fatalf("%d pipes; want %d", len(used), mostPipes)
	}
	used[0].length = 1 // the pipe of a side that was lost
	for _, p := range used {
		all.Return(p)
	}
	if now := wstest.Descriptors(t); now != before+2*sparePipes || all.open != sparePipes {
		t.Errorf("%d descriptors, %d pipes open; want %d and %d", now, all.open, before+2*sparePipes, sparePipes)
	}
	all.Close()
	if now := wstest.Descriptors(t); now != before || all.open != 0 {
		t.Errorf("%d descriptors, %d pipes open; want %d and none", now, all.open, before)
	}
}
