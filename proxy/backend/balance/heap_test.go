package balance

import (
	"math/rand/v2"
	"testing"
)

// After any changes the first item is the least one, and the indexes are right.
func TestTheFirstItemIsTheLeast(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 20 {
		indexes := make([]int, n)
		var h Heap[int]
		for i := range n {
			h = append(h, Item[int]{Key: float64(r.IntN(5)), Turn: uint64(i), Index: &indexes[i], Value: i})
		}
		h.Init()
		for range 1000 * n {
			i := r.IntN(n)
			h.Update(indexes[i], float64(r.IntN(5)), r.Uint64N(1000))
			for _, o := range h {
				if h[0].Key > o.Key || h[0].Key == o.Key && h[0].Turn > o.Turn || h[indexes[o.Value]].Value != o.Value {
					t.Fatalf("heap = %+v with indexes %v", h, indexes)
				}
			}
		}
	}
}
