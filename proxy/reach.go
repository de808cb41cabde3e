package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"

	"sluice/internal/limit"
	"sluice/proxy/backend"
	"sluice/proxy/forward"
	"sluice/upgrade"
)

var (
	// errSlowTry is an endpoint that took so long that another one is asked.
	errSlowTry = &timeoutError{"no answer within try_timeout"}
	// errStatus is an answer that the backend's settings count as a failure.
	errStatus = errors.New("the status of the answer is among 'statuses'")
)

// offer reaches an endpoint that answers the handshake, the next one where one
// does not (step 6 and 7). What it returns is the caller's.
func (x *exchange) offer(ctx context.Context, q *upgrade.Request) (*upstream, *upgrade.Answer, error) {
	s := x.choose()
	need := x.need(s, backend.Sessions)
	tried := x.tried()
	for {
		lease, err := s.pool.Acquire(ctx, need, &tried)
		if err != nil {
			return nil, nil, err
		}
		x.use(lease, s, need.Sticky)
		up, a, err := x.ask(ctx, s, lease, q)
		if err == nil {
			lease.Report(&tried, s.verdict(a.Status))
			return up, a, nil
		}
		if x.r.Context().Err() != nil || errors.Is(context.Cause(ctx), errGone) {
			lease.Release() // which says nothing about the endpoint
			return nil, nil, err
		}
		lease.Fail(&tried, err)
		if ctx.Err() != nil || helpless(err) || !unanswered(err) {
			return nil, nil, err
		}
	}
}

// tried returns what the request has tried before it begins: nothing.
func (x *exchange) tried() backend.Tried {
	return backend.Tried{Began: x.started, From: limit.Key(x.origin.Client)}
}

// ask offers the handshake to one endpoint. After an error the lease is still
// the caller's.
func (x *exchange) ask(ctx context.Context, s *supply, l *backend.Lease, q *upgrade.Request) (*upstream, *upgrade.Answer, error) {
	up := &upstream{lease: l}
	defer up.abandon() // in a panic
	if s.tryTimeout > 0 && !l.Final() {
		timed, stop := context.WithTimeoutCause(ctx, s.tryTimeout, errSlowTry)
		defer stop()
		ctx = timed
	}
	conn, a, err := offer(ctx, l, q)
	up.take()
	if err != nil {
		if !unreachable(err) {
			err = fmt.Errorf("backend %s: endpoint %s: %w", l.Backend(), l.Endpoint(), err)
		}
		return nil, nil, err
	}
	return &upstream{l, conn}, a, nil
}

// offer offers the handshake over HTTP/2 where that can be, else over HTTP/1.1.
func offer(ctx context.Context, l *backend.Lease, q *upgrade.Request) (net.Conn, *upgrade.Answer, error) {
	conn, a, err := upgrade.OfferStream(ctx, l.Stream, q)
	if !errors.Is(err, backend.ErrNoStreams) {
		return conn, a, err
	}
	if conn, err = l.Dial(ctx); err != nil {
		return nil, nil, err
	}
	if a, err = upgrade.Offer(ctx, conn, q); err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, a, nil
}

// helpless reports whether a try failed for want of something here that no
// other endpoint gives.
func helpless(err error) bool {
	short := backend.ShortageOf(err)
	return short != 0 && short != limit.NoPorts
}

// unanswered reports whether a handshake failed at an endpoint that had not
// begun to answer.
func unanswered(err error) bool {
	var none *upgrade.Unanswered
	return unreachable(err) || errors.As(err, &none)
}

// forward sends a plain request to the backend, and to the next endpoint where
// one fails and nothing is lost.
func (x *exchange) forward(path string) {
	s := x.choose()
	need := x.need(s, backend.Requests)
	tried := x.tried()
	x.dropEmptyBody()
	again := idempotent(x.r)
	if send := x.svc.mirror.copy(x, path); send != nil {
		defer send()
	}
	for {
		lease, err := s.pool.Acquire(x.r.Context(), need, &tried)
		if err != nil {
			x.failRequest(err)
			return
		}
		defer lease.Release()
		x.use(lease, s, need.Sticky)
		e := x.svc.exchange // a copy
		e.Backend, e.Path, e.Origin, e.ID = lease, path, &x.origin, x.record.ID
		e.Via, e.Edit = x.s.via, x.edit
		if again && s.tryTimeout > 0 && !lease.Final() {
			e.Response = min(e.Response, s.tryTimeout)
		}
		result := e.Do(x.w, x.r)
		x.record.In = result.In
		if x.r.Context().Err() == nil && lost(&result, again) {
			lease.Fail(&tried, result.Err)
			continue
		}
		if x.r.Context().Err() == nil {
			s.judge(lease, &tried, &result)
		}
		x.finish(&result)
		return
	}
}

// dropEmptyBody makes a request that announced a body over HTTP/2, and then sent
// none, one without a body, where its method seldom has one: servers of
// HTTP/1.1 do not expect chunks there.
func (x *exchange) dropEmptyBody() {
	if x.body == nil || !x.body.streams || x.r.ContentLength >= 0 {
		return
	}
	switch x.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodDelete:
		if x.body.empty() {
			x.r.Body, x.r.ContentLength = http.NoBody, 0
		}
	}
}

// lost reports whether a request failed at an endpoint and can go to another
// one: nothing of it was read or, where it may be sent twice, nothing answered.
func lost(r *forward.Result, again bool) bool {
	var e *forward.Error
	switch {
	case r.Err == nil || r.Status != 0 || r.In != 0 || helpless(r.Err):
		return false
	case unreachable(r.Err):
		return true
	}
	return again && errors.As(r.Err, &e) && !e.Client
}

// judge reports how an endpoint has served a request.
func (s *supply) judge(l *backend.Lease, t *backend.Tried, r *forward.Result) {
	var e *forward.Error
	switch {
	case r.Err == nil:
		l.Report(t, s.verdict(r.Status))
	case errors.As(r.Err, &e) && !e.Client:
		l.Report(t, r.Err)
	}
}

// verdict returns what is wrong with an answer of that status, if anything is.
func (s *supply) verdict(status int) error {
	if slices.Contains(s.failures, status) {
		return errStatus
	}
	return nil
}

// idempotent reports whether a request may be sent twice (RFC 9110, section
// 9.2.2), having no body that would be gone.
func idempotent(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return r.ContentLength == 0
	}
	return false
}
