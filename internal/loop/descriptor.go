//go:build linux

package loop

import "sync/atomic"

// descriptor is a file descriptor that one goroutine may close while others use it: it is
// closed when the last use ends, so that none meets another file of the same number.
type descriptor struct {
	fd    int32
	state atomic.Uint32 // the number of uses, and the bits below
}

const (
	closedBit = 1 << 31 // no use may begin any more
	takenBit  = 1 << 30 // and the descriptor stays open
)

// acquire begins a use, and reports whether the descriptor is open. If so, release ends it.
func (d *descriptor) acquire() bool {
	for {
		s := d.state.Load()
		if s&closedBit != 0 {
			return false
		}
		if d.state.CompareAndSwap(s, s+1) {
			return true
		}
	}
}

func (d *descriptor) release() {
	if d.state.Add(^uint32(0)) == closedBit {
		Close(d.fd)
	}
}

// end lets no use begin any more. With taken, the descriptor stays open, and is the caller's.
// It reports whether that was the first call.
func (d *descriptor) end(taken bool) (first bool) {
	for {
		s := d.state.Load()
		if s&closedBit != 0 {
			return false
		}
		bits := uint32(closedBit)
		if taken {
			bits |= takenBit
		}
		if d.state.CompareAndSwap(s, s|bits) {
			if s == 0 && !taken {
				Close(d.fd)
			}
			return true
		}
	}
}
