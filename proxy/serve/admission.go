package serve

import (
	"net/http"
	"net/netip"
	"sync/atomic"

	"sluice/internal/limit"
	"sluice/upgrade"
)

// SessionCount counts the sessions of a route, from the handshake on. It lives as long
// as the route's identity, across configurations.
type SessionCount struct {
	open    atomic.Int64
	clients *limit.Counts // by address
}

// NewSessionCount returns a count of no sessions.
func NewSessionCount() *SessionCount { return &SessionCount{clients: limit.NewCounts()} }

// resume counts a session of a client that another process has let in.
func (c *SessionCount) resume(client netip.Addr) {
	c.open.Add(1)
	c.clients.Acquire(limit.Key(client), 0)
}

// release counts a session of a client less.
func (c *SessionCount) release(client netip.Addr) {
	c.open.Add(-1)
	c.clients.Release(limit.Key(client))
}

// Admission is how many sessions a route admits.
type Admission struct {
	Sessions      int // open at once; 0 means any number
	SessionsPerIP int // the same of one client address
	HandshakeRate limit.Rate

	Count      *SessionCount
	Handshakes limit.Limiter // for HandshakeRate
}

// Inherit takes over the counts and limiters of the same route in the configuration
// before, or makes new ones if old is nil.
func (a *Admission) Inherit(old *Admission) {
	if old == nil {
		old = &Admission{Count: NewSessionCount()}
	}
	a.Count = old.Count
	a.Handshakes = a.HandshakeRate.Limiter(old.HandshakeRate, old.Handshakes)
}

// limitHandshakes holds the client to the route's rate of handshakes.
func (x *exchange) limitHandshakes() *upgrade.Refusal {
	wait, ok := x.service.Admission.Handshakes.Take(x.clientKey(), x.started)
	if ok {
		return nil
	}
	x.limitHit = "handshake_rate"
	return &upgrade.Refusal{
		Status: http.StatusTooManyRequests,
		Header: http.Header{"Retry-After": {retryAfter(wait)}},
		Reason: "There were too many handshakes from your address.",
		Detail: "limit: the client is over 'handshake_rate'",
	}
}

// seat is one session in the counts: of the gateway, of its route and of its client.
type seat struct {
	server *Server // nil once the seat is given back or taken
	count  *SessionCount
	client netip.Addr
}

// release gives the seat back. It does nothing if that was done, or a session has taken
// it. It may be called on nil.
func (s *seat) release() {
	if s == nil || s.server == nil {
		return
	}
	s.count.release(s.client)
	s.server.sessions.Add(-1)
	s.server = nil
}

// take makes the seat the session's that has begun.
func (s *seat) take() { s.server = nil }

// takeSeat returns a seat for a session, or says why there is none.
func (x *exchange) takeSeat() (*seat, *upgrade.Refusal) {
	full := func(limit string, status int, reason, detail string) (*seat, *upgrade.Refusal) {
		x.limitHit = limit
		return nil, &upgrade.Refusal{
			Status: status, Header: http.Header{"Retry-After": {roomRetryAfter}}, Reason: reason, Detail: "limit: " + detail,
		}
	}
	const noRoom = "There is no room for another session."
	a, s := &x.service.Admission, x.server
	if n := s.sessions.Add(1); x.snap.MaxSessions > 0 && n > int64(x.snap.MaxSessions) {
		s.sessions.Add(-1)
		return full("max_sessions", http.StatusServiceUnavailable, noRoom, "there are 'max_sessions' open")
	}
	if n := a.Count.open.Add(1); a.Sessions > 0 && n > int64(a.Sessions) {
		a.Count.open.Add(-1)
		s.sessions.Add(-1)
		return full("sessions", http.StatusServiceUnavailable, noRoom, "the route has 'sessions' open")
	}
	if !a.Count.clients.Acquire(x.clientKey(), a.SessionsPerIP) {
		a.Count.open.Add(-1)
		s.sessions.Add(-1)
		return full("sessions_per_ip", http.StatusTooManyRequests, "There are too many sessions from your address.", "the client has 'sessions_per_ip' open")
	}
	return &seat{s, a.Count, x.origin.Client}, nil
}
