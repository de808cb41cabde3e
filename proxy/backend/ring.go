package backend

import (
	"cmp"
	"slices"
)

// ring is consistent hashing with bounded loads (Mirrokni, Thorup and
// Zadimoghaddam, 2016): each member has points on a circle, by its weight, and
// gets what hashes to just before them, unless it has too much already. When
// members come and go, only what is theirs moves.
type ring struct {
	points []point
	starts [1 << startBits]int32 // the first point from each such part of the circle on
}

type point struct {
	at uint64
	m  *member
}

// Points of a ring: for each unit of weight, and of all together.
const (
	pointsEach = 64
	pointsAll  = 32 << 10
	startBits  = 12
)

func newRing(members []*member) *ring {
	var weight float64
	for _, m := range members {
		weight += m.weight
	}
	each := min(pointsEach, pointsAll/weight)
	r := new(ring)
	for _, m := range members {
		for i := range max(1, int(m.weight*each)) {
			r.points = append(r.points, point{mix(m.id + uint64(i)*0x9e3779b97f4a7c15), m})
		}
	}
	slices.SortFunc(r.points, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	next := 0
	for i := range r.starts {
		for next < len(r.points) && r.points[next].at < uint64(i)<<(64-startBits) {
			next++
		}
		r.starts[i] = int32(next)
	}
	return r
}

// pick returns the first member from the hash on that gets work, is free and
// has no more than its share, or nil.
func (r *ring) pick(n Need, t *Tried, fair float64) *member {
	at := mix(n.Hash)
	i := int(r.starts[at>>(64-startBits)])
	for i < len(r.points) && r.points[i].at < at {
		i++
	}
	var last *member
	for range r.points {
		if i == len(r.points) {
			i = 0
		}
		m := r.points[i].m
		if i++; m == last {
			continue
		}
		if last = m; m.index >= 0 && m.free(n.Kind, t) && !m.overFair(fair) {
			return m
		}
	}
	return nil
}

// HashOf returns the hash of a text, the same in every process.
func HashOf(text string) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h
}

// mix spreads what differs in few bits over all of them (the finalizer of
// MurmurHash3).
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
