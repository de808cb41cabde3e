package tracing

import (
	"crypto/tls"
	"strconv"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"sluice/internal/header"
	"sluice/internal/telemetry"
)

// maxChildren is how many spans below its own a request has at most.
const maxChildren = 64

// Request is the trace of one request. The zero value is that of a request that is not traced; its
// methods do nothing. It is used by one goroutine at a time, but for Inject, which any may call
// after the last try.
type Request struct {
	Trace  telemetry.Trace // of the request's own span
	parent [8]byte         // the client's span; zero for none
	state  string          // tracestate, as it came
	try    [8]byte         // of the try under way; zero without one
	detail *detail         // nil unless the request is sampled
}

// detail is what only a sampled request has.
type detail struct {
	children  []span // in space, while they are few
	space     [3]span
	began     time.Time // of the try under way
	connected time.Time // when it got a new connection; zero without one
	backend   string
	endpoint  string
	server    string
	tries     int
}

// Begin makes r the trace of a request with header h, in the trace that the header names or in a new
// one. It may be called on nil: then r is not traced. A client that is not trusted does not decide
// whether the request is sampled. Baggage over its limit is removed from h.
func (t *Tracer) Begin(r *Request, h *header.Fields, trusted bool) {
	o := t.options()
	if o == nil {
		return
	}
	parent, state, ok := readParent(*h)
	dropLongBaggage(h)
	r.Trace.Span = newSpanID()
	if ok {
		r.Trace.ID, r.parent, r.state = parent.ID, parent.Span, state
	} else {
		r.Trace.ID = newTraceID()
	}
	if r.Trace.Sampled = parent.Sampled; !ok || !trusted {
		r.Trace.Sampled = o.samples()
	}
	if r.Trace.Sampled {
		r.state = strings.Clone(state) // as word says
		r.detail = new(detail)
		r.detail.children = r.detail.space[:0]
	}
}

// Sampled reports whether the spans of the request are exported.
func (r *Request) Sampled() bool { return r.detail != nil }

// Exemplar returns the name of the trace if it is sampled, else "".
func (r *Request) Exemplar() string {
	if r.detail == nil {
		return ""
	}
	return r.Trace.Name()
}

// Inject makes h, the header for a backend, name the try under way, or the request itself, in place of
// what the client has sent.
func (r *Request) Inject(h *header.Fields) {
	if r.Trace.IsZero() {
		return
	}
	h.DelFunc(func(f *header.Field) bool { return f.Is(traceparent) || f.Is(tracestate) })
	h.AddName(traceparent, r.current())
	if r.state != "" {
		h.AddName(tracestate, r.state)
	}
}

// Renew is Inject for another try with the same header. A route may have removed what Inject has added, or
// have put a value of its own in its place: that stays.
func (r *Request) Renew(h header.Fields) {
	if r.detail == nil {
		return
	}
	for i := range h {
		if !h[i].Is(traceparent) {
			continue
		}
		if at, ok := parseParent(h[i].Value); ok && at.ID == r.Trace.ID && at.Span != r.parent {
			h[i].Value = r.current()
		}
	}
}

// current returns the traceparent of what is under way.
func (r *Request) current() string {
	at := r.Trace
	if r.try != [8]byte{} {
		at.Span = r.try
	}
	var b [parentLength]byte
	return string(appendParent(b[:0], at))
}

// add adds a span below the request's, or below the one that parent names.
func (r *Request) add(s span, parent [8]byte) {
	d := r.detail
	if len(d.children) == maxChildren {
		return
	}
	if s.at = (telemetry.Trace{ID: r.Trace.ID, Span: s.at.Span, Sampled: true}); s.at.Span == [8]byte{} {
		s.at.Span = newSpanID()
	}
	s.parent, s.state = parent, r.state
	if s.kind == 0 {
		s.kind = tracepb.Span_SPAN_KIND_INTERNAL
	}
	d.children = append(d.children, s)
}

// Secured adds the TLS handshake of the connection, of which this is the first request.
func (r *Request) Secured(began, ended time.Time, about *tls.ConnectionState) {
	if r.detail == nil {
		return
	}
	var a attributes
	if about != nil {
		a.text("tls.protocol.name", "tls")
		a.text("tls.protocol.version", strings.TrimPrefix(tls.VersionName(about.Version), "TLS "))
		a.text("tls.cipher", tls.CipherSuiteName(about.CipherSuite))
		a.flag("tls.resumed", about.DidResume)
		a.server(word(about.ServerName))
		a.text("tls.next_protocol", about.NegotiatedProtocol)
	}
	r.add(span{name: "tls handshake", began: began, ended: ended, attributes: a}, r.Trace.Span)
}

// Waited adds the wait for an endpoint of a backend that is not full.
func (r *Request) Waited(backend string, began time.Time, took time.Duration) {
	if r.detail == nil {
		return
	}
	var a attributes
	a.text("sluice.backend", backend)
	r.add(span{name: "queue", began: began, ended: began.Add(took), attributes: a}, r.Trace.Span)
}

// BeginTry begins an attempt at an endpoint, which is at server: host:port, or the path of a socket. It
// comes before Inject for that attempt.
func (r *Request) BeginTry(backend, endpoint, server string) {
	d := r.detail
	if d == nil {
		return
	}
	r.try = newSpanID()
	d.began, d.connected, d.backend, d.endpoint, d.server = time.Now(), time.Time{}, backend, endpoint, server
}

