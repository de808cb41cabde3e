package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"sluice/internal/limit"
	"sluice/internal/telemetry"
	"sluice/internal/wire"
	"sluice/proxy/forward"
	"sluice/route"
	"sluice/upgrade"
)

// exchange is one request on its way through the gateway.
type exchange struct {
	g       *Gateway
	s       *snapshot // loaded once: one consistent world for this request
	svc     *service  // once a route has taken it
	w       *dresser  // for the answer
	sent    *recorder // of it
	r       *http.Request
	origin  forward.Origin
	path    string // clean
	rest    string // what the '*' of the route's path matched
	own     bool   // the answer is the gateway's own
	started time.Time
	number  uint64 // of the session it may become
	record  telemetry.Request
}

// serve is the way of a request (docs/architecture.md, section 3, from step 3
// on; accept, PROXY header and TLS lie behind it).
func (g *Gateway) serve(l *listener, w http.ResponseWriter, r *http.Request) {
	x := g.newExchange(w, r)
	defer x.log()
	if status, wrong := forward.Screen(r); wrong != "" {
		x.fail(status, wrong, nil)
		return
	}
	how := l.settings.Load()
	if how.redirectHTTPS && x.origin.Proto != "https" {
		x.redirectHTTPS()
		return
	}
	if !x.admit(how.requests) {
		return
	}
	websocket := upgrade.Wanted(r)
	if x.match(websocket) {
		x.dispatch(websocket)
	}
}

func (g *Gateway) newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{g: g, s: g.current.Load(), r: r, started: time.Now(), number: rand.Uint64()}
	x.sent = &recorder{ResponseWriter: w}
	x.w = &dresser{ResponseWriter: x.sent, dress: x.dress}
	var peer netip.Addr
	if c, ok := r.Context().Value(wireKey{}).(*wire.Conn); ok {
		peer = c.Peer().Addr()
	}
	x.origin = forward.NewOrigin(r, peer, x.s.trusts)
	id := x.origin.ID
	if id == "" {
		id = requestID(x.number)
	}
	x.record.Exchange = &telemetry.Exchange{
		ID: id, Client: x.origin.Client, Method: r.Method, Host: r.Host, Proto: r.Proto,
	}
	return x
}

// requestID writes a number as 16 hexadecimal digits.
func requestID(n uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return hex.EncodeToString(b[:])
}

// admit holds the client to the listener's rate, or answers.
func (x *exchange) admit(rates *limit.Rates) bool {
	if rates == nil {
		return true
	}
	wait, ok := rates.Take(limit.Key(x.origin.Client), x.started)
	if !ok {
		x.w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
		x.fail(http.StatusTooManyRequests, "There were too many requests from your address.", nil)
	}
	return ok
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
		x.record.Route = m.Value.group.Name
		return true
	case route.MethodNotAllowed:
		if x.preflight(q) {
			return false
		}
		x.w.Header().Set("Allow", strings.Join(x.s.routes.Allowed(q), ", "))
		x.fail(http.StatusMethodNotAllowed, "This method is not allowed here.", nil)
	case route.UpgradeRequired:
		x.refuse(upgrade.UpgradeRequired("Only WebSocket handshakes are answered here."))
	default:
		x.fail(http.StatusNotFound, "No route serves this host and path.", nil)
	}
	return false
}

// preflight answers a CORS preflight request whose own method, OPTIONS, no
// route has, but the method that it asks for has.
func (x *exchange) preflight(q *route.Request) bool {
	asked := x.r.Header.Get("Access-Control-Request-Method")
	if q.Method != http.MethodOptions || asked == "" {
		return false
	}
	q.Method = asked
	m, miss := x.s.routes.Match(q)
	q.Method = http.MethodOptions
	if miss != route.None || m.Value.cors == nil {
		return false
	}
	x.record.Route = m.Value.group.Name
	return m.Value.cors.Preflight(x.sent, x.r)
}

// dispatch hands the request to what its route says.
func (x *exchange) dispatch(websocket bool) {
	path := x.svc.rewrite.Path(x.path, x.rest)
	if websocket && x.svc.pool != nil {
		x.session(path)
		return
	}
	if x.svc.cors != nil && x.svc.cors.Preflight(x.sent, x.r) {
		return
	}
	if x.svc.compress != nil {
		compressed, finish := x.svc.compress.Wrap(x.sent, x.r)
		x.w.ResponseWriter = compressed
		defer x.finishUnlessCut(finish)
	}
	switch {
	case x.svc.redirect != nil:
		x.svc.redirect.Serve(x.w, x.r, x.rest)
	case x.svc.respond != nil:
		x.svc.respond.ServeHTTP(x.w, x.r)
	case x.svc.files != nil:
		x.svc.files.Serve(x.w, x.r, x.record.ID, path)
	default:
		x.forward(path)
	}
}

// finishUnlessCut ends a compressed answer. One that was cut by a panic has to
// stay without its end.
func (x *exchange) finishUnlessCut(finish func() error) {
	if cause := recover(); cause != nil {
		panic(cause)
	}
	if err := finish(); err != nil {
		x.record.Error = "client: writing the answer: " + err.Error()
		panic(http.ErrAbortHandler)
	}
}

// log writes the record of a request that did not become a session.
func (x *exchange) log() {
	if !x.s.access || x.sent.taken {
		return
	}
	x.record.Status, x.record.Out = x.sent.status, x.sent.written
	x.record.Duration = time.Since(x.started)
	x.record.URI = telemetry.Redact(x.r.URL.RequestURI(), x.s.redact)
	x.record.Log(&x.s.log)
}
