package proxy

import (
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"sluice/config"
	"sluice/internal/limit"
	"sluice/upgrade"
)

// retryRoom is when a client may ask again for what there was no room for, in
// seconds.
const retryRoom = "5"

// seats counts the sessions of a route, from the handshake on. It lives as long
// as the route's identity, across configurations.
type seats struct {
	open    atomic.Int64
	clients *limit.Counts
}

func newSeats() *seats { return &seats{clients: limit.NewCounts()} }

func (s *seats) leave(client netip.Addr) {
	s.open.Add(-1)
	s.clients.Release(limit.Key(client))
}

// admission is how many sessions a route lets in.
type admission struct {
	seats          *seats
	sessions       int // at once; 0 means any number
	sessionsPerIP  int // the same of one client address
	handshakes     *limit.Rates
	handshakesPace pace
}

// admissionOf returns what a route asks for; what counts is taken from the
// route as it was, if there is one.
func admissionOf(c *config.SessionLimits, old *admission) admission {
	a := admission{
		sessions: c.Sessions, sessionsPerIP: c.SessionsPerIP,
		handshakesPace: pace{float64(c.HandshakeRate), c.HandshakeBurst},
	}
	if old == nil {
		old = &admission{seats: newSeats()}
	}
	a.seats = old.seats
	a.handshakes = a.handshakesPace.rates(old.handshakesPace, old.handshakes)
	return a
}

// paceHandshakes holds the client to the route's rate of handshakes.
func (x *exchange) paceHandshakes() *upgrade.Refusal {
	if x.svc.admission.handshakes == nil {
		return nil
	}
	wait, ok := x.svc.admission.handshakes.Take(limit.Key(x.origin.Client), x.started)
	if ok {
		return nil
	}
	return &upgrade.Refusal{
		Status: http.StatusTooManyRequests,
		Header: http.Header{"Retry-After": {retryAfter(wait)}},
		Reason: "There were too many handshakes from your address.",
		Detail: "limit: the client is over 'handshake_rate'",
	}
}

// retryAfter writes a time to wait in whole seconds.
func retryAfter(wait time.Duration) string {
	return strconv.Itoa(int((wait + time.Second - 1) / time.Second))
}

// seat is the place of one session that is to be.
type seat struct {
	x     *exchange
	taken bool // by the session
}

// leave gives the place back, unless a session has taken it.
func (s *seat) leave() {
	if !s.taken {
		s.x.svc.admission.seats.leave(s.x.origin.Client)
		s.x.g.sessions.Add(-1)
	}
}

// admitSession takes a seat for a session that is to be, or says why there is
// none.
func (x *exchange) admitSession() (*seat, *upgrade.Refusal) {
	full := func(status int, reason, detail string) (*seat, *upgrade.Refusal) {
		return nil, &upgrade.Refusal{
			Status: status, Header: http.Header{"Retry-After": {retryRoom}}, Reason: reason, Detail: "limit: " + detail,
		}
	}
	const noRoom = "There is no room for another session."
	if n := x.g.sessions.Add(1); x.s.maxSessions > 0 && n > int64(x.s.maxSessions) {
		x.g.sessions.Add(-1)
		return full(http.StatusServiceUnavailable, noRoom, "there are 'max_sessions' open")
	}
	a := &x.svc.admission
	if n := a.seats.open.Add(1); a.sessions > 0 && n > int64(a.sessions) {
		a.seats.open.Add(-1)
		x.g.sessions.Add(-1)
		return full(http.StatusServiceUnavailable, noRoom, "the route has 'sessions' open")
	}
	if !a.seats.clients.Acquire(limit.Key(x.origin.Client), a.sessionsPerIP) {
		a.seats.open.Add(-1)
		x.g.sessions.Add(-1)
		return full(http.StatusTooManyRequests, "There are too many sessions from your address.", "the client has 'sessions_per_ip' open")
	}
	return &seat{x: x}, nil
}
