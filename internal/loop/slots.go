//go:build linux

package loop

// An Entry is what a loop keeps of a slot. The T of Slots embeds it.
type Entry struct {
	timer      int64 // moment at which the timer fires; 0 while it is stopped
	rank       int32 // index in the heap of timers, while the timer is set
	number     int32
	generation int32 // 0 while the slot is free
	kind       Kind
	retired    bool
}

func (e *Entry) entry() *Entry { return e }

// SlotID names the slot for as long as it has this connection.
func (e *Entry) SlotID() SlotID { return SlotID{e.number, e.generation} }

// Number is the number of the slot among the slots of its kind.
func (e *Entry) Number() int32 { return e.number }

// Timer returns the moment at which the slot's timer fires; 0 while it is stopped.
func (e *Entry) Timer() int64 { return e.timer }

// Retired reports whether the slot was retired.
func (e *Entry) Retired() bool { return e.retired }

// A SlotID names a slot and its connection: when the slot has another connection, the ID
// of the old one finds nothing.
type SlotID struct{ number, generation int32 }

// Slots is the slots of one kind of connections on a loop. A slot has a T, which holds no
// pointers and lies outside the Go heap, and an R for the pointers. Both stay where they
// are while the slot is taken, and are zero when it is.
type Slots[T, R any, P interface {
	*T
	entry() *Entry
}] struct {
	Kind Kind // of the handler; set before the first Alloc

	cells      cells[T]
	refs       []*[chunkSize]R // beside the chunks of cells
	generation int32           // of the last connection
	retired    []int32         // numbers
}

// Alloc returns a free slot.
func (s *Slots[T, R, P]) Alloc() (*T, *R) {
	number, cell := s.cells.alloc()
	if i := int(number / chunkSize); i == len(s.refs) {
		s.refs = append(s.refs, new([chunkSize]R))
	} else if s.refs[i] == nil {
		s.refs[i] = new([chunkSize]R)
	}
	if s.generation++; s.generation == 0 { // 0 is for free slots
		s.generation++
	}
	e := P(cell).entry()
	e.number, e.generation, e.kind = number, s.generation, s.Kind
	return cell, s.ref(number)
}

func (s *Slots[T, R, P]) ref(number int32) *R { return &s.refs[number/chunkSize][number%chunkSize] }

// At returns the slot of an ID. It is false when the slot is retired, free, or has another
// connection.
func (s *Slots[T, R, P]) At(id SlotID) (*T, *R, bool) {
	cell := s.cells.at(id.number)
	if cell == nil {
		return nil, nil, false
	}
	if e := P(cell).entry(); e.generation != id.generation || e.retired {
		return nil, nil, false
	}
	return cell, s.ref(id.number), true
}

// Retire makes a slot one that At and Each do not find. Its memory stays as it is until
// FreeRetired: handlers may still hold pointers to it. Its timer must be stopped.
func (s *Slots[T, R, P]) Retire(cell *T) {
	e := P(cell).entry()
	e.retired = true
	s.retired = append(s.retired, e.number)
}

// FreeRetired frees the retired slots and returns their number. It is called in BatchDone,
// when no handler holds a pointer to a slot.
func (s *Slots[T, R, P]) FreeRetired() (n int) {
	for _, number := range s.retired {
		*s.ref(number) = *new(R)
		if s.cells.release(number); s.cells.chunks[number/chunkSize] == nil {
			s.refs[number/chunkSize] = nil
		}
	}
	n = len(s.retired)
	s.retired = s.retired[:0]
	return n
}

// Each calls f with every slot that is taken and not retired.
func (s *Slots[T, R, P]) Each(f func(*T, *R)) {
	for i := range s.refs {
		s.EachInChunk(i, f)
	}
}

// Chunks returns the number of chunks for EachInChunk.
func (s *Slots[T, R, P]) Chunks() int { return len(s.refs) }

// EachInChunk is Each for the slots of one chunk.
func (s *Slots[T, R, P]) EachInChunk(i int, f func(*T, *R)) {
	for n := range int32(chunkSize) {
		if s.refs[i] == nil {
			return
		}
		number := int32(i*chunkSize) + n
		cell := s.cells.at(number)
		if e := P(cell).entry(); e.generation != 0 && !e.retired {
			f(cell, s.ref(number))
		}
	}
}

// Mapped returns how many bytes the slots take outside the Go heap. Any goroutine may call
// it.
func (s *Slots[T, R, P]) Mapped() int64 { return s.cells.mapped.Load() }
