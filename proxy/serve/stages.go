package serve

import (
	"net/http"
	"strings"

	"sluice/internal/httpsyntax"
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
	if x.looped.failed {
		x.goOn()
		return
	}
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
	if store == nil || x.settings.TLS || !strings.HasPrefix(x.r.Path, "/.well-known/") {
		return true
	}
	return !store.Challenge(x.answer, x.r.HTTP())
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
	wrong := x.misdirected()
	if wrong {
		x.fail(http.StatusMisdirectedRequest, "This connection is for another host.", nil)
	}
	return !wrong
}

// misdirected reports whether the request is for another host than the certificate of its TLS
// connection.
func (x *exchange) misdirected() bool {
	if x.r.TLS == nil || x.r.TLS.ServerName == "" || x.snap.Store == nil {
		return false
	}
	host, err := route.CleanHost(x.r.Host)
	name := strings.TrimSuffix(strings.ToLower(x.r.TLS.ServerName), ".")
	return err == nil && host != "" && host != name && !x.snap.Store.Covers(name, host)
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
	if x.counted {
		return true
	}
	wait, ok := x.listener.Requests().Take(x.clientKey(), x.started)
	if !ok {
		x.limitHit = "request_rate"
		x.answer.Header().Set("Retry-After", retryAfter(wait))
		x.fail(http.StatusTooManyRequests, "There were too many requests from your address.", nil)
	}
	return ok
}
