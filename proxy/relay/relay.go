// Package relay is what happens after the handshake: it joins two open
// connections into a session, lets through the frames that follow RFC 6455,
// and ends every session with the Close frames that say why. It knows nothing
// of HTTP, routes or configuration.
//
// Frame rules are internal/frame's. What a session does about them is the
// core's, which moves no bytes itself; engines move bytes and ask it.
package relay

import (
	"net"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/frame"
	"sluice/internal/wire"
)

// A Session is what an engine takes over: two open connections behind the
// handshake. The engine owns both from Join on.
type Session struct {
	ID              uint64
	Group           *Group
	Owner           any    // handed back in the Report
	Note            string // handed back in the Report; a short one costs little while the session lives
	Client, Backend wire.Side
	Deflate         bool          // permessage-deflate was negotiated
	BadGateway      ws.StatusCode // what the client is told when the backend is lost; 0 means 1014
}

// A View is the state of a session at one moment.
type View struct {
	ID                      uint64
	Group                   *Group
	Owner                   any
	Opened, Last            time.Time // Last is that of the last data frame
	FromClient, FromBackend frame.Counts

	Cause Cause         // 0 while the session is open
	By    Side          // who did what Cause says
	Code  ws.StatusCode // of the Close frame that says so; 1005 when it had none
}

// A Report is how a session ended.
type Report struct {
	View
	Duration time.Duration // until the last Close frame
	Note     string
	Reason   string // of the Close frame of Code
	Detail   string // for the operator, may be empty
}

// A Sink is told of the end of every session. Its functions do not block; they
// may call Join, but nothing that waits for a loop: one may be calling.
type Sink struct {
	Ended  func(Report)    // all is said
	Closed func(owner any) // its sockets are closed; behind Ended

	// Stayed tells that the TLS records of a session that begins stay with
	// crypto/tls, though a connection of it was told to Remember, and why: one of
	// few sentences.
	Stayed func(why string)
}

// capturesRecords reports whether records of a session were to be taken over.
func (s *Session) capturesRecords() bool {
	for _, c := range [...]net.Conn{s.Client.Conn, s.Backend.Conn} {
		if w := wire.Of(c); w != nil && w.Remembers() {
			return true
		}
	}
	return false
}

// dropCaptures has the connections of a session keep nothing for a take-over.
func (s *Session) dropCaptures() {
	for _, c := range [...]net.Conn{s.Client.Conn, s.Backend.Conn} {
		if w := wire.Of(c); w != nil {
			w.Forget()
		}
	}
}

// view returns what there is to see of the session.
func (c core) view(owner any, by clock) View {
	return View{
		ID: c.id, Group: c.group, Owner: owner, Opened: by.time(c.opened), Last: by.time(c.lastData()),
		FromClient: c.sides[Client].dir.Counts, FromBackend: c.sides[Backend].dir.Counts,
		Cause: c.cause, By: c.by, Code: c.code,
	}
}

// report returns how the session ended.
func (c core) report(owner any, note string, by clock, now int64) Report {
	w := c.ensureOutcome()
	return Report{
		View: c.view(owner, by), Duration: time.Duration(now - c.opened), Note: note, Reason: w.reason, Detail: w.detail,
	}
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
	TooLarge   // a frame or a message
	TooFast    // messages or bytes
	Idle       // no data frame for too long
	Lifetime   // it lived as long as it may
	Unanswered // a ping
	Stalled    // a side took nothing of what waited for it for too long
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
	case TooLarge:
		return "too large"
	case TooFast:
		return "too fast"
	case Idle:
		return "idle"
	case Lifetime:
		return "lifetime over"
	case Unanswered:
		return "ping unanswered"
	case Stalled:
		return "stalled"
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

// code returns what the client is told when it is the gateway that ends a
// session.
func (c Cause) code() ws.StatusCode {
	switch c {
	case RouteRemoved, BackendRemoved, Drained, Rebalanced:
		return frame.StatusServiceRestart
	}
	return ws.StatusGoingAway
}
