package serve

import (
	"net/http"
	"strings"

	"sluice/internal/httpsyntax"
	"sluice/internal/message"
	"sluice/proxy/forward"
	"sluice/route"
	"sluice/upgrade"
)

// A stage reports whether the request goes on. If not, the stage has answered it.
type stage func(*exchange) bool

// stages is what every request passes before its route is known.
func stages() [6]stage {
	return [...]stage{
		(*exchange).screen,
		(*exchange).answerChallenge,
		(*exchange).answerServerOptions,
		(*exchange).checkHost,
		(*exchange).redirectHTTPS,
		(*exchange).limitRate,
	}
}

// run passes the request through the stages, finds its route and does what the route
// says.
func (x *exchange) run() {
	for _, passes := range stages() {
		if !passes(x) {
			return
		}
	}
	websocket := upgrade.Wanted(&x.r)
	if x.match(websocket) {
		x.dispatch(websocket)
	}
}

// screen refuses a request that could mean different things to different servers.
func (x *exchange) screen() bool {
	status, wrong := forward.Screen(&x.r, x.settings.MaxHeader)
	if wrong == "" {
		return true
	}
	x.out.CloseAfter = x.r.ProtoMajor == 1 // it is not certain where the next request begins
	x.fail(status, wrong, nil)
	return false
}

// answerChallenge answers the request of a certificate authority (RFC 8555, section 8.3).
func (x *exchange) answerChallenge() bool {
	store := x.snap.Store
	return store == nil || x.settings.TLS || !store.Challenge(x.answer, x.r.HTTP())
}

// answerServerOptions answers "OPTIONS *", which asks whether the server is there (RFC
// 9110, section 9.3.7). No route has it.
func (x *exchange) answerServerOptions() bool {
	if x.r.RequestURI != "*" {
		return true
	}
	x.unlogged = true
	x.answer.WriteHeader(http.StatusOK)
	return false
}

// checkHost refuses a request for another host than that of its TLS connection, unless
// the connection's certificate is for both: the client must use a connection for that
// host (RFC 9110, section 15.5.20).
func (x *exchange) checkHost() bool {
	if x.r.TLS == nil || x.r.TLS.ServerName == "" || x.snap.Store == nil {
		return true
	}
	host, err := route.CleanHost(x.r.Host)
	name := strings.TrimSuffix(strings.ToLower(x.r.TLS.ServerName), ".")
	if err != nil || host == "" || host == name || x.snap.Store.Covers(name, host) {
		return true
	}
	x.fail(http.StatusMisdirectedRequest, "This connection is for another host.", nil)
	return false
}

// redirectHTTPS answers a plain request with the same URL over TLS, where the listener
// asks for that.
func (x *exchange) redirectHTTPS() bool {
	if !x.settings.RedirectHTTPS || x.overTLS() {
		return true
	}
	host, err := route.CleanHost(x.r.Host)
	if err != nil || host == "" {
		x.fail(http.StatusBadRequest, "The Host header is not a host.", err)
		return false
	}
	host = httpsyntax.Bracket(host)
	if x.snap.HTTPSPort != "443" {
		host += ":" + x.snap.HTTPSPort
	}
	path, err := route.Clean(x.r.Path)
	if err != nil {
		x.fail(http.StatusBadRequest, "The path is malformed.", err)
		return false
	}
	x.answer.Header().Set("Location", "https://"+host+x.r.WithQuery(path))
	x.answer.WriteHeader(http.StatusPermanentRedirect)
	return false
}

// limitRate holds the client to the listener's rate of requests.
func (x *exchange) limitRate() bool {
	wait, ok := x.listener.Requests().Take(x.clientKey(), x.started)
	if !ok {
		x.answer.Header().Set("Retry-After", retryAfter(wait))
		x.fail(http.StatusTooManyRequests, "There were too many requests from your address.", nil)
	}
	return ok
}

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
		x.service, x.rest = m.Value, m.Rest
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
	method := x.r.Header.Get("Access-Control-Request-Method")
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

// dispatch hands the request to what its route says.
func (x *exchange) dispatch(websocket bool) {
	path := x.service.Rewrite.Path(x.matched.Path, x.rest)
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
