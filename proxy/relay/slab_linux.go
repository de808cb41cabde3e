//go:build !portable

package relay

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slabSize is the number of sessions a slab holds.
const slabSize = 256

// slab is room for sessions. What is plain about them lies outside the Go
// heap: the collector need not look at it, and does not ask for as much again
// to work in, as it does for what it keeps.
type slab struct {
	memory []byte // mapped
	places []place
	refs   [slabSize]ref
	free   int32 // slot of the first free place; -1 without one
	live   int
}

// place is the plain part of a session on a loop.
type place struct {
	flow       flow
	alarm      int64 // moment at which the loop looks at it; 0 for none
	rank       int32 // in the loop's alarms, while alarm is set; the next free place, while it is free
	slot       int32
	generation int32     // 0 while it is free
	sockets    [2]socket // by Side
	short      [48]byte  // the note
	noted      uint8     // its length; tooLong if the note is elsewhere
	done       bool      // all is said and reported; the sockets linger
	gone       bool      // the sockets are closed
}

// socket is one side of a session on a loop.
type socket struct {
	fd      int32
	dropped int32 // bytes read after all was said
	events  uint8 // waited for, of EPOLLIN and EPOLLOUT; errors always are
	state   uint8
}

// The states of a socket.
const (
	watched = 1 << iota // it is in the epoll set
	ended               // nothing is read from it any more
	hung                // nothing more will come but what has, and the error
	shut                // it was sent the end of the stream
)

func (s *socket) is(state uint8) bool { return s.state&state != 0 }

// ref is the part of a session on a loop that points to others.
type ref struct {
	tie   tie
	owner any
	hot   *hot // what is under way; nil while there is nothing
}

// hot is what is under way in a session.
type hot [2]struct { // by Side
	held []byte // came from it, and waits for more or for its time
	out  []byte // on its way to it, not taken by the socket
	pipe *pipe  // payload on its way to it; nil while there is none
}

// joint is a session on a loop.
type joint struct {
	core
	*place
	*ref
}

func newSlab(first int32) *slab {
	memory, err := unix.Mmap(-1, 0, int(unsafe.Sizeof(place{}))*slabSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("relay: no memory for sessions: %v", err)) // as when the heap has none
	}
	s := &slab{memory: memory, places: unsafe.Slice((*place)(unsafe.Pointer(unsafe.SliceData(memory))), slabSize)}
	for i := range s.places {
		s.places[i].slot, s.places[i].rank = first+int32(i), first+int32(i)+1
	}
	s.places[slabSize-1].rank = -1
	s.free = first
	return s
}

// slabs is where the sessions of a loop are. A slot is a session's number in
// them: places stay where they are while a session has them.
type slabs struct {
	all        []*slab // nil where there is none any more
	generation int32   // of the last session
	mapped     atomic.Int64
	notes      map[int32]string // by slot: those that are too long for a place
}

// take returns a place for a session.
func (s *slabs) take() joint {
	i := 0
	for i < len(s.all) && (s.all[i] == nil || s.all[i].free < 0) {
		i++
	}
	if i == len(s.all) {
		for i = 0; i < len(s.all) && s.all[i] != nil; i++ {
		}
		if i == len(s.all) {
			s.all = append(s.all, nil)
		}
		s.all[i] = newSlab(int32(i * slabSize))
		s.mapped.Add(int64(len(s.all[i].memory)))
	}
	b := s.all[i]
	k := b.joint(int(b.free) % slabSize)
	b.free = k.rank
	b.live++
	if s.generation++; s.generation == 0 { // that is nobody's
		s.generation++
	}
	*k.place = place{slot: k.slot, generation: s.generation}
	return k
}

// give gives a place back. The last one of a slab gives its memory back too,
// but for the first slab's.
func (s *slabs) give(k joint) {
	i := k.slot / slabSize
	b := s.all[i]
	if k.noted == tooLong {
		delete(s.notes, k.slot)
	}
	*k.place = place{slot: k.slot, rank: b.free}
	*k.ref = ref{}
	b.free = k.slot
	if b.live--; b.live == 0 && i > 0 {
		s.all[i] = nil
		s.mapped.Add(-int64(len(b.memory)))
		unix.Munmap(b.memory)
	}
}

// at returns the session in a slot, if it is the one of that generation: what
// comes late for an old one finds nobody.
func (s *slabs) at(slot, generation int32) (joint, bool) {
	i := int(slot / slabSize)
	if i >= len(s.all) || s.all[i] == nil {
		return joint{}, false
	}
	k := s.all[i].joint(int(slot) % slabSize)
	return k, k.generation == generation && !k.gone
}

// tooLong stands for the length of a note that does not fit into a place.
const tooLong = 255

// keep keeps a session's note.
func (s *slabs) keep(k joint, note string) {
	if len(note) <= len(k.short) {
		k.noted = uint8(copy(k.short[:], note))
		return
	}
	if s.notes == nil {
		s.notes = make(map[int32]string)
	}
	k.noted, s.notes[k.slot] = tooLong, note
}

// note returns it.
func (s *slabs) note(k joint) string {
	if k.noted == tooLong {
		return s.notes[k.slot]
	}
	return string(k.short[:k.noted])
}

// each calls f with every session that has open sockets.
func (s *slabs) each(f func(joint)) {
	for i := range s.all {
		s.among(i, f)
	}
}

// among is each for those of one slab.
func (s *slabs) among(i int, f func(joint)) {
	for n := 0; n < slabSize && s.all[i] != nil; n++ {
		if k := s.all[i].joint(n); k.generation != 0 && !k.gone {
			f(k)
		}
	}
}

func (b *slab) joint(i int) joint {
	p, r := &b.places[i], &b.refs[i]
	return joint{core{&p.flow, &r.tie}, p, r}
}
