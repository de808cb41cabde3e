package backend

// heap is a binary heap of members, the next one first. Members know their
// place in it.
type heap []item

// item holds what decides the order, so that a comparison looks at nothing else.
type item struct {
	key  float64
	turn uint64
	m    *member
}

func (h heap) less(i, j int) bool {
	if h[i].key != h[j].key {
		return h[i].key < h[j].key
	}
	return h[i].turn < h[j].turn
}

func (h heap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].m.index, h[j].m.index = i, j
}

// init orders h, whatever it holds.
func (h heap) init() {
	for i := range h {
		h[i].m.index = i
	}
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

// fix finds the place of the item at i, which has changed.
func (h heap) fix(i int) {
	if !h.down(i) {
		h.up(i)
	}
}

func (h heap) up(i int) {
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
func (h heap) down(i int) bool {
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
