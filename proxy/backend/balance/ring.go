package balance

import (
	"cmp"
	"slices"
)

// A Ring is consistent hashing: each member has points on a circle, by its
// weight, and gets the hashes just before them. When members come or go, only
// the hashes of those members move. A Ring does not change.
type Ring struct {
	points []point
	starts [1 << startBits]int32 // index of the first point in or after each equal part of the circle
}

// A Member is something on a [Ring].
type Member struct {
	ID     uint64 // decides where its points are
	Weight float64
}

type point struct {
	at     uint64
	member int
}

const (
	pointsPerWeight = 64       // points for each unit of weight
	maxPoints       = 32 << 10 // points of a ring, unless it has more members
	startBits       = 12
)

// NewRing returns the ring of members.
func NewRing(members []Member) *Ring {
	var weight float64
	for _, m := range members {
		weight += m.Weight
	}
	perWeight := min(pointsPerWeight, maxPoints/weight)
	r := new(Ring)
	for i, m := range members {
		for n := range max(1, int(m.Weight*perWeight)) {
			r.points = append(r.points, point{mix(m.ID + uint64(n)*0x9e3779b97f4a7c15), i})
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

// Find returns the index of the first member after a hash for which ok returns
// true, or -1. It may ask about a member several times, and allocates nothing.
func (r *Ring) Find(hash uint64, ok func(member int) bool) int {
	at := mix(hash)
	i := int(r.starts[at>>(64-startBits)])
	for i < len(r.points) && r.points[i].at < at {
		i++
	}
	last := -1
	for range r.points {
		if i == len(r.points) {
			i = 0
		}
		m := r.points[i].member
		if i++; m == last {
			continue
		}
		if last = m; ok(m) {
			return m
		}
	}
	return -1
}

// mix spreads a difference in a few bits over all bits (the finalizer of
// MurmurHash3).
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
