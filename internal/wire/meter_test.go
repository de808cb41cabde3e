package wire

import (
	"bytes"
	"slices"
	"testing"
)

// sealed returns a record of a type with n bytes.
func sealed(typ byte, n int) []byte {
	b := record(n)
	b[0] = typ
	return b
}

// hello returns the first record of a side: a handshake message of a type, and
// more.
func hello(typ, random byte) []byte {
	b := sealed(22, 100)
	b[recordHeader] = typ
	copy(b[helloSize-32:], bytes.Repeat([]byte{random}, 32))
	return b
}

func TestMeter(t *testing.T) {
	ccs, long := sealed(20, 1), sealed(23, 5000)
	update := sealed(23, updateBody)
	random := [32]byte(bytes.Repeat([]byte{7}, 32))
	tests := []struct {
		name   string
		limit  int
		stream []byte
		want   Passed
	}{
		{"nothing", 0, nil, Passed{Whole: true}},
		{"a hello", 0, hello(1, 7), Passed{Whole: true, Count: 1, Last: hello(1, 7)[:helloSize], Random: random}},
		{"a short first record", 0, sealed(22, 30), Passed{Whole: true, Count: 1, Last: sealed(22, 30)}},
		{"data", 0, slices.Concat(hello(1, 7), ccs, sealed(23, 9), sealed(23, 8)),
			Passed{Whole: true, Count: 4, Sealed: 2, Last: sealed(23, 8), LastAt: 3, Random: random}},
		{"what is not data", 0, slices.Concat(hello(1, 7), sealed(23, 9), sealed(22, 40), ccs),
			Passed{Whole: true, Count: 4, Sealed: 4, Last: sealed(23, 9), LastAt: 1, Random: random}},
		{"an alert", 0, slices.Concat(hello(1, 7), sealed(23, 9), sealed(21, 19)),
			Passed{Whole: true, Count: 3, Last: sealed(21, 19), LastAt: 2, Random: random}},
		{"a long record", 0, slices.Concat(hello(1, 7), sealed(23, 9), long),
			Passed{Whole: true, Count: 3, Last: long, LastAt: 2, Random: random}},
		{"a long record above the limit", 2000, slices.Concat(hello(1, 7), sealed(23, 9), long),
			Passed{Whole: true, Count: 3, Last: sealed(23, 9), LastAt: 1, Random: random}},
		{"an empty record", 0, slices.Concat(hello(1, 7), sealed(23, 0)),
			Passed{Whole: true, Count: 2, Last: sealed(23, 0), LastAt: 1, Random: random}},
		{"part of a record", 0, slices.Concat(hello(1, 7), sealed(23, 9), sealed(22, 9)[:7]),
			Passed{Count: 2, Last: sealed(23, 9), LastAt: 1, Random: random}},
		{"as long as a key update", 0, slices.Concat(hello(1, 7), update, update, sealed(23, 5)),
			Passed{Whole: true, Count: 4, Last: sealed(23, 5), LastAt: 3, Random: random, Updates: []uint64{1, 2}, Updated: 2}},
		{"many of them", 0, slices.Concat(hello(1, 7), bytes.Repeat(update, 6)),
			Passed{Whole: true, Count: 7, Last: update, LastAt: 6, Random: random, Updates: []uint64{5, 6, 3, 4}, Updated: 6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1, 2, 5, 7, 43, 1000, 1 << 20} {
				m := meter{limit: tt.limit}
				for piece := range slices.Chunk(tt.stream, size) {
					m.pass(piece)
				}
				got := m.passed()
				if got.Whole != tt.want.Whole || got.Count != tt.want.Count || got.Sealed != tt.want.Sealed ||
					!bytes.Equal(got.Last, tt.want.Last) || got.LastAt != tt.want.LastAt || got.Random != tt.want.Random ||
					!slices.Equal(got.Updates, tt.want.Updates) || got.Updated != tt.want.Updated {
					t.Errorf("in pieces of %d: %+v; want %+v", size, got, tt.want)
				}
			}
		})
	}
}

// A connection that serves requests for days holds no more than at the start.
func TestMeterStaysSmall(t *testing.T) {
	for _, limit := range []int{0, maxOut} {
		m := meter{limit: limit}
		m.pass(hello(2, 1))
		for n := range 1000 {
			m.pass(sealed(23, n*n%16384))
			m.pass(sealed(23, 500))
			if cap(m.last) > roomy {
				t.Fatalf("limit %d: %d bytes are held behind a record of 500", limit, cap(m.last))
			}
		}
		if limit > 0 {
			m.pass(sealed(23, 16384))
			if cap(m.last) > limit {
				t.Errorf("limit %d: %d bytes are held behind a long record", limit, cap(m.last))
			}
		}
	}
}

func TestMeterAllocatesNothing(t *testing.T) {
	m := meter{limit: maxOut}
	stream := slices.Concat(record(100), record(1500), record(16384), record(7))
	if n := testing.AllocsPerRun(100, func() { m.pass(stream) }); n != 0 {
		t.Errorf("%v allocations for four records; want none", n)
	}
}
