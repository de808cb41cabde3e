package serve

import (
	"errors"
	"net/http"

	"sluice/internal/message"
	"sluice/proxy/backend"
	"sluice/proxy/forward"
)

// forward sends a plain request to the backend, and to the next endpoint where one fails
// and nothing is lost.
func (x *exchange) forward(path string) {
	t := x.chooseTarget()
	a := x.attempts(t, backend.Requests)
	x.dropEmptyBody()
	if send := x.service.Mirror.copy(x, path); send != nil {
		defer send()
	}
	x.forwardTo(t, &a, path)
}

// forwardTo sends the request to one endpoint after the other.
func (x *exchange) forwardTo(t *Target, a *attempts, path string) {
	repeatable := isRepeatable(&x.r)
	var result forward.Result
	_, err := a.run(x.r.Context(), func(l *backend.Lease) attemptResult {
		x.noteEndpoint(l)
		x.stickTo(l, t, a.need.Sticky)
		e := x.outgoing(l, path)
		if x.trace.Sampled() {
			e.Connected = x.trace.Connected
			x.beginTry(a, l)
			defer x.endTry(0, nil) // if a panic cuts the answer: a copy of the request may be sent next
		}
		if repeatable && t.TryTimeout > 0 && !l.Final() {
			e.Response = min(e.Response, t.TryTimeout)
		}
		result = e.Do(x.answer, &x.r)
		x.record.In = result.In
		x.endTry(result.Status, result.Err)
		if x.r.Context().Err() != nil {
			return attemptResult{status: unknown}
		}
		return t.judge(&result, repeatable)
	})
	x.noteWait(a)
	switch {
	case err != nil:
		x.failRequest(err)
	case result.Err != nil:
		x.failForwarded(&result)
	}
}

// outgoing returns the exchange with an endpoint.
func (x *exchange) outgoing(l *backend.Lease, path string) forward.Exchange {
	e := x.service.Forward // a copy
	e.Backend, e.Path, e.Origin, e.ID = l, path, &x.origin, x.record.ID
	e.Via, e.Edit = x.snap.Via, x.methods.editRequestHeader
	return e
}

// judge returns how an endpoint has served a request.
func (t *Target) judge(r *forward.Result, repeatable bool) attemptResult {
	if r.Err == nil {
		return attemptResult{status: served, err: t.checkStatus(r.Status)}
	}
	var e *forward.Error
	switch fromBackend := errors.As(r.Err, &e) && !e.Client; {
	case isLost(r, repeatable && fromBackend):
		return attemptResult{status: lost, err: r.Err}
	case fromBackend:
		return attemptResult{status: failed, err: r.Err}
	}
	return attemptResult{status: unknown}
}

// isLost reports whether a request failed at an endpoint and can go to another one: it
// was not read, or it may be sent twice and was not answered.
func isLost(r *forward.Result, repeatable bool) bool {
	if r.Status != 0 || r.In != 0 || isOurs(r.Err) {
		return false
	}
	return repeatable || isUnreachable(r.Err)
}

// isRepeatable reports whether a request may be sent twice (RFC 9110, section 9.2.2): it
// has no body that would be gone.
func isRepeatable(r *message.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return r.ContentLength == 0
	}
	return false
}

// dropEmptyBody removes the body of a request that announced one over HTTP/2 and then
// sent none, where its method seldom has one: servers of HTTP/1.1 do not expect chunks
// there.
func (x *exchange) dropEmptyBody() {
	if !x.out.HasBody() || !x.out.Multiplexed() || x.r.ContentLength >= 0 {
		return
	}
	switch x.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodDelete:
		if x.out.BodyIsEmpty() {
			x.r.DropBody()
		}
	}
}
