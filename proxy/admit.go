package proxy

import (
	"fmt"
	"math"
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

// enter admits the request while the process has room for it, or answers. What
// it takes is given back by leave. One client never gets all of it.
func (x *exchange) enter() bool {
	g := x.g
	x.room = g.room.Take(x.started, g.engine.Memory())
	short, share := x.room.Short, ""
	if short == 0 {
		own := x.room.Requests
		if x.origin.Client.IsValid() {
			own = max(own/2, 1)
		}
		switch {
		case g.requests.Add(1) > x.room.Requests:
			short = x.room.Scarcest
		case !g.clients.Acquire(limit.Key(x.origin.Client), int(min(own, math.MaxInt))):
			short, share = x.room.Scarcest, " for more requests of one address"
		default:
			return true
		}
		g.requests.Add(-1)
		g.room.Give(x.room)
	}
	x.overload(short, share)
	return false
}

func (x *exchange) leave() {
	x.g.room.Give(x.room)
	x.g.requests.Add(-1)
	x.g.clients.Release(limit.Key(x.origin.Client))
}

// overload refuses the request in the cheapest way: without a body, which a
// client could leave where it is.
func (x *exchange) overload(short limit.Shortage, share string) {
	err := fmt.Errorf("limit: the process is short of %s%s", short, share)
	x.g.shortages.met(short, err)
	x.record.Error = err.Error()
	x.own, x.short = true, true
	h := x.w.Header()
	h.Set("Retry-After", retryRoom)
	h.Set("Content-Length", "0")
	x.w.WriteHeader(http.StatusServiceUnavailable)
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