// Connected notes that the try under way has got a connection that was opened for it.
func (r *Request) Connected() {
	if d := r.detail; d != nil {
		d.connected = time.Now()
	}
}

// DropTry forgets the try under way: the endpoint was not asked.
func (r *Request) DropTry() { r.try = [8]byte{} }

// EndTry ends the try under way, if there is one: with the status of an answer, which is 0 where there
// is none, and with what went wrong. Unreached is set if the endpoint could not be connected to.
func (r *Request) EndTry(method string, status int, err error, unreached bool) {
	d := r.detail
	if d == nil || r.try == [8]byte{} {
		return
	}
	now := time.Now()
	s := span{at: telemetry.Trace{Span: r.try}, name: "try", kind: tracepb.Span_SPAN_KIND_CLIENT, began: d.began, ended: now}
	a := make(attributes, 0, 8)
	a.method(method)
	a.server(d.server)
	a.text("sluice.backend", d.backend)
	a.text("sluice.endpoint", d.endpoint)
	if d.tries > 0 {
		a.number("http.request.resend_count", int64(d.tries))
	}
	d.tries++
	s.answered(&a, status, 400, err != nil)
	if err != nil {
		s.message = telemetry.Word(err.Error())
	}
	s.attributes = a
	if (unreached || !d.connected.IsZero()) && len(d.children) < maxChildren-1 { // no dial without its try
		dial := span{name: "dial", began: d.began, ended: d.connected, attributes: attributes{{key: "sluice.endpoint", text: d.endpoint}}}
		if unreached {
			dial.ended, dial.failed, dial.message = now, true, s.message
		}
		r.add(dial, r.try)
	}
	r.add(s, r.Trace.Span)
	r.try = [8]byte{}
}

// answered adds the status of an answer, 0 for none, which is a failure from the given one on, or if the
// answer was cut.
func (s *span) answered(a *attributes, status, failure int, cut bool) {
	if status != 0 {
		a.number("http.response.status_code", int64(status))
	}
	switch {
	case status >= failure:
		s.failed = true
		a.text("error.type", strconv.Itoa(status))
	case status == 0 || cut:
		s.failed = true
		a.text("error.type", "_OTHER")
	}
}

// method adds the method of a request. Those that no standard has are one.
func (a *attributes) method(method string) {
	name := methodName(method)
	a.text("http.request.method", name)
	if name != method {
		a.text("http.request.method_original", word(method))
	}
}

func methodName(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY":
		return method
	}
	return "_OTHER"
}

// word returns a text of the client as spans have it: cut, and a copy, because the text may be a part of
// a head that would stay in memory with it.
func word(s string) string { return strings.Clone(telemetry.Word(s)) }

// version returns the version of a protocol such as HTTP/1.1.
func version(proto string) string {
	switch proto {
	case "HTTP/1.1":
		return "1.1"
	case "HTTP/1.0":
		return "1.0"
	case "HTTP/2.0":
		return "2"
	}
	return ""
}

// End is how a request has ended, besides its record.
type End struct {
	Began     time.Time
	Cut       bool // the answer began and was not complete
	Scheme    string
	Host      string // that the client asked for; it may have a port
	UserAgent string
	Session   uint64 // that it has become, or would have; 0 unless it is a handshake
}

// End ends the request, which record tells of, and gives its spans to t.
func (r *Request) End(t *Tracer, record *telemetry.Request, e End) {
	d := r.detail
	if d == nil {
		return
	}
	r.EndTry(record.Method, 0, nil, false)
	r.detail = nil
	s := span{
		at: r.Trace, parent: r.parent, state: r.state, kind: tracepb.Span_SPAN_KIND_SERVER,
		began: e.Began, ended: e.Began.Add(record.Duration), message: telemetry.Word(record.Error),
	}
	for i := range d.children {
		d.children[i].fit(&s)
	}
	name := methodName(record.Method)
	a := make(attributes, 0, 20)
	a.method(record.Method)
	if name == "_OTHER" {
		name = "HTTP"
	}
	if e.Session != 0 {
		name = "handshake"
		a.text("sluice.session", telemetry.SessionName(e.Session))
	}
	s.name = strings.TrimSpace(name + " " + telemetry.Word(record.Route))
	path, query, _ := strings.Cut(strings.Clone(telemetry.Target(record.URI)), "?")
	a.text("url.path", path)
	a.text("url.query", query)
	a.text("url.scheme", e.Scheme)
	a.server(word(e.Host))
	a.text("network.protocol.version", version(record.Proto))
	if record.Client.IsValid() {
		a.text("client.address", record.Client.String())
	}
	a.text("user_agent.original", word(e.UserAgent))
	s.answered(&a, record.Status, 500, e.Cut)
	a.number("http.request.body.size", record.In)
	a.number("http.response.body.size", record.Out)
	a.text("sluice.route", record.Route)
	a.text("sluice.backend", record.Backend)
	a.text("sluice.endpoint", record.Endpoint)
	a.text("sluice.request_id", word(record.ID))
	s.attributes = a
	t.put(append(d.children, s))
}
