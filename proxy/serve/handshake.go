package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"sluice/internal/header"
	"sluice/internal/wire"
	"sluice/proxy/backend"
	"sluice/proxy/forward"
	"sluice/upgrade"
)

// pollInterval is how often a slow handshake checks whether its client is still there:
// net/http stops checking once the client has sent a byte more.
const pollInterval = 250 * time.Millisecond

var (
	errClientGone = errors.New("client: the connection was closed during the handshake")
	errSlow       = &timeoutError{"backend: no answer to the handshake in time"}
	errSlowTry    = &timeoutError{"no answer within try_timeout"} // another endpoint is asked
)

// handshake turns a request into a session (docs/architecture.md, section 3, steps 5 to
// 9).
func (x *exchange) handshake(path string) {
	x.server.handshakes.begin()
	defer x.server.handshakes.end()
	q, refusal := x.check() // 5
	if refusal != nil {
		x.refuse(refusal)
		return
	}
	seat, refusal := x.takeSeat()
	if refusal != nil {
		x.refuse(refusal)
		return
	}
	defer seat.release() // does nothing once joined
	ctx, cancel := x.handshakeContext()
	defer cancel(nil)
	x.prepare(q, path)
	a := x.attempts(x.chooseTarget(), backend.Sessions)
	x.offer(ctx, q, seat, &a)
}

// offer offers the handshake to one endpoint after the other, and makes it a session or
// answers.
func (x *exchange) offer(ctx context.Context, q *upgrade.Request, seat *seat, a *attempts) {
	up, err := x.reach(ctx, q, a) // 6 and 7
	if err != nil {
		x.failHandshake(ctx, err)
		return
	}
	defer up.release() // does nothing once joined
	client := upgrade.NewHTTP1Client(x.answer, q)
	if !up.accepted() {
		x.passOn(up, client)
		return
	}
	side := x.accept(up, client) // 8
	x.join(seat, up, side)       // 9
}

// check reads the handshake, unless the gateway stops or the client is over a rate, and
// applies the route's policy.
func (x *exchange) check() (*upgrade.Request, *upgrade.Refusal) {
	if x.server.Stopping.Err() != nil {
		return nil, &upgrade.Refusal{
			Status: http.StatusServiceUnavailable,
			Header: http.Header{"Retry-After": {"1"}, "Connection": {"close"}},
			Reason: "The gateway is shutting down.",
		}
	}
	if refusal := x.limitHandshakes(); refusal != nil {
		return nil, refusal
	}
	q, refusal := upgrade.Check(&x.r)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := x.service.Policy.Apply(q, x.site()); refusal != nil {
		return nil, refusal
	}
	return q, nil
}

// site returns what the client has connected to.
func (x *exchange) site() upgrade.Site {
	return upgrade.Site{Host: x.origin.Host, Port: x.origin.ProxyPort, Secure: x.overTLS()}
}

// prepare makes the handshake the one for the backend, with that path.
func (x *exchange) prepare(q *upgrade.Request, path string) {
	q.Path = x.r.WithQuery(path)
	x.origin.Set(&q.Header)
	q.Header.Set(header.XRequestID, x.record.ID)
	if x.snap.Via {
		forward.AddVia(&q.Header, x.r.ProtoMajor, x.r.ProtoMinor)
	}
	x.editRequestHeader(&q.Header)
	if host := q.Header.Get(header.Host); host != "" {
		q.Host = host
		q.Header.Del(header.Host)
	}
}

// handshakeContext returns a context that ends with the route's timeout, or when the
// client leaves.
func (x *exchange) handshakeContext() (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(x.r.Context())
	end := x.started.Add(x.service.HandshakeTimeout)
	var mu sync.Mutex // the function waits with it until poll is set
	mu.Lock()
	defer mu.Unlock()
	var poll *time.Timer
	poll = time.AfterFunc(min(pollInterval, x.service.HandshakeTimeout), func() {
		mu.Lock()
		defer mu.Unlock()
		left := time.Until(end)
		switch {
		case left <= 0:
			cancel(errSlow)
		case x.clientGone():
			cancel(errClientGone)
		case ctx.Err() == nil:
			poll.Reset(min(pollInterval, left))
		}
	})
	return ctx, func(cause error) {
		poll.Stop()
		cancel(cause)
	}
}

// clientGone reports whether the client has closed its connection.
func (x *exchange) clientGone() bool { return x.conn.Gone() }

// upstream is an endpoint that has answered a handshake: its lease, its connection and
// the answer.
type upstream struct {
	lease  *backend.Lease // nil once released or taken
	conn   net.Conn
	answer *upgrade.Answer
}

