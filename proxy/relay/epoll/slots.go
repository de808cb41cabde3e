//go:build linux && !portable

package epoll

import (
	"sluice/internal/loop"
	"sluice/proxy/relay/core"
)

// slots is the slots of a loop's sessions.
type slots = loop.Slots[slot, slotRefs, *slot]

// slot is the part of a session without pointers. Its size is memory that every open
// session takes.
type slot struct {
	loop.Entry
	state     core.State
	sockets   [2]socket // by Side
	shortNote [47]byte
	noteLen   uint8 // of shortNote; noteElsewhere if the note is in longNotes
}

// noteElsewhere is the noteLen of a note that does not fit into the slot.
const noteElsewhere = 255

// socket is one side of a session.
type socket struct {
	fd        int32 // closedFD when it is closed
	tlsCell   int32 // of its TLS state; noTLS without TLS
	discarded int32 // bytes read after the session was finished or has failed
	events    uint8 // that epoll reports, edge-triggered, of EPOLLIN and EPOLLOUT
	state     uint8
}

const (
	noTLS    = -1
	closedFD = -1
)

// The states of a socket, as bits.
const (
	watched     = 1 << iota // it is in the epoll set
	readEnded               // nothing is read from it any more
	hungUp                  // nothing more will come but what has come, and the error
	writeClosed             // it was sent the end of the stream
	large                   // a read brought no whole frame: its frames may be worth a pipe
	stopped                 // its session was stopped, to go on here or in another process
	stays                   // of the client's: its session is not offered to another process again
)

// stopped reports whether the session is stopped.
func (p *slot) stopped() bool { return p.sockets[core.Client].is(stopped) }

func (s *socket) is(state uint8) bool { return s.state&state != 0 }

// slotRefs is the part of a session with pointers.
type slotRefs struct {
	refs    core.Refs
	owner   any
	pending *pending // nil while nothing is pending
}

// pending is the bytes that wait in a session.
type pending [2]pendingSide // by Side

// pendingSide is the bytes that wait at one side, and what goes with them.
type pendingSide struct {
	partialRecord []byte     // came from it: the beginning of a TLS record
	recordSince   int64      // the moment since which the rest of that record could have come
	held          []byte     // came from it, and waits for more bytes or for its time
	out           []byte     // goes to it, and was not taken by the socket yet
	blockedSince  int64      // the moment since which the socket has taken nothing of out and pipe
	readErr       error      // why nothing comes from it after what is held
	pipe          *loop.Pipe // has payload that goes to it; nil while there is none
}

func (p *pendingSide) empty() bool {
	return len(p.partialRecord) == 0 && len(p.held) == 0 && len(p.out) == 0 && p.pipe == nil && p.readErr == nil
}

// A handle is a session on its loop. It is good until the slot is freed, which happens
// between batches of events.
type handle struct {
	core.Core
	*slot
	*slotRefs
}

func handleOf(p *slot, r *slotRefs) handle {
	return handle{core.Core{State: &p.state, Refs: &r.refs}, p, r}
}

// at returns the session of a slot, unless its sockets are closed or it is stopped.
func (l *loopSessions) at(id loop.SlotID) (handle, bool) {
	p, r, ok := l.slots.At(id)
	if !ok || p.stopped() {
		return handle{}, false
	}
	return handleOf(p, r), true
}

// setNote keeps the note of a session.
func (l *loopSessions) setNote(h handle, note string) {
	if len(note) <= len(h.shortNote) {
		h.noteLen = uint8(copy(h.shortNote[:], note))
		return
	}
	if l.longNotes == nil {
		l.longNotes = make(map[int32]string)
	}
	h.noteLen, l.longNotes[h.Number()] = noteElsewhere, note
}

// note returns the note of a session.
func (l *loopSessions) note(h handle) string {
	if h.noteLen == noteElsewhere {
		return l.longNotes[h.Number()]
	}
	return string(h.shortNote[:h.noteLen])
}

// dropNote forgets the note of a session that is closed.
func (l *loopSessions) dropNote(h handle) {
	if h.noteLen == noteElsewhere {
		delete(l.longNotes, h.Number())
	}
}

// sparePendings is how many empty pendings a loop keeps.
const sparePendings = 64

// ensurePending returns the pending bytes of a session, and allocates room for them if
// needed.
func (l *loopSessions) ensurePending(h handle) *pending {
	if h.pending == nil {
		if n := len(l.sparePendings); n > 0 {
			h.pending, l.sparePendings = l.sparePendings[n-1], l.sparePendings[:n-1]
		} else {
			h.pending = new(pending)
		}
	}
	return h.pending
}

// releasePending gives the room back if nothing is pending.
func (l *loopSessions) releasePending(h handle) {
	if h.pending == nil {
		return
	}
	for side := range h.pending {
		if !h.pending[side].empty() {
			return
		}
	}
	*h.pending = pending{}
	if len(l.sparePendings) < sparePendings {
		l.sparePendings = append(l.sparePendings, h.pending)
	}
	h.pending = nil
}
