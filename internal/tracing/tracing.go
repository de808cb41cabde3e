// Package tracing makes spans of requests and sessions and exports them as OpenTelemetry does: OTLP over
// HTTP. It takes traces over from clients and passes them on to backends (W3C Trace Context). A request
// notes its spans when they have ended; what they look like on the wire is made by the exporter, in a
// goroutine of its own, from a queue with a bound. The package decides nothing about requests.
package tracing

import (
	"crypto/x509"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"sluice/internal/telemetry"
)

// Options is what is traced, and where spans go.
type Options struct {
	Endpoint    string            // URL of the collector
	Headers     map[string]string // of requests to it; they are secrets
	Authorities *x509.CertPool    // for its certificate; nil means the system's
	Sample      float64           // the share of requests, but where a trusted parent decides
	Service     string            // service.name of the resource
}

// samples decides about one request.
func (o *Options) samples() bool { return o.Sample >= 1 || rand.Float64() < o.Sample }

// same reports whether spans go to the same place in the same way.
func (o *Options) same(p *Options) bool {
	if o == nil || p == nil {
		return o == p
	}
	return o.Endpoint == p.Endpoint && o.Service == p.Service && maps.Equal(o.Headers, p.Headers) &&
		(o.Authorities == nil) == (p.Authorities == nil) && (o.Authorities == nil || o.Authorities.Equal(p.Authorities))
}

// Env is what a [Tracer] tells others. The zero value tells nothing.
type Env struct {
	Version string                 // of the program
	Log     func() *zerolog.Logger // for failed exports
	Count   func(spans int, exported bool)
}

// Tracer traces requests. It is off until [Tracer.Configure].
type Tracer struct {
	env     Env
	current atomic.Pointer[Options]
	queue   queue
	changed chan struct{} // has a value when the collector has changed, until Run has seen it
	dial    func(*Options) http.RoundTripper

	failures *telemetry.Tally
	failure  atomic.Pointer[error] // the last one
}

// New returns a tracer that is off.
func New(env Env) *Tracer {
	t := &Tracer{env: env, changed: make(chan struct{}, 1), dial: newTransport}
	t.queue.filled = make(chan struct{}, 1)
	t.failures = telemetry.NewTally(t.logFailure)
	return t
}

// Configure makes o what the tracer does from now on. Nil switches it off. What waits for its export then
// goes where it would have gone before, and what comes then goes where o says.
func (t *Tracer) Configure(o *Options) {
	t.current.Store(o)
	if t.queue.turn(o) {
		t.noteChange()
	}
}

// noteChange tells Run that the collector is another one.
func (t *Tracer) noteChange() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// On reports whether requests are traced. It may be called on nil.
func (t *Tracer) On() bool { return t.options() != nil }

// options returns the options in force, or nil if the tracer is off.
func (t *Tracer) options() *Options {
	if t == nil {
		return nil
	}
	return t.current.Load()
}

// put queues spans for their export, or drops them. It never waits.
func (t *Tracer) put(spans []span) {
	if t.options() == nil {
		return
	}
	if !t.queue.put(spans) {
		t.count(len(spans), false)
	}
}

func (t *Tracer) count(spans int, exported bool) {
	if t.env.Count != nil && spans > 0 {
		t.env.Count(spans, exported)
	}
}

// failed notes that an export has failed, and logs that now and then.
func (t *Tracer) failed(err error) {
	t.failure.Store(&err)
	t.failures.Count("")
}

func (t *Tracer) logFailure(_ string, since, total uint64) {
	if t.env.Log == nil {
		return
	}
	t.env.Log().Warn().Err(*t.failure.Load()).Uint64("failures", since).Uint64("total", total).Msg(
		"spans could not be exported: the collector of 'tracing' is down, refuses them, or takes them and warns; traffic goes on")
}

const (
	batchSpans   = 512             // that are exported at once, or a few more,
	batchTime    = 2 * time.Second // or all that there are after so long
	dialTime     = 5 * time.Second // and as long for the TLS handshake
	requestTime  = 10 * time.Second
	flushTime    = 5 * time.Second // for all that waits, at the end and when the collector changes
	firstPause   = time.Second     // before a request is sent again, then twice as long,
	longestPause = 30 * time.Second
	mostTries    = 6 // of one batch
)
