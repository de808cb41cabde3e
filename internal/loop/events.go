//go:build linux

package loop

import "golang.org/x/sys/unix"

// The data of an epoll event: Fd has the kind, the number of the slot and the side; Pad
// has the slot's generation.
const (
	wakeData   = -1 // Fd of the loop's own eventfd
	sideBits   = 1
	numberBits = 27

	socketsOfASlot = 1 << sideBits
)

func (e *Entry) eventData(side uint8) (fd, pad int32) {
	return int32(e.kind)<<(numberBits+sideBits) | e.number<<sideBits | int32(side), e.generation
}

// Control adds a socket of a slot to the epoll set, changes what is reported of it, or
// removes it: op is one of unix.EPOLL_CTL_*. Side is 0 or 1: a connection may have two
// sockets. Events is of unix.EPOLLIN and unix.EPOLLOUT; errors are always reported.
func (l *Loop) Control(op int, fd int32, e *Entry, side uint8, events uint32) error {
	event := unix.EpollEvent{Events: events}
	event.Fd, event.Pad = e.eventData(side)
	return control(l.epollFd, op, int(fd), &event)
}

// Again makes the loop call Ready once more, with these events, when others have had their
// turn. Epoll may not report what was not read.
func (l *Loop) Again(e *Entry, side uint8, events uint32) {
	event := unix.EpollEvent{Events: events}
	event.Fd, event.Pad = e.eventData(side)
	l.again = append(l.again, event)
}

// dispatchAgain calls Ready as Again has asked for.
func (l *Loop) dispatchAgain() {
	events := l.again
	l.again = l.againSpare[:0]
	for i := range events {
		l.dispatch(&events[i])
	}
	l.againSpare = events
}

// dispatch calls the handler that an event is for.
func (l *Loop) dispatch(e *unix.EpollEvent) {
	if e.Fd == wakeData {
		var b [8]byte
		unix.Read(l.wakeFd, b[:])
		return
	}
	l.handled++
	slot := SlotID{number: e.Fd >> sideBits & (1<<numberBits - 1), generation: e.Pad}
	l.handlers[e.Fd>>(numberBits+sideBits)].Ready(slot, uint8(e.Fd&(1<<sideBits-1)), e.Events)
}
