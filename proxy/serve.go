package proxy

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"sluice/internal/telemetry"
	"sluice/internal/wire"
	"sluice/proxy/answer"
	"sluice/proxy/backend"
	"sluice/proxy/forward"
	"sluice/route"
	"sluice/upgrade"
)

// statusGone is logged where the client left before there was an answer.
const statusGone = 499

// exchange is one request on its way through the gateway.
type exchange struct {
	g       *Gateway
	s       *snapshot // loaded once: one consistent world for this request
	svc     *service  // once a route has taken it
	w       *recorder
	r       *http.Request
	path    string // clean
	rest    string // what the '*' of the route's path matched
	started time.Time
	record  telemetry.Request
}

// serve is the way of a request (docs/architecture.md, section 3, from step 3
// on; accept, PROXY header and TLS lie behind it).
func (g *Gateway) serve(l *listener, w http.ResponseWriter, r *http.Request) {
	s := g.current.Load()
	x := &exchange{
		g: g, s: s, r: r, w: &recorder{ResponseWriter: w}, started: time.Now(),
		record: telemetry.Request{Exchange: &telemetry.Exchange{
			ID: rand.Uint64(), Client: client(r), Method: r.Method, Host: r.Host, Proto: r.Proto,
		}},
	}
	defer x.log()
	if l.settings.Load().redirectHTTPS {
		x.redirectHTTPS()
		return
	}
	websocket := upgrade.Wanted(r)
	if x.match(websocket) {
		x.dispatch(websocket)
	}
}

// client returns the address a request came from.
func client(r *http.Request) netip.Addr {
	if c, ok := r.Context().Value(wireKey{}).(*wire.Conn); ok {
		return c.Peer().Addr()
	}
	return netip.Addr{}
}

// match finds the route, or answers.
func (x *exchange) match(websocket bool) bool {
	host, err := route.CleanHost(x.r.Host)
	if err != nil {
		x.fail(http.StatusBadRequest, "The Host header is not a host.", err)
		return false
	}
	if x.path, err = route.Clean(x.r.URL.EscapedPath()); err != nil {
		x.fail(http.StatusBadRequest, "The path is malformed.", err)
		return false
	}
	q := &route.Request{
		Method: x.r.Method, Host: host, Path: x.path, Query: x.r.URL.RawQuery,
		Header: x.r.Header, WebSocket: websocket,
	}
	m, miss := x.s.routes.Match(q)
	switch miss {
	case route.None:
		x.svc, x.rest = m.Value, m.Rest
		x.w.edit = &m.Value.response
		x.record.Route = m.Value.group.Name
		return true
	case route.MethodNotAllowed:
		x.w.Header().Set("Allow", strings.Join(x.s.routes.Allowed(q), ", "))
		x.fail(http.StatusMethodNotAllowed, "This method is not allowed here.", nil)
	case route.UpgradeRequired:
		x.refuse(upgrade.UpgradeRequired("Only WebSocket handshakes are answered here."))
	default:
		x.fail(http.StatusNotFound, "No route serves this host and path.", nil)
	}
	return false
}

// dispatch hands the request to what its route says.
func (x *exchange) dispatch(websocket bool) {
	path := x.svc.rewrite.Path(x.path, x.rest)
	switch {
	case x.svc.redirect != nil:
		x.svc.redirect.Serve(x.w, x.r, x.rest)
	case x.svc.respond != nil:
		x.svc.respond.ServeHTTP(x.w, x.r)
	case x.svc.files != nil:
		x.svc.files.Serve(x.w, x.r, telemetry.ID(x.record.ID), path)
	case websocket:
		x.session(path)
	default:
		x.forward(path)
	}
}

// forward sends a plain request to the backend.
func (x *exchange) forward(path string) {
	var tried backend.Tried
	for {
		lease, err := x.svc.pool.Acquire(&tried)
		if err != nil {
			x.failBackend(err)
			return
		}
		x.record.Backend, x.record.Endpoint = lease.Backend(), lease.Endpoint()
		e := forward.Exchange{Backend: lease, Path: path, Edit: x.svc.request.apply}
		result := e.Do(x.w, x.r)
		x.record.In = result.In
		if unreachable(result.Err) && result.In == 0 && x.r.Context().Err() == nil {
			// Nothing of the request was read: it can go elsewhere.
			lease.Fail(&tried, result.Err)
			continue
		}
		lease.Release()
		x.finish(&result)
		return
	}
}

// finish answers for an exchange that failed, or cuts one that was under way.
func (x *exchange) finish(result *forward.Result) {
	var e *forward.Error
	switch {
	case result.Err == nil:
	case result.Status != 0:
		x.record.Error = result.Err.Error()
		panic(http.ErrAbortHandler)
	case !errors.As(result.Err, &e) || !e.Client:
		x.failBackend(result.Err)
	case x.r.Context().Err() != nil:
		x.gone(result.Err)
	default:
		x.fail(http.StatusBadRequest, "The request's body could not be read.", result.Err)
	}
}

// redirectHTTPS answers a plain request with the same URL over TLS.
func (x *exchange) redirectHTTPS() {
	host, err := route.CleanHost(x.r.Host)
	if err != nil || host == "" {
		x.fail(http.StatusBadRequest, "The Host header is not a host.", err)
		return
	}
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		host = "[" + host + "]"
	}
	if x.s.httpsPort != "443" {
		host += ":" + x.s.httpsPort
	}
	to := url.URL{Scheme: "https", Host: host, Path: x.r.URL.Path, RawPath: x.r.URL.RawPath, RawQuery: x.r.URL.RawQuery}
	x.w.Header()["Location"] = []string{to.String()}
	x.w.WriteHeader(http.StatusPermanentRedirect)
}

// refuse answers a handshake that is not let through.
func (x *exchange) refuse(r *upgrade.Refusal) {
	for name, values := range r.Header {
		x.w.Header()[name] = values
	}
	x.fail(r.Status, r.Reason, nil)
}

// failBackend answers for a backend that could not be reached or is broken.
func (x *exchange) failBackend(err error) {
	if isTimeout(err) {
		x.fail(http.StatusGatewayTimeout, "The backend did not answer in time.", err)
		return
	}
	x.fail(http.StatusBadGateway, "The backend could not be reached or did not answer properly.", err)
}

// fail answers with an error of the gateway's own: detail is for the client,
// err for the log.
func (x *exchange) fail(status int, detail string, err error) {
	x.record.Error = detail
	if err != nil {
		x.record.Error = err.Error()
	}
	answer.Error(x.w, x.r, status, telemetry.ID(x.record.ID), detail)
}

// gone gives up a request that nobody waits for any more.
func (x *exchange) gone(err error) {
	x.record.Error = err.Error()
	x.w.status = statusGone
	panic(http.ErrAbortHandler)
}

// log writes the record of a request that did not become a session.
func (x *exchange) log() {
	if !x.s.access || x.w.taken {
		return
	}
	x.record.Status, x.record.Out = x.w.status, x.w.written
	x.record.Duration = time.Since(x.started)
	x.record.URI = telemetry.Redact(x.r.URL.RequestURI(), x.s.redact)
	x.record.Log(&x.s.log)
}

func unreachable(err error) bool {
	var d *backend.DialError
	return errors.As(err, &d)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
