package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"sluice/internal/limit"
	"sluice/internal/telemetry"
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
	client  *connection
	r       *http.Request
	body    *clientBody // of r; nil without one
	origin  forward.Origin
	host    string // clean, without its port
	path    string // clean
	rest    string // what the '*' of the route's path matched
	own     bool   // the answer is the gateway's own
	through bool   // the handler came to its end
	silent  bool   // no record is written
	short   bool   // it failed by a shortage, which has a record of its own
	started time.Time
	number  uint64        // of the session it may become
	room    limit.Reading // that it was let in by
	cookies []kept        // for the client, with a backend's answer
	record  telemetry.Request
}

// serve is the way of a request (docs/architecture.md, section 3, from step 3
// on; accept, PROXY header and TLS lie behind it).
func (g *Gateway) serve(l *listener, w http.ResponseWriter, r *http.Request) {
	if connectionOf(r).wire.Ended() { // what looks like a request is the rest of the one before
		panic(http.ErrAbortHandler)
	}
	x := g.newExchange(w, r)
	defer x.end()
	if x.enter() {
		defer x.leave()
		x.serve(l.settings.Load())
	}
	x.through = true
}

func (x *exchange) serve(how *settings) {
	r := x.r
	if status, wrong := forward.Screen(r, how.maxHeader); wrong != "" {
		x.sent.last = r.ProtoMajor == 1 // who knows what the client takes for its next request
		x.fail(status, wrong, nil)
		return
	}
	if store := x.s.store; store != nil && !how.tls && store.Challenge(x.w, r) {
		return
	}
	if r.RequestURI == "*" { // asks whether the server is there (RFC 9110, section 9.3.7); no route does
		x.silent = true
		x.w.WriteHeader(http.StatusOK)
		return
	}
	if x.misdirected() {
		x.fail(http.StatusMisdirectedRequest, "This connection is for another host.", nil)
		return
	}
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
	x.client = connectionOf(r)
	control := http.NewResponseController(w)
	x.body = newClientBody(r, x.client, control)
	x.sent = &recorder{
		ResponseWriter: w, control: control, client: x.client, body: x.body,
		rate: defaultRate, streams: r.ProtoMajor > 1, last: forward.Ambiguous(r),
	}
	x.client.began(r)
	if r.ProtoMajor == 1 {
		x.sent.begin() // the request before may have left its own
	}
	x.w = &dresser{ResponseWriter: x.sent, dress: x.dress}
	x.origin = forward.NewOrigin(r, x.client.wire.Peer().Addr(), x.s.believes(x.client.wire), x.s.trusts)
	id := x.origin.ID
	if id == "" {
		id = requestID(x.number)
	}
	x.record.Exchange = &telemetry.Exchange{
		ID: id, Client: x.origin.Client, Method: r.Method, Host: r.Host, Proto: r.Proto,
	}
	return x
}

// misdirected reports whether the request is for another host than the TLS
// connection, and the connection's certificate not for both: then the client
// has to come again on a connection for this host (RFC 9110, section 15.5.20).
func (x *exchange) misdirected() bool {
	if x.r.TLS == nil || x.r.TLS.ServerName == "" || x.s.store == nil {
		return false
	}
	host, err := route.CleanHost(x.r.Host)
	name := strings.TrimSuffix(strings.ToLower(x.r.TLS.ServerName), ".")
	return err == nil && host != "" && host != name && !x.s.store.Covers(name, host)
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
		x.w.Header().Set("Retry-After", retryAfter(wait))
		x.fail(http.StatusTooManyRequests, "There were too many requests from your address.", nil)
	}
	return ok
}

// match finds the route, or answers.
func (x *exchange) match(websocket bool) bool {
	var err error
	if x.host, err = route.CleanHost(x.r.Host); err != nil {
		x.fail(http.StatusBadRequest, "The Host header is not a host.", err)
		return false
	}
	if x.path, err = route.Clean(rawPath(x.r.URL)); err != nil {
		x.fail(http.StatusBadRequest, "The path is malformed.", err)
		return false
	}
	q := x.question(websocket)
	m, miss := x.s.routes.Match(q)
	switch miss {
	case route.None:
		x.svc, x.rest = m.Value, m.Rest
		x.hold(m.Value.minRate)
		x.record.Route = m.Value.group.Name
		return true
	case route.MethodNotAllowed:
		if x.preflight(q) {
			return false
		}
		x.w.Header().Set("Allow", x.allow(q))
		x.fail(http.StatusMethodNotAllowed, "This method is not allowed here.", nil)
	case route.UpgradeRequired:
		x.refuse(upgrade.UpgradeRequired("Only WebSocket handshakes are answered here."))
	default:
		x.fail(http.StatusNotFound, "No route serves this host and path.", nil)
	}
	return false
}

// question is what the routes are asked.
func (x *exchange) question(websocket bool) *route.Request {
	return &route.Request{
		Method: x.r.Method, Host: x.host, Path: x.path, Query: x.r.URL.RawQuery,
		Header: x.r.Header, WebSocket: websocket,
	}
}

// rawPath returns the path of u as it was sent. URL.EscapedPath would make one
// anew from the decoded path where the client's is not quite valid, and a %2F
// in it would split.
func rawPath(u *url.URL) string {
	switch {
	case u.RawPath != "":
		return u.RawPath
	case u.Path == "": // of a URL that ends with its host
		return "/"
	}
	return u.EscapedPath()
}

// withQuery returns an escaped path with the query of u.
func withQuery(path string, u *url.URL) string {
	if u.RawQuery != "" || u.ForceQuery {
		return path + "?" + u.RawQuery
	}
	return path
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
	if websocket && x.svc.shares != nil {
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
	case forward.Last(x.r):
		x.answerLast()
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

// hold has the client take the answer, and send the body, at a rate at least.
func (x *exchange) hold(rate float64) {
	x.sent.rate = rate
	if x.body != nil {
		x.body.credit.rate = rate
	}
}

// end is called when the handler is through, or was cut.
func (x *exchange) end() {
	if !x.sent.taken {
		x.sent.end()
		x.body.drainRest(x.sent.control, !x.through || x.sent.Header().Get("Connection") == "close")
	}
	if x.r.ProtoMajor == 2 && x.r.Context().Err() != nil {
		x.client.giveUp()
	}
	x.log()
}

// log writes the record of a request that did not become a session. What the
// gateway itself could not do is a warning, and said even without access logs,
// unless it was for a shortage, which is met by all requests alike.
func (x *exchange) log() {
	failed := x.own && x.sent.status >= 500 && !x.short
	if x.sent.taken || x.silent || !x.s.access && !failed {
		return
	}
	x.record.Status, x.record.Out = x.sent.status, x.sent.written
	x.record.Duration = time.Since(x.started)
	x.record.URI = telemetry.Redact(x.r.URL.RequestURI(), x.s.redact)
	level := zerolog.InfoLevel
	if failed {
		level = zerolog.WarnLevel
	}
	x.record.Log(x.s.log.WithLevel(level))
}
