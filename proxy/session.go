package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"sluice/proxy/backend"
	"sluice/proxy/forward"
	"sluice/upgrade"
)

// watchInterval is how often a slow handshake looks whether its client is
// still there: net/http stops looking once the client has sent a byte more.
const watchInterval = 250 * time.Millisecond

var (
	errGone = errors.New("client: the connection was closed during the handshake")
	errSlow = &timeoutError{"backend: no answer to the handshake in time"}
)

// timeoutError is an error that isTimeout knows.
type timeoutError struct{ text string }

func (e *timeoutError) Error() string { return e.text }
func (e *timeoutError) Timeout() bool { return true }

// session turns a handshake into a session (docs/architecture.md, section 3,
// steps 5 to 10).
func (x *exchange) session(path string) {
	x.g.handshakes.Add(1)
	defer x.g.handshakes.Done()
	q, refusal := x.check(path) // 5
	var place *seat
	if refusal == nil {
		place, refusal = x.admitSession()
	}
	if refusal != nil {
		x.refuse(refusal)
		return
	}
	defer place.leave() // does nothing once joined
	ctx, cancel := x.handshakeContext()
	defer cancel(nil)
	up, a, err := x.offer(ctx, q) // 6 and 7
	if err != nil {
		x.failHandshake(ctx, err)
		return
	}
	defer up.abandon() // does nothing once joined
	if x.s.via {
		forward.AddVia(a.Header, 1, 1)
	}
	client := upgrade.NewHTTP1(x.w, q)
	if a.Status != http.StatusSwitchingProtocols {
		stop := context.AfterFunc(x.r.Context(), func() { up.conn.Close() })
		defer stop()
		if err := client.Refuse(a); err != nil {
			x.record.Error = err.Error()
			panic(http.ErrAbortHandler)
		}
		return
	}
	x.dress(a.Header, a.Status)
	if x.left() {
		x.gone(errGone)
	}
	x.sent.taken = true
	side, err := client.Accept(a) // 8
	if err != nil {
		x.sent.taken = false
		x.gone(err)
	}
	x.join(place, up, side, a) // 9
}

// upstream is an endpoint that has answered a handshake.
type upstream struct {
	lease *backend.Lease
	conn  net.Conn // nil until it has answered
}

// take makes the lease and the connection the caller's.
func (u *upstream) take() *backend.Lease {
	l := u.lease
	u.lease = nil
	return l
}

// abandon closes the connection and gives the endpoint back, unless they were
// taken.
func (u *upstream) abandon() {
	if u.lease == nil {
		return
	}
	if u.conn != nil {
		u.conn.Close()
	}
	u.lease.Release()
}

// check reads the handshake and applies the route's policy.
func (x *exchange) check(path string) (*upgrade.Request, *upgrade.Refusal) {
	if x.g.draining.Load() {
		return nil, &upgrade.Refusal{
			Status: http.StatusServiceUnavailable,
			Header: http.Header{"Retry-After": {"1"}, "Connection": {"close"}},
			Reason: "The gateway is shutting down.",
		}
	}
	if refusal := x.paceHandshakes(); refusal != nil {
		return nil, refusal
	}
	q, refusal := upgrade.Check(x.r)
	if refusal == nil {
		refusal = x.svc.policy.Apply(q, upgrade.Site{Host: x.origin.Host, Port: x.origin.ProxyPort, Secure: x.origin.Proto == "https"})
	}
	if refusal != nil {
		return nil, refusal
	}
	q.Path = withQuery(path, x.r.URL)
	x.origin.Set(q.Header)
	q.Header["X-Request-Id"] = []string{x.record.ID}
	if x.s.via {
		forward.AddVia(q.Header, x.r.ProtoMajor, x.r.ProtoMinor)
	}
	x.edit(q.Header)
	if host := q.Header.Get("Host"); host != "" {
		q.Host = host
		q.Header.Del("Host")
	}
	return q, nil
}

// handshakeContext ends with the route's timeout, and when the client leaves.
func (x *exchange) handshakeContext() (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(x.r.Context())
	end := x.started.Add(x.svc.handshakeTimeout)
	var mu sync.Mutex // orders the making of watch before its use
	mu.Lock()
	defer mu.Unlock()
	var watch *time.Timer
	watch = time.AfterFunc(min(watchInterval, x.svc.handshakeTimeout), func() {
		mu.Lock()
		defer mu.Unlock()
		left := time.Until(end)
		switch {
		case left <= 0:
			cancel(errSlow)
		case x.left():
			cancel(errGone)
		case ctx.Err() == nil:
			watch.Reset(min(watchInterval, left))
		}
	})
	return ctx, func(cause error) {
		watch.Stop()
		cancel(cause)
	}
}

// left reports whether the client has closed its connection.
func (x *exchange) left() bool { return x.client.wire.Gone() }

// failHandshake answers for a handshake that the backend did not answer.
func (x *exchange) failHandshake(ctx context.Context, err error) {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		x.failBackend(err)
	case errors.Is(cause, errGone) || x.r.Context().Err() != nil:
		x.gone(errGone)
	default:
		x.failBackend(cause)
	}
}
