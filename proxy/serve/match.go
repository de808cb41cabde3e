package serve

import (
	"fmt"
	"net/http"
	"strings"

	"sluice/internal/header"
	"sluice/internal/message"
	"sluice/proxy/forward"
	"sluice/proxy/headers"
	"sluice/route"
	"sluice/upgrade"
)

// match finds the route, or answers.
func (x *exchange) match(websocket bool) bool {
	var wrong string
	var err error
	if x.matched, wrong, err = RouteRequest(&x.r, websocket); err != nil {
		x.fail(http.StatusBadRequest, wrong, err)
		return false
	}
	q := &x.matched
	m, miss := x.snap.Routes.Match(q)
	switch miss {
	case route.None:
		x.service, x.rest, x.parts = m.Value, m.Rest, m.Variables
		x.out.SetRate(m.Value.MinRate)
		x.record.Route = m.Value.Group.Name
		return true
	case route.MethodNotAllowed:
		if x.preflight(q) {
			return false
		}
		x.answer.Header().Set("Allow", x.allowedMethods(q))
		x.fail(StatusOf(miss), "This method is not allowed here.", nil)
	case route.UpgradeRequired:
		x.refuse(upgrade.UpgradeRequired("Only WebSocket handshakes are answered here."))
	default:
		x.fail(StatusOf(miss), "No route serves this host and path.", nil)
	}
	return false
}

// StatusOf returns the status of the answer to a request that no route matches.
func StatusOf(miss route.Miss) int {
	switch miss {
	case route.MethodNotAllowed:
		return http.StatusMethodNotAllowed
	case route.UpgradeRequired:
		return http.StatusUpgradeRequired
	}
	return http.StatusNotFound
}

// RouteRequest returns r as routes match it. If it is malformed, wrong says so in a
// sentence for the client.
func RouteRequest(r *message.Request, websocket bool) (q route.Request, wrong string, err error) {
	q = route.Request{Method: r.Method, Query: r.RawQuery, Header: r.Header, WebSocket: websocket}
	if q.Host, err = route.CleanHost(r.Host); err != nil {
		return q, "The Host header is not a host.", err
	}
	if q.Path, err = route.Clean(r.Path); err != nil {
		return q, "The path is malformed.", err
	}
	return q, "", nil
}

// preflight answers a CORS preflight request for a method that a route has, where no
// route has the method OPTIONS itself.
func (x *exchange) preflight(q *route.Request) bool {
	method := x.r.Header.Get(header.AccessControlRequestMethod)
	if q.Method != http.MethodOptions || method == "" {
		return false
	}
	q.Method = method
	m, miss := x.snap.Routes.Match(q)
	q.Method = http.MethodOptions
	if miss != route.None || m.Value.CORS == nil {
		return false
	}
	x.record.Route = m.Value.Group.Name
	return m.Value.CORS.Preflight(x.out, &x.r)
}

// rewritten returns the path for the backend or the files, and notes what of it was stripped.
func (x *exchange) rewritten() string {
	x.origin.Stripped = x.service.Rewrite.Stripped()
	return x.service.Rewrite.Path(x.matched.Path, x.rest, x.parts)
}

// dispatch hands the request to what its route says.
func (x *exchange) dispatch(websocket bool) {
	path := x.rewritten()
	if websocket && x.service.Targets != nil {
		x.handshake(path)
		return
	}
	if x.service.CORS != nil && x.service.CORS.Preflight(x.out, &x.r) {
		return
	}
	if x.service.Compress != nil {
		compressed, finish := x.service.Compress.Wrap(x.out, &x.r)
		x.answer.ResponseWriter = compressed
		defer x.finishCompressed(finish)
	}
	switch {
	case x.service.Redirect != nil:
		x.service.Redirect.Serve(x.answer, &x.r, x.rest)
	case x.service.Respond != nil:
		x.service.Respond.Serve(x.answer, &x.r)
	case x.service.Files != nil:
		x.service.Files.Serve(x.answer, &x.r, x.record.ID, path)
	case forward.Last(&x.r):
		x.answerAsLast()
	default:
		x.forward(path)
	}
}

// finishCompressed ends a compressed answer, unless a panic has cut it.
func (x *exchange) finishCompressed(finish func() error) {
	if cause := recover(); cause != nil {
		panic(cause)
	}
	if err := finish(); err != nil {
		x.record.Error = "client: writing the answer: " + err.Error()
		panic(http.ErrAbortHandler)
	}
}

// answerAsLast answers an OPTIONS or TRACE request whose last recipient is this
// gateway (RFC 9110, section 7.6.2).
func (x *exchange) answerAsLast() {
	x.selfAnswered = true
	if x.r.Method == http.MethodOptions {
		x.answer.Header().Set("Allow", x.allowedMethods(&x.matched))
		x.answer.WriteHeader(http.StatusOK)
		return
	}
	h := x.r.Header.Clone()
	x.editRequestHeader(&h)
	headers.StripForwarding(&h)
	b := fmt.Appendf(nil, "TRACE %s %s\r\nHost: %s\r\n", x.r.URI(), x.r.Proto, x.r.Host)
	b = append(h.Append(b), "\r\n"...)
	x.answer.Header().Set("Content-Type", "message/http")
	x.answer.Write(b)
}

// allowedMethods returns the Allow header of an answer to q.
func (x *exchange) allowedMethods(q *route.Request) string {
	return strings.Join(x.snap.Routes.Allowed(q), ", ")
}
