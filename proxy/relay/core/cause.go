package core

import (
	"github.com/gobwas/ws"

	"sluice/internal/frame"
)

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

// Other returns the opposite side of Client or Backend.
func (s Side) Other() Side { return 1 - s }

// A Cause is why a session ended.
type Cause uint8

const (
	Closed Cause = iota + 1 // a side sent a Close frame
	Lost                    // a connection ended without a Close frame
	Violation
	TooLarge   // a frame or a message
	TooFast    // messages or bytes
	Idle       // no data frame for too long
	Lifetime   // the session is as old as it may become
	Unanswered // a side did not answer a ping
	Stalled    // a side took nothing of the bytes that wait for it for too long
	Shutdown
	RouteRemoved
	BackendRemoved
	Drained    // the endpoint gets rid of its sessions
	Rebalanced // other endpoints have fewer sessions
	Restarted  // a new process has taken over, and the session could not go there
	Internal   // a step of the session panicked
	Operator   // an operator ended the session
	Expired    // the credential of the client is no longer valid; planned (docs/roadmap.md): only tests use it yet
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
	case Restarted:
		return "restart"
	case Internal:
		return "internal error"
	case Expired:
		return "credential expired"
	case Operator:
		return "ended by operator"
	}
	return "none"
}

// code returns the code that the client gets when the gateway ends a session for c.
func (c Cause) code() ws.StatusCode {
	switch c {
	case RouteRemoved, BackendRemoved, Drained, Rebalanced, Restarted:
		return frame.StatusServiceRestart
	case Expired, Operator:
		return ws.StatusPolicyViolation
	case Internal:
		return ws.StatusInternalServerError
	}
	return ws.StatusGoingAway
}

// An Ending is how the gateway ends a session. The backend always gets 1001 without a
// reason.
type Ending struct {
	Cause  Cause
	Code   ws.StatusCode // for the client; 0, or a code that must not be sent, means the cause's code
	Reason string        // for the client, UTF-8, of which the first 123 bytes are sent; "" means the cause's name
}

// complete returns e with the defaults of its cause.
func (e Ending) complete() Ending {
	if !frame.ValidCode(e.Code) {
		e.Code = e.Cause.code()
	}
	if e.Reason == "" {
		e.Reason = e.Cause.String()
	}
	return e
}
