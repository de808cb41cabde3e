// Package balance has the data structures that pick an endpoint: a heap for the
// least busy one, and a hash ring. It knows neither endpoints nor their limits.
package balance

// A Heap is a binary heap: its first item has the least Key and, among equal
// keys, the least Turn.
type Heap[T any] []Item[T]

// An Item of a [Heap] holds all that decides its order, so that a comparison
// reads no other memory.
type Item[T any] struct {
	Key   float64
	Turn  uint64
	Index *int // the heap keeps the item's index there
	Value T
}

func (h Heap[T]) less(i, j int) bool {
	if h[i].Key != h[j].Key {
		return h[i].Key < h[j].Key
	}
	return h[i].Turn < h[j].Turn
}

func (h Heap[T]) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	*h[i].Index, *h[j].Index = i, j
}

// Init orders h, whatever its order is, and sets all indexes.
func (h Heap[T]) Init() {
	for i := range h {
		*h[i].Index = i
	}
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

// Update changes the key and the turn of the item with an index.
func (h Heap[T]) Update(i int, key float64, turn uint64) {
	h[i].Key, h[i].Turn = key, turn
	if !h.down(i) {
		h.up(i)
	}
}

func (h Heap[T]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(i, parent) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

// down reports whether the item moved.
func (h Heap[T]) down(i int) bool {
	start := i
	for {
		least := 2*i + 1
		if least >= len(h) {
			break
		}
		if right := least + 1; right < len(h) && h.less(right, least) {
			least = right
		}
		if !h.less(least, i) {
			break
		}
		h.swap(i, least)
		i = least
	}
	return i > start
}