// accepted reports whether the endpoint has agreed to the handshake.
func (u *upstream) accepted() bool { return u.answer.Status == http.StatusSwitchingProtocols }

// release closes the connection and releases the lease. It does nothing if that was
// done, or a session has taken them.
func (u *upstream) release() {
	if u.lease == nil {
		return
	}
	u.conn.Close()
	u.lease.Release()
	u.lease = nil
}

// take makes the lease and the connection the session's that has begun, and returns the lease.
func (u *upstream) take() *backend.Lease {
	l := u.lease
	u.lease = nil
	return l
}

// reach offers the handshake to an endpoint, and to the next one where one does not
// begin to answer. The caller must release what it returns.
func (x *exchange) reach(ctx context.Context, q *upgrade.Request, a *attempts) (up *upstream, err error) {
	t := a.target
	r, err := a.run(ctx, func(l *backend.Lease) attemptResult {
		x.noteEndpoint(l)
		x.beginTry(a, l)
		x.trace.Renew(q.Header)
		conn, answer, err := x.offerInTime(ctx, t.TryTimeout, l, q)
		if err != nil {
			x.endTry(0, err)
			return attemptResult{status: x.blame(ctx, err), err: err}
		}
		x.endTry(answer.Status, nil)
		x.stickTo(l, t, a.need.Sticky)
		up = &upstream{l, conn, answer}
		return attemptResult{status: served, err: t.checkStatus(answer.Status), keep: true}
	})
	x.noteWait(a)
	if err == nil && r.status != served {
		err = r.err
	}
	return up, err
}

// blame returns what a failed offer says about its endpoint.
func (x *exchange) blame(ctx context.Context, err error) attemptStatus {
	switch {
	case x.r.Context().Err() != nil || errors.Is(context.Cause(ctx), errClientGone) || errors.Is(err, upgrade.ErrIgnored):
		return unknown
	case ctx.Err() != nil || isOurs(err) || !isUnanswered(err):
		return failed
	}
	return lost
}

// offerInTime offers the handshake to one endpoint. Unless it is the last one, the
// endpoint must answer within timeout; 0 means no limit.
func (x *exchange) offerInTime(ctx context.Context, timeout time.Duration, l *backend.Lease, q *upgrade.Request) (net.Conn, *upgrade.Answer, error) {
	if timeout > 0 && !l.Final() {
		timed, stop := context.WithTimeoutCause(ctx, timeout, errSlowTry)
		defer stop()
		ctx = timed
	}
	dial := l.Dial
	if x.trace.Sampled() {
		dial = x.noteDial(l)
	}
	conn, answer, err := upgrade.Offer(ctx, l.Stream, dial, q)
	if err != nil && !isUnreachable(err) {
		err = fmt.Errorf("backend %s: endpoint %s: %w", l.Backend(), l.Endpoint(), err)
	}
	return conn, answer, err
}

// isUnanswered reports whether a handshake failed at an endpoint that had not begun to
// answer.
func isUnanswered(err error) bool {
	_, ok := errors.AsType[*upgrade.Unanswered](err)
	return ok || isUnreachable(err)
}

// passOn passes the backend's refusal of a handshake on to the client.
func (x *exchange) passOn(up *upstream, client *upgrade.HTTP1Client) {
	if x.snap.Via {
		forward.AddVia(&up.answer.Header, 1, 1)
	}
	stop := context.AfterFunc(x.r.Context(), func() { up.conn.Close() })
	defer stop()
	if err := client.Refuse(up.answer); err != nil {
		x.record.Error = err.Error()
		panic(http.ErrAbortHandler)
	}
}

// accept takes the client's connection over from HTTP and sends the 101. The connection
// is the caller's.
func (x *exchange) accept(up *upstream, client *upgrade.HTTP1Client) wire.Side {
	if x.snap.Via {
		forward.AddVia(&up.answer.Header, 1, 1)
	}
	x.editResponseHeader(&up.answer.Header, up.answer.Status)
	if x.clientGone() {
		x.abandon(errClientGone)
	}
	x.out.Hijacked = true
	side, err := client.Accept(up.answer)
	if err != nil {
		x.out.Hijacked = false
		x.abandon(err)
	}
	return side
}

// failHandshake answers for a handshake that the backend did not answer.
func (x *exchange) failHandshake(ctx context.Context, err error) {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		x.failBackend(err)
	case errors.Is(cause, errClientGone) || x.r.Context().Err() != nil:
		x.abandon(errClientGone)
	default:
		x.failBackend(cause)
	}
}
