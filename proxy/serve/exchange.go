package serve

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"time"

	"github.com/rs/zerolog"

	"sluice/internal/fieldname"
	"sluice/internal/header"
	"sluice/internal/limit"
	"sluice/internal/message"
	"sluice/internal/telemetry"
	"sluice/internal/telemetry/metrics"
	"sluice/internal/tracing"
	"sluice/internal/wire"
	"sluice/proxy/clientio"
	"sluice/proxy/forward"
	"sluice/proxy/headers"
	"sluice/proxy/listen"
	"sluice/route"
	"sluice/upgrade"
)

// exchange is one request on its way through the gateway.
type exchange struct {
	server   *Server
	snap     *Snapshot // read once, as settings: the request sees one configuration
	listener *listen.Listener
	settings listen.Settings // of the listener
	service  *Service        // nil until a route has matched

	r       message.Request
	client  *clientio.Conn
	conn    *wire.Conn       // of the client
	looped  looped           // while a loop has the exchange, and after it has failed there
	out     *clientio.Writer // to the client; what sets its own headers writes here; nil while a loop has the exchange
	answer  *headers.Writer  // above out, and above compression: edits the headers of answers
	origin  forward.Origin
	matched route.Request // r as routes match it
	rest    string        // what the '*' of the route's path matched
	parts   route.Variables

	started  time.Time
	number   uint64        // ID of the session that it may become
	headroom limit.Reading // by which it was admitted
	hasRoom  bool
	cookies  []pendingCookie

	selfAnswered bool   // the answer is the gateway's own
	completed    bool   // the handler did not panic
	counted      bool   // the listener's rate has counted the request
	unlogged     bool   // no record is written
	shortage     bool   // it failed by a shortage, which is logged elsewhere
	malformed    bool   // it was no request: that is never a failure of the gateway's own
	limitHit     string // the limit that has refused it, by its key; "" for none
	record       telemetry.Request
	about        telemetry.Exchange // of the record
	trace        tracing.Request

	methods methods
}

// methods is methods of an exchange as functions.
type methods struct {
	editRequestHeader func(*header.Fields)
	localAddress      func() netip.AddrPort
}

func (s *Server) newExchange(l *listen.Listener, c *clientio.Conn, r message.Request) *exchange {
	x, ok := s.spare.Get().(*exchange)
	if !ok {
		x = new(exchange)
		x.methods = methods{x.editRequestHeader, x.localAddress}
	}
	x.server, x.snap, x.listener, x.settings = s, s.Current(), l, l.Settings()
	x.started, x.number, x.r, x.client, x.conn = time.Now(), rand.Uint64(), r, c, c.Wire
	x.origin = forward.NewOrigin(&x.r, x.snap.trustsPeer(x.conn), x.snap.Trusts)
	id := x.origin.ID
	if id == "" {
		id = telemetry.SessionName(x.number)
	}
	x.about = telemetry.Exchange{ID: id, Client: x.origin.Client, Method: r.Method, Host: r.Host, Proto: r.Proto}
	x.record.Exchange = &x.about
	if s.Tracer.On() {
		x.beginTrace()
	}
	return x
}

// recycle makes the memory of an exchange that is over another one's. Nobody else may have it.
func (x *exchange) recycle() {
	s := x.server
	*x = exchange{methods: x.methods, cookies: x.cookies[:0]}
	s.spare.Put(x)
}

// Serve answers the request, which has that body and trailer section. It panics with
// [http.ErrAbortHandler] to cut an answer. Ctx ends when the client leaves.
func (x *exchange) Serve(ctx context.Context, w http.ResponseWriter, body io.ReadCloser, trailer *http.Header) {
	x.r.Carry(ctx, body, trailer)
	if body == http.NoBody { // a loop may have read all of it
		x.r.DropBody()
	}
	x.serve(w, (*exchange).run)
}

// serve answers the request with what run does.
func (x *exchange) serve(w http.ResponseWriter, run func(*exchange)) {
	x.out = clientio.Begin(x.client, w, &x.r)
	x.out.CloseAfter = forward.Ambiguous(&x.r)
	x.answer = &headers.Writer{ResponseWriter: x.out, Changes: x.editsAnswer, Change: x.editResponseHeader}
	defer x.end()
	if x.looped.failed || x.enter() {
		defer x.leave()
		run(x)
	}
	x.completed = true
}

// overTLS reports whether the client came by TLS, to the gateway or to the trusted
// proxy in front of it.
func (x *exchange) overTLS() bool { return x.origin.Proto == "https" }

