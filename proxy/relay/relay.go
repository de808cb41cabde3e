// Package relay is what happens after the handshake: it joins two open
// connections into a session, lets through the frames that follow RFC 6455,
// and ends every session with the Close frames that say why. It knows nothing
// of HTTP, routes or configuration.
//
// Frame rules are internal/frame's. What a session does about them is the
// core's, which moves no bytes itself; engines move bytes and ask it.
package relay

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/frame"
	"sluice/internal/wire"
)

// A Group is the sessions of one route. It lives as long as the route's
// identity, across configurations.
type Group struct {
	Name string
	open atomic.Int64
}

// Open returns the number of sessions that have begun and not ended.
func (g *Group) Open() int64 { return g.open.Load() }

// Meta describes a session to people. It does not change.
type Meta struct {
	Peer     netip.AddrPort // of the client
	Backend  string
	Endpoint string
	Opened   time.Time
}

// A Session is what an engine takes over: two open connections behind the
// handshake. The engine owns both from Join on.
type Session struct {
	ID              uint64
	Group           *Group
	Meta            *Meta
	Owner           any // handed back in the Report
	Client, Backend wire.Side
	Deflate         bool          // permessage-deflate was negotiated
	BadGateway      ws.StatusCode // what the client is told when the backend is lost; 0 means 1014
}

// A View is the state of a session at one moment.
type View struct {
	ID                      uint64
	Group                   *Group
	Meta                    *Meta
	FromClient, FromBackend frame.Counts
}

// A Report is how a session ended.
type Report struct {
	View
	Owner    any
	Duration time.Duration // from Meta.Opened to the last Close frame
	Cause    Cause
	By       Side          // who did what Cause says
	Code     ws.StatusCode // of the Close frame that says so; 1005 when it had none
	Reason   string        // of that frame
	Detail   string        // for the operator, may be empty
}

// Side is one side of a session, or the gateway between them.
type Side uint8

const (
	Client Side = iota
	Backend
	Gateway
)

func (s Side) String() string {
	switch s {
	case Client:
		return "client"
	case Backend:
		return "backend"
	}
	return "gateway"
}

// other returns the other end of the session.
func (s Side) other() Side { return 1 - s }

// A Cause is why a session ended.
type Cause uint8

const (
	Closed Cause = iota + 1 // a Close frame of either side
	Lost                    // a connection ended without one
	Violation
	Shutdown
	RouteRemoved
	BackendRemoved
	Drained    // the endpoint shall have no sessions
	Rebalanced // other endpoints have fewer
)

func (c Cause) String() string {
	switch c {
	case Closed:
		return "close"
	case Lost:
		return "lost"
	case Violation:
		return "protocol violation"
	case Shutdown:
		return "shutdown"
	case RouteRemoved:
		return "route removed"
	case BackendRemoved:
		return "backend removed"
	case Drained:
		return "drained"
	case Rebalanced:
		return "rebalanced"
	}
	return "none"
}

// code returns what the client is told when the gateway itself ends a session.
func (c Cause) code() ws.StatusCode {
	if c == Shutdown {
		return ws.StatusGoingAway
	}
	return frame.StatusServiceRestart
}
