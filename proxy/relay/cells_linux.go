//go:build !portable

package relay

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// chunkSize is the number of cells that are mapped at once.
const chunkSize = 256

// cells is room for values of T, which hold no pointers, outside the Go heap:
// the collector does not look at them, and does not ask for as much again to
// work in, as it does for what it keeps. They stay where they are while they are
// taken, and do not appear in core dumps.
type cells[T any] struct {
	all    []*chunk[T] // nil where there is none any more
	mapped atomic.Int64
}

type chunk[T any] struct {
	memory []byte
	cells  []T
	free   []uint8 // the numbers of free cells, the next one last
}

// alloc returns a free cell, zero, and its number.
func (c *cells[T]) alloc() (n int32, cell *T) {
	hole := len(c.all)
	for i, k := range c.all {
		switch {
		case k == nil:
			hole = min(hole, i)
		case len(k.free) > 0:
			last := k.free[len(k.free)-1]
			k.free = k.free[:len(k.free)-1]
			return int32(i*chunkSize) + int32(last), &k.cells[last]
		}
	}
	if hole == len(c.all) {
		c.all = append(c.all, nil)
	}
	c.all[hole] = newChunk[T]()
	c.mapped.Add(int64(len(c.all[hole].memory)))
	return c.alloc()
}

// at returns a cell, nil where there is none.
func (c *cells[T]) at(n int32) *T {
	i := int(n / chunkSize)
	if i >= len(c.all) || c.all[i] == nil {
		return nil
	}
	return &c.all[i].cells[n%chunkSize]
}

// release makes a cell zero and free. The memory of a chunk is given back with its
// last cell, but for the first chunk's.
func (c *cells[T]) release(n int32) {
	i := n / chunkSize
	k := c.all[i]
	clear(k.cells[n%chunkSize : n%chunkSize+1])
	if k.free = append(k.free, uint8(n%chunkSize)); len(k.free) == chunkSize && i > 0 {
		c.all[i] = nil
		c.mapped.Add(-int64(len(k.memory)))
		unix.Munmap(k.memory)
	}
}

func newChunk[T any]() *chunk[T] {
	size := chunkSize * int(unsafe.Sizeof(*new(T)))
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("relay: no memory for sessions: %v", err)) // as when the heap has none
	}
	unix.Madvise(memory, unix.MADV_DONTDUMP) // best effort
	k := &chunk[T]{
		memory: memory,
		cells:  unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(memory))), chunkSize),
		free:   make([]uint8, 0, chunkSize),
	}
	for n := range chunkSize {
		k.free = append(k.free, uint8(chunkSize-1-n))
	}
	return k
}
