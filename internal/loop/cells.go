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

// Cells is memory for values of T, which hold no pointers, outside the Go heap: the
// collector does not scan it, and does not let garbage of the same size pile up because of
// it. A cell does not move while it is taken. Cells are not in core dumps.
type Cells[T any] struct {
	chunks []*chunk[T] // nil where a chunk was unmapped
	mapped atomic.Int64
}

type chunk[T any] struct {
	memory []byte
	cells  []T
	free   []uint8 // numbers of free cells; the last one is taken next
}

// Alloc returns a free cell, which is zero, and its number.
func (c *Cells[T]) Alloc() (n int32, cell *T) {
	hole := len(c.chunks)
	for i, k := range c.chunks {
		switch {
		case k == nil:
			hole = min(hole, i)
		case len(k.free) > 0:
			last := k.free[len(k.free)-1]
			k.free = k.free[:len(k.free)-1]
			return int32(i*chunkSize) + int32(last), &k.cells[last]
		}
	}
	if hole == len(c.chunks) {
		c.chunks = append(c.chunks, nil)
	}
	c.chunks[hole] = newChunk[T]()
	c.mapped.Add(int64(len(c.chunks[hole].memory)))
	return c.Alloc()
}

// At returns a cell, taken or free; nil where none is mapped.
func (c *Cells[T]) At(n int32) *T {
	i := int(n / chunkSize)
	if i >= len(c.chunks) || c.chunks[i] == nil {
		return nil
	}
	return &c.chunks[i].cells[n%chunkSize]
}

// Release makes a cell zero and free. A chunk is unmapped with its last cell, except for the
// first chunk.
func (c *Cells[T]) Release(n int32) {
	i := n / chunkSize
	k := c.chunks[i]
	clear(k.cells[n%chunkSize : n%chunkSize+1])
	if k.free = append(k.free, uint8(n%chunkSize)); len(k.free) == chunkSize && i > 0 {
		c.chunks[i] = nil
		c.mapped.Add(-int64(len(k.memory)))
		unix.Munmap(k.memory)
	}
}

// Mapped returns how many bytes are mapped. Any goroutine may call it.
func (c *Cells[T]) Mapped() int64 { return c.mapped.Load() }

func newChunk[T any]() *chunk[T] {
	size := chunkSize * int(unsafe.Sizeof(*new(T)))
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("loop: no memory for connections: %v", err)) // the Go heap does the same when there is none
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
