//go:build !portable

package relay

// slot is the plain part of a session on a loop.
type slot struct {
	state      state
	timer      int64 // moment at which the loop looks at it; 0 for none
	timerRank  int32 // in the loop's alarms, while alarm is set
	number     int32
	generation int32     // 0 while it is free
	sockets    [2]socket // by Side
	shortNote  [48]byte  // the note
	noteLen    uint8     // its length; tooLong if the note is elsewhere
	ended      bool      // all is said and reported; the sockets linger
	closed     bool      // the sockets are closed
}

// socket is one side of a session on a loop.
type socket struct {
	fd        int32
	tlsCell   int32 // cell of its TLS state; -1 without TLS
	discarded int32 // bytes read after all was said
	events    uint8 // waited for, of EPOLLIN and EPOLLOUT; errors always are
	state     uint8
}

// The states of a socket.
const (
	stateWatched     = 1 << iota // it is in the epoll set
	stateReadEnded               // nothing is read from it any more
	stateHungUp                  // nothing more will come but what has, and the error
	stateWriteClosed             // it was sent the end of the stream
)

func (s *socket) is(state uint8) bool { return s.state&state != 0 }

// slotRefs is the part of a session on a loop that points to others.
type slotRefs struct {
	refs    stateRefs
	owner   any
	pending *pending // what is under way; nil while there is nothing
}

// pending is what is under way in a session.
type pending [2]pendingSide // by Side

// pendingSide is what is under way on one side.
type pendingSide struct {
	partialRecord []byte // came from it: the beginning of a TLS record
	recordSince   int64  // moment since which the rest of record could have come
	held          []byte // came from it, and waits for more or for its time
	out           []byte // on its way to it, not taken by the socket
	blockedSince  int64  // moment since which the socket has taken nothing of out or of pipe
	readErr       error  // why nothing comes from it behind what is held
	pipe          *pipe  // payload on its way to it; nil while there is none
}

// handle is a session on a loop.
type handle struct {
	core
	*slot
	*slotRefs
}

// slots is where the sessions of a loop are. A session's slot is its number
// there.
type slots struct {
	cells      cells[slot]
	refs       []*[chunkSize]slotRefs // beside the chunks of places
	generation int32                  // of the last session
	notes      map[int32]string       // by slot: those that are too long for a place
}

// alloc returns room for a session.
func (s *slots) alloc() handle {
	slot, p := s.cells.alloc()
	if i := int(slot / chunkSize); i == len(s.refs) {
		s.refs = append(s.refs, new([chunkSize]slotRefs))
	} else if s.refs[i] == nil {
		s.refs[i] = new([chunkSize]slotRefs)
	}
	if s.generation++; s.generation == 0 { // that is nobody's
		s.generation++
	}
	p.number, p.generation = slot, s.generation
	return s.handle(slot)
}

// release gives the room back.
func (s *slots) release(k handle) {
	if k.noteLen == noteElsewhere {
		delete(s.notes, k.number)
	}
	i := k.number / chunkSize
	*k.slotRefs = slotRefs{}
	if s.cells.release(k.number); s.cells.all[i] == nil {
		s.refs[i] = nil
	}
}

func (s *slots) handle(slot int32) handle {
	p, r := s.cells.at(slot), &s.refs[slot/chunkSize][slot%chunkSize]
	return handle{core{&p.state, &r.refs}, p, r}
}

// at returns the session in a slot, if it is the one of that generation and its
// sockets are open: what comes late for an old one finds nobody.
func (s *slots) at(slot, generation int32) (handle, bool) {
	p := s.cells.at(slot)
	if p == nil || p.generation != generation || p.closed {
		return handle{}, false
	}
	return s.handle(slot), true
}

// tooLong stands for the length of a note that does not fit into a place.
const noteElsewhere = 255

// setNote keeps a session's note.
func (s *slots) setNote(k handle, note string) {
	if len(note) <= len(k.shortNote) {
		k.noteLen = uint8(copy(k.shortNote[:], note))
		return
	}
	if s.notes == nil {
		s.notes = make(map[int32]string)
	}
	k.noteLen, s.notes[k.number] = noteElsewhere, note
}

// note returns it.
func (s *slots) note(k handle) string {
	if k.noteLen == noteElsewhere {
		return s.notes[k.number]
	}
	return string(k.shortNote[:k.noteLen])
}

// each calls f with every session that has open sockets.
func (s *slots) each(f func(handle)) {
	for i := range s.refs {
		s.eachInChunk(i, f)
	}
}

// eachInChunk is each for those of one chunk.
func (s *slots) eachInChunk(i int, f func(handle)) {
	for n := range int32(chunkSize) {
		if slot := int32(i*chunkSize) + n; s.refs[i] != nil {
			if k := s.handle(slot); k.generation != 0 && !k.closed {
				f(k)
			}
		}
	}
}

// ensurePending returns where what is under way is kept.
func (l *loop) ensurePending(k handle) *pending {
	if k.pending == nil {
		if n := len(l.sparePending); n > 0 {
			k.pending, l.sparePending = l.sparePending[n-1], l.sparePending[:n-1]
		} else {
			k.pending = new(pending)
		}
	}
	return k.pending
}

// releasePending gives that back when nothing is under way.
func (l *loop) releasePending(k handle) {
	if k.pending == nil {
		return
	}
	for side := range k.pending {
		if h := &k.pending[side]; len(h.partialRecord) > 0 || len(h.held) > 0 || len(h.out) > 0 || h.pipe != nil || h.readErr != nil {
			return
		}
	}
	*k.pending = pending{}
	if len(l.sparePending) < sparePendings {
		l.sparePending = append(l.sparePending, k.pending)
	}
	k.pending = nil
}
