package wire

import (
	"bytes"
	"slices"
	"testing"
)

// sealed returns a record of typ with n bytes of payload.
func sealed(typ byte, n int) []byte {
	b := record(n)
	b[0] = typ
	return b
}

// hello returns the first record of a side: it starts with a handshake message of typ,
// whose random has 32 times the same byte.
func hello(typ, random byte) []byte {
	b := sealed(22, 100)
	b[recordHeader] = typ
	copy(b[helloSize-32:], bytes.Repeat([]byte{random}, 32))
	return b
}

func TestRecordCounter(t *testing.T) {
	ccs, long := sealed(20, 1), sealed(23, 5000)
	update := sealed(23, updateBody)
	random := [32]byte(bytes.Repeat([]byte{7}, 32))
	tests := []struct {
		name    string
		maxKept int
		stream  []byte
		want    Records
	}{
		{"nothing", 0, nil, Records{Whole: true}},
		{"a hello", 0, hello(1, 7), Records{Whole: true, Count: 1, Last: hello(1, 7)[:helloSize], Random: random}},
		{"a short first record", 0, sealed(22, 30), Records{Whole: true, Count: 1, Last: sealed(22, 30)}},
		{"data", 0, slices.Concat(hello(1, 7), ccs, sealed(23, 9), sealed(23, 8)),
			Records{Whole: true, Count: 4, FirstSealed: 2, Last: sealed(23, 8), LastIndex: 3, Random: random}},
		{"records that are not data", 0, slices.Concat(hello(1, 7), sealed(23, 9), sealed(22, 40), ccs),
			Records{Whole: true, Count: 4, FirstSealed: 4, Last: sealed(23, 9), LastIndex: 1, Random: random}},
		{"an alert", 0, slices.Concat(hello(1, 7), sealed(23, 9), sealed(21, 19)),
			Records{Whole: true, Count: 3, Last: sealed(21, 19), LastIndex: 2, Random: random}},
		{"a long record", 0, slices.Concat(hello(1, 7), sealed(23, 9), long),
			Records{Whole: true, Count: 3, Last: long, LastIndex: 2, Random: random}},
		{"a long record above the limit", 2000, slices.Concat(hello(1, 7), sealed(23, 9), long),
			Records{Whole: true, Count: 3, Last: sealed(23, 9), LastIndex: 1, Random: random}},
		{"an empty record", 0, slices.Concat(hello(1, 7), sealed(23, 0)),
			Records{Whole: true, Count: 2, Last: sealed(23, 0), LastIndex: 1, Random: random}},
		{"part of a record", 0, slices.Concat(hello(1, 7), sealed(23, 9), sealed(22, 9)[:7]),
			Records{Count: 2, Last: sealed(23, 9), LastIndex: 1, Random: random}},
		{"records as long as a KeyUpdate", 0, slices.Concat(hello(1, 7), update, update, sealed(23, 5)),
			Records{Whole: true, Count: 4, Last: sealed(23, 5), LastIndex: 3, Random: random, Updates: []uint64{1, 2}, UpdateCount: 2}},
		{"many such records", 0, slices.Concat(hello(1, 7), bytes.Repeat(update, 6)),
			Records{Whole: true, Count: 7, Last: update, LastIndex: 6, Random: random, Updates: []uint64{5, 6, 3, 4}, UpdateCount: 6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1, 2, 5, 7, 43, 1000, 1 << 20} {
				m := recordCounter{maxKept: tt.maxKept}
				for piece := range slices.Chunk(tt.stream, size) {
					m.add(piece)
				}
				got := m.records()
				if got.Whole != tt.want.Whole || got.Count != tt.want.Count || got.FirstSealed != tt.want.FirstSealed ||
					!bytes.Equal(got.Last, tt.want.Last) || got.LastIndex != tt.want.LastIndex || got.Random != tt.want.Random ||
					!slices.Equal(got.Updates, tt.want.Updates) || got.UpdateCount != tt.want.UpdateCount {
					t.Errorf("in pieces of %d: %+v; want %+v", size, got, tt.want)
				}
			}
		})
	}
}

// A connection that serves requests for days keeps no more than at its start.
func TestRecordCounterStaysSmall(t *testing.T) {
	for _, maxKept := range []int{0, maxKeptSent} {
		m := recordCounter{maxKept: maxKept}
		m.add(hello(2, 1))
		for n := range 1000 {
			m.add(sealed(23, n*n%16384))
			m.add(sealed(23, 500))
			if cap(m.last) > maxIdleBuffer {
				t.Fatalf("maxKept %d: %d bytes are held after a record of 500", maxKept, cap(m.last))
			}
		}
		if maxKept > 0 {
			m.add(sealed(23, 16384))
			if cap(m.last) > maxKept {
				t.Errorf("maxKept %d: %d bytes are held after a long record", maxKept, cap(m.last))
			}
		}
	}
}

func TestRecordCounterAllocatesNothing(t *testing.T) {
	m := recordCounter{maxKept: maxKeptSent}
	stream := slices.Concat(record(100), record(1500), record(16384), record(7))
	if n := testing.AllocsPerRun(100, func() { m.add(stream) }); n != 0 {
		t.Errorf("%v allocations for four records; want none", n)
	}
}
