// Package succession lets a new process take over from an old one: the old one starts it as its child and gives it
// what package takeover hands over.
package succession

import (
	"os"

	"sluice/internal/activation"
	"sluice/internal/clock"
	"sluice/internal/codec"
)

// Inherited is what a process begins with: the sockets that a service manager has passed to it and, where it takes over
// from another process, what that one had.
type Inherited struct {
	Sockets   *activation.Sockets
	Clock     *clock.Clock        // of the sessions; nil without another process
	Listeners map[string]*os.File // of the gateway, by key
	Admin     map[string]*os.File // of the admin interface, by key
	Offer     map[string]*os.File // for further take-overs, by path
	State     *codec.Coder        // of the other process, to be read before Take; nil without one

	from  *predecessor // nil without another process
	asked bool         // this process has asked that one, which has not started it
}

// Continues reports whether the process takes over from another one.
func (i *Inherited) Continues() bool { return i.from != nil }

// The kinds of sockets that are handed over.
const (
	KindListener = "listener" // of the gateway: see package handover
	KindAdmin    = "admin"
	KindOffer    = "offer"  // see Offer
	KindPassed   = "passed" // by a service manager
)
