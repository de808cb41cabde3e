//go:build !portable

package relay

// place is the plain part of a session on a loop.
type place struct {
	flow       flow
	alarm      int64 // moment at which the loop looks at it; 0 for none
	rank       int32 // in the loop's alarms, while alarm is set
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
	secret  int32 // cell of its TLS state; -1 without TLS
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
	record []byte // came from it: the beginning of a TLS record
	begun  int64  // moment since which the rest of record could have come
	held   []byte // came from it, and waits for more or for its time
	out    []byte // on its way to it, not taken by the socket
	since  int64  // moment since which the socket has taken nothing of out or of pipe
	end    error  // why nothing comes from it behind what is held
	pipe   *pipe  // payload on its way to it; nil while there is none
}

// joint is a session on a loop.
type joint struct {
	core
	*place
	*ref
}

// sessions is where the sessions of a loop are. A session's slot is its number
// there.
type sessions struct {
	places     cells[place]
	refs       []*[chunkSize]ref // beside the chunks of places
	generation int32             // of the last session
	notes      map[int32]string  // by slot: those that are too long for a place
}

// take returns room for a session.
func (s *sessions) take() joint {
	slot, p := s.places.take()
	if i := int(slot / chunkSize); i == len(s.refs) {
		s.refs = append(s.refs, new([chunkSize]ref))
	} else if s.refs[i] == nil {
		s.refs[i] = new([chunkSize]ref)
	}
	if s.generation++; s.generation == 0 { // that is nobody's
		s.generation++
	}
	p.slot, p.generation = slot, s.generation
	return s.joint(slot)
}

// give gives the room back.
func (s *sessions) give(k joint) {
	if k.noted == tooLong {
		delete(s.notes, k.slot)
	}
	i := k.slot / chunkSize
	*k.ref = ref{}
	if s.places.give(k.slot); s.places.all[i] == nil {
		s.refs[i] = nil
	}
}

func (s *sessions) joint(slot int32) joint {
	p, r := s.places.at(slot), &s.refs[slot/chunkSize][slot%chunkSize]
	return joint{core{&p.flow, &r.tie}, p, r}
}

// at returns the session in a slot, if it is the one of that generation and its
// sockets are open: what comes late for an old one finds nobody.
func (s *sessions) at(slot, generation int32) (joint, bool) {
	p := s.places.at(slot)
	if p == nil || p.generation != generation || p.gone {
		return joint{}, false
	}
	return s.joint(slot), true
}

// tooLong stands for the length of a note that does not fit into a place.
const tooLong = 255

// keep keeps a session's note.
func (s *sessions) keep(k joint, note string) {
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
func (s *sessions) note(k joint) string {
	if k.noted == tooLong {
		return s.notes[k.slot]
	}
	return string(k.short[:k.noted])
}

// each calls f with every session that has open sockets.
func (s *sessions) each(f func(joint)) {
	for i := range s.refs {
		s.among(i, f)
	}
}

// among is each for those of one chunk.
func (s *sessions) among(i int, f func(joint)) {
	for n := range int32(chunkSize) {
		if slot := int32(i*chunkSize) + n; s.refs[i] != nil {
			if k := s.joint(slot); k.generation != 0 && !k.gone {
				f(k)
			}
		}
	}
}

// heat returns where what is under way is kept.
func (l *loop) heat(k joint) *hot {
	if k.hot == nil {
		if n := len(l.hots); n > 0 {
			k.hot, l.hots = l.hots[n-1], l.hots[:n-1]
		} else {
			k.hot = new(hot)
		}
	}
	return k.hot
}

// cool gives that back when nothing is under way.
func (l *loop) cool(k joint) {
	if k.hot == nil {
		return
	}
	for side := range k.hot {
		if h := &k.hot[side]; len(h.record) > 0 || len(h.held) > 0 || len(h.out) > 0 || h.pipe != nil || h.end != nil {
			return
		}
	}
	*k.hot = hot{}
	if len(l.hots) < spareHots {
		l.hots = append(l.hots, k.hot)
	}
	k.hot = nil
}