// clientKey returns what the client is counted by.
func (x *exchange) clientKey() netip.Addr { return limit.Key(x.origin.Client) }

// end is called when the handler has returned or panicked.
func (x *exchange) end() {
	x.out.Finish(x.completed)
	if x.r.ProtoMajor == 2 && x.r.Context().Err() != nil {
		x.out.Conn.Abandoned()
	}
	x.record.Status, x.record.Out = x.out.Status, x.out.Written
	if x.record.Error == "" && x.out.TooSlow() {
		x.record.Error = clientio.ErrSlow.Error()
	}
	if !x.out.Hijacked {
		x.log()
	}
}

// metrics returns what the request counts for.
func (x *exchange) metrics() *metrics.Route {
	if x.service != nil {
		return x.service.Metrics
	}
	return x.server.noRoute
}

// count counts a request that did not become a session.
func (x *exchange) count() {
	m := x.metrics()
	if x.limitHit != "" {
		m.Limit(x.limitHit)
	}
	status := x.record.Status
	if status == 0 { // a panic
		status = http.StatusInternalServerError
	}
	switch {
	case !x.isHandshake():
		m.Request(status, x.record.In, x.record.Out, x.record.Duration, x.trace.Exemplar())
	case x.selfAnswered || status == statusClientGone || x.record.Status == 0:
		m.Handshake(metrics.FailedHandshake(status), 0, "")
	default:
		m.Handshake(metrics.BackendRefused, 0, "")
	}
}

// isHandshake reports whether the request is a WebSocket handshake that a backend may get.
func (x *exchange) isHandshake() bool {
	if x.service == nil {
		return x.matched.WebSocket || upgrade.Wanted(&x.r)
	}
	return x.matched.WebSocket && x.service.Targets != nil
}

// log counts a request that did not become a session, and writes its record. A failure of the
// gateway's own is a warning, and is logged even without access log, unless it comes
// from a shortage, which fails all requests alike.
func (x *exchange) log() {
	x.record.Duration = time.Since(x.started)
	x.count()
	if x.unlogged {
		return
	}
	if x.trace.Sampled() {
		x.endTrace()
	}
	failed := x.selfAnswered && x.record.Status >= 500 && !x.shortage && !x.malformed
	level := x.server.accessLevel(x.snap)
	if failed {
		level = zerolog.WarnLevel
	}
	if level == zerolog.Disabled {
		return
	}
	x.record.URI = telemetry.Redact(x.r.URI(), x.snap.Redact)
	x.record.Log(x.snap.Log.WithLevel(level))
}

// editRequestHeader changes the header of a request, or of a handshake, for its backend. The
// hop-by-hop fields are gone by then: Connection cannot name what is set here.
func (x *exchange) editRequestHeader(h *header.Fields) {
	x.trace.Inject(h)
	if x.r.Method == http.MethodTrace {
		x.service.RequestHeaders.ApplyToTrace(h)
		return
	}
	headers.SetCertificate(h, x.r.TLS)
	x.service.RequestHeaders.Apply(h, x.variable)
}

// editsAnswer reports whether editResponseHeader changes anything.
func (x *exchange) editsAnswer() bool {
	return x.service != nil && (!x.service.ResponseHeaders.Empty() || x.service.CORS != nil || len(x.cookies) > 0)
}

// editResponseHeader changes the header of an answer, once, when it begins. It returns
// the names of the fields that only the gateway sets.
func (x *exchange) editResponseHeader(h *header.Fields, status int) *fieldname.Set {
	if x.service == nil {
		return new(fieldname.Set)
	}
	x.service.ResponseHeaders.Apply(h, status, x.overTLS(), x.variable)
	if !x.selfAnswered {
		x.setCookies(h)
	}
	if x.service.CORS != nil {
		x.service.CORS.Apply(h, &x.r)
	}
	return x.service.ResponseHeaders.Names()
}

// variable returns the value of a variable in a header, or "" where the request has no
// such thing.
func (x *exchange) variable(name string) string {
	switch name {
	case "client_address":
		if x.origin.Client.IsValid() {
			return x.origin.Client.String()
		}
	case "route":
		return headers.Escape(x.service.Group.Name, "")
	case "host":
		return headers.Escape(x.origin.Host, "")
	case "request_id":
		return x.record.ID
	case "scheme":
		return x.origin.Proto
	}
	if segment, ok := route.SegmentName(name); ok {
		return x.parts.Value(segment)
	}
	if s := x.r.TLS; s != nil {
		return headers.TLSVariable(name, s)
	}
	return ""
}
