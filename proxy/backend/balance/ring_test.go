package balance

import "testing"

func TestRingsAreBoundedInSize(t *testing.T) {
	for _, n := range []int{1, 10, 1000} {
		members := make([]Member, n)
		for i := range members {
			members[i] = Member{ID: uint64(i), Weight: 1000}
		}
		if r := NewRing(members); len(r.points) > maxPoints || len(r.points) < n {
			t.Errorf("the ring of %d members has %d points; want at most %d", n, len(r.points), maxPoints)
		}
	}
}

// Find asks about each member at most as often as it has points, and gives up.
func TestFindGivesUp(t *testing.T) {
	r := NewRing([]Member{{ID: 1, Weight: 1}, {ID: 2, Weight: 2}})
	asked := make(map[int]bool)
	if got := r.Find(7, func(m int) bool { asked[m] = true; return false }); got != -1 || len(asked) != 2 {
		t.Errorf("Find = %d after it asked about %d members; want -1 after 2", got, len(asked))
	}
	if got := new(Ring).Find(7, func(int) bool { return true }); got != -1 {
		t.Errorf("Find on an empty ring = %d; want -1", got)
	}
}
