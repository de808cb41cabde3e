//go:build linux

package loop

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// chunkSize is how many cells are mapped at once.
const chunkSize = 256

// cells is memory for values of T, which hold no pointers, outside the Go heap: the
// collector does not scan it, and does not let garbage of the same size pile up because of
// it. A cell does not move while it is taken. Cells are not in core dumps.
type cells[T any] struct {
	chunks []*chunk[T]  // nil where a chunk was unmapped
	mapped atomic.Int64 // bytes; any goroutine may load it
}

type chunk[T any] struct {
	memory []byte
	values []T
	free   []uint8 // numbers of free cells; the last one is taken next
}

// alloc returns a free cell, which is zero, and its number.
func (c *cells[T]) alloc() (n int32, cell *T) {
	hole := len(c.chunks)
	for i, k := range c.chunks {
		switch {
		case k == nil:
			hole = min(hole, i)
		case len(k.free) > 0:
			last := k.free[len(k.free)-1]
			k.free = k.free[:len(k.free)-1]
			return int32(i*chunkSize) + int32(last), &k.values[last]
		}
	}
	if hole == len(c.chunks) {
		c.chunks = append(c.chunks, nil)
	}
	c.chunks[hole] = newChunk[T]()
	c.mapped.Add(int64(len(c.chunks[hole].memory)))
	return c.alloc()
}

// at returns a cell, taken or free; nil if it is not mapped.
func (c *cells[T]) at(n int32) *T {
	i := int(n / chunkSize)
	if i >= len(c.chunks) || c.chunks[i] == nil {
		return nil
	}
	return &c.chunks[i].values[n%chunkSize]
}

// release makes a cell zero and free. A chunk is unmapped with its last cell, except for the
// first chunk.
func (c *cells[T]) release(n int32) {
	i := n / chunkSize
	k := c.chunks[i]
	clear(k.values[n%chunkSize : n%chunkSize+1])
	if k.free = append(k.free, uint8(n%chunkSize)); len(k.free) == chunkSize && i > 0 {
		c.chunks[i] = nil
		c.mapped.Add(-int64(len(k.memory)))
		unix.Munmap(k.memory)
	}
}

func newChunk[T any]() *chunk[T] {
	size := chunkSize * int(unsafe.Sizeof(*new(T)))
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("loop: no memory for connections: %v", err)) // the Go heap does the same when there is none
	}
	unix.Madvise(memory, unix.MADV_DONTDUMP) // best effort
	k := &chunk[T]{
		memory: memory,
		values: unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(memory))), chunkSize),
		free:   make([]uint8, 0, chunkSize),
	}
	for n := range chunkSize {
		k.free = append(k.free, uint8(chunkSize-1-n))
	}
	return k
}
