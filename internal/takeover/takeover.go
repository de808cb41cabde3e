// Package takeover hands listening sockets and live sessions from an old process to a
// new one, over a pair of connected Unix sockets (docs/adr/0038-take-over.md). It knows
// bytes and descriptors; what a session is, and how it is stopped, written down, read
// back and run, is the caller's.
//
// The old process calls [Give], the new one [Take]:
//
//	old   Hello      version, clock
//	new   Ready      version; all that can fail is done; how many descriptors it may still open
//	old   Listeners  state of the whole gateway, listening sockets
//	new   Open       it accepts connections
//	old   Batch      sessions, stopped and written down   \
//	new   Have       for each session: it can be run       > until there are no more
//	old   Yours      the commit                           /
//	old   Done       there are no more sessions; whether it was told to stop
//	new   Done
//	old   Rest       when all that is left there has ended: what it has counted
//
// Either side may send Failed, with a reason, in place of its next message. Where the
// versions differ, only sockets go over: states are empty, and Done follows Open.
//
// A session is run by one process at any time. Until the commit it belongs to the old
// one, which resumes it if anything fails; from the commit on it belongs to the new one.
// So a process that dies takes with it the sessions that it owned at that moment and no
// others, and a session that the new one cannot run stays where it is.
package takeover

import "time"

// Version is that of all states, and of Batch and Have. It changes with every change of what
// a caller writes into one. The other messages never change, so that any two versions can
// hand sockets over, or refuse each other with a reason.
const Version = 1

// MaxFiles is how many descriptors a message may carry: SCM_MAX_FD of Linux (unix(7)).
const MaxFiles = 253

// Deadlines are how long a side waits for the other one. Both are required.
type Deadlines struct {
	Prepare time.Duration // from Hello to Ready, and from Listeners to Open: the new process reads its configuration, and opens what it needs
	Step    time.Duration // for every other message, to be written or read
}

// A Listener is a listening socket. What its name and kind mean is the caller's.
type Listener struct {
	Name, Kind string // at most 4096 bytes each
	File       int    // its descriptor
}
