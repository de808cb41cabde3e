// Package relay is what happens after the handshake: it joins two open connections into a
// session, lets through the frames that follow RFC 6455, and ends every session with the
// Close frames that tell why. It knows nothing of HTTP, routes or configuration.
//
// The rules of frames are in internal/frame. What a session does about them is in core,
// which moves no bytes. Two engines move bytes and ask it: epoll, for sessions between
// sockets on Linux, and portable, for all others. This package is what the gateway uses of
// them.
package relay

import "sluice/proxy/relay/core"

// What sessions are made of, and what is reported of them: see package core.
type (
	Session = core.Session
	Socket  = core.Socket
	View    = core.View
	Report  = core.Report
	Sink    = core.Sink
	Group   = core.Group
	Totals  = core.Totals
	Rules   = core.Rules
	Traffic = core.Traffic
	Side    = core.Side
	Cause   = core.Cause
	Ending  = core.Ending
	Tap     = core.Tap

	TapOptions  = core.TapOptions
	TappedFrame = core.TappedFrame
)

// NewTap returns a tap that no session has yet.
func NewTap(o TapOptions) *Tap { return core.NewTap(o) }

// The sides of a session, and the gateway between them.
const (
	Client  = core.Client
	Backend = core.Backend
	Gateway = core.Gateway
)

// The causes of a session's end.
const (
	Closed         = core.Closed
	Lost           = core.Lost
	Violation      = core.Violation
	TooLarge       = core.TooLarge
	TooFast        = core.TooFast
	Idle           = core.Idle
	Lifetime       = core.Lifetime
	Unanswered     = core.Unanswered
	Stalled        = core.Stalled
	Shutdown       = core.Shutdown
	RouteRemoved   = core.RouteRemoved
	BackendRemoved = core.BackendRemoved
	Drained        = core.Drained
	Rebalanced     = core.Rebalanced
	Restarted      = core.Restarted
	Internal       = core.Internal
	Operator       = core.Operator
	Expired        = core.Expired // planned, like Engine.PlanEnd
)
