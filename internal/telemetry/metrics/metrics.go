// Package metrics is what the gateway counts for Prometheus while it works: families of counters and
// histograms, and those of one route or endpoint, looked up once. What can be read off where it is
// kept (sessions that are open, states of endpoints) is collected by those who keep it.
//
// Labels are route, backend, endpoint and words from fixed lists. How many routes and endpoints there
// may be has a bound; what comes after is counted as other.
package metrics

import (
	"crypto/tls"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// Other is the label of what is beyond a bound.
const Other = "other"

// The bounds of labels.
const (
	maxRoutes    = 1000
	maxBackends  = 1000
	maxEndpoints = 5000
)

// Metrics are all families, and the registry that they are in.
type Metrics struct {
	registry *prometheus.Registry
	before   atomic.Pointer[[]*dto.MetricFamily] // what other processes have counted; nil if there were none
	handler  http.Handler

	requests         *prometheus.CounterVec   // route, code
	requestSeconds   *prometheus.HistogramVec // route
	requestBytes     *prometheus.CounterVec   // route
	responseBytes    *prometheus.CounterVec   // route
	handshakes       *prometheus.CounterVec   // route, result
	handshakeSeconds *prometheus.HistogramVec // route
	closed           *prometheus.CounterVec   // route, side, cause, code
	sessionSeconds   *prometheus.HistogramVec // route
	limits           *prometheus.CounterVec   // route, limit
	tries            *prometheus.CounterVec   // backend, endpoint, result
	ejections        *prometheus.CounterVec   // backend, endpoint
	surplus          *prometheus.CounterVec   // backend, endpoint
	retries          *prometheus.CounterVec   // backend
	servedSeconds    *prometheus.HistogramVec // backend
	queueSeconds     *prometheus.HistogramVec // backend
	refused          *prometheus.CounterVec   // listener, reason
	tls              *prometheus.CounterVec   // version, resumed
	orders           *prometheus.CounterVec   // result
	Reloads          *prometheus.CounterVec   // result
	RecordsLeft      prometheus.Counter
	spansExported    prometheus.Counter
	spansDropped     prometheus.Counter
	ReloadSeconds    prometheus.Gauge
	ReloadTime       prometheus.Gauge
	ReloadOK         prometheus.Gauge // 1 or 0

	mu        sync.Mutex
	routes    map[string]*Route
	backends  map[string]*Backend
	endpoints map[[2]string]*Endpoint
}

// New returns metrics in a registry of their own.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), routes: make(map[string]*Route), backends: make(map[string]*Backend), endpoints: make(map[[2]string]*Endpoint)}
	m.handler = promhttp.HandlerFor(m, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: mostScrapes})
	m.requests = m.counters("sluice_http_requests_total", "HTTP requests that were answered, WebSocket handshakes not among them, by the class of the status; 499 stands for clients that left first.", "route", "code")
	m.requestSeconds = m.histograms("sluice_http_request_duration_seconds", "Time from the head of an HTTP request to the end of its answer.", latencies(), "route")
	m.requestBytes = m.counters("sluice_http_request_bytes_total", "Bytes of the bodies of HTTP requests.", "route")
	m.responseBytes = m.counters("sluice_http_response_bytes_total", "Bytes of the bodies of answers to HTTP requests.", "route")
	m.handshakes = m.counters("sluice_handshakes_total", "WebSocket handshakes by their result.", "route", "result")
	m.handshakeSeconds = m.histograms("sluice_handshake_duration_seconds", "Time from the head of a WebSocket handshake to its 101.", latencies(), "route")
	m.closed = m.counters("sluice_sessions_closed_total", "Sessions that have ended, by the side and the cause of the end and its close code.", "route", "side", "cause", "code")
	m.sessionSeconds = m.histograms("sluice_session_duration_seconds", "How long sessions lasted.", []float64{1, 10, 60, 600, 3600, 6 * 3600, 86400, 7 * 86400}, "route")
	m.limits = m.counters("sluice_limits_hit_total", "Requests and handshakes that a limit has refused.", "route", "limit")
	m.tries = m.counters("sluice_endpoint_tries_total", "Requests and handshakes that went to an endpoint: served, failed, or unreached when not a byte could be sent.", "backend", "endpoint", "result")
	m.ejections = m.counters("sluice_endpoint_ejections_total", "How often an endpoint was ejected.", "backend", "endpoint")
	m.surplus = m.counters("sluice_endpoint_surplus_answers_total", "Connections that were closed because the endpoint had sent more than the answer to each request.", "backend", "endpoint")
	m.retries = m.counters("sluice_backend_retries_total", "Requests and handshakes that went to another endpoint after one had failed.", "backend")
	m.servedSeconds = m.histograms("sluice_backend_duration_seconds", "How long an endpoint took for what it has served: a request to the end of its answer, a handshake to its 101, connecting included.", latencies(), "backend")
	m.queueSeconds = m.histograms("sluice_backend_queue_duration_seconds", "How long requests and sessions waited for an endpoint, until they had one or gave up.", latencies(), "backend")
	m.tls = m.counters("sluice_tls_handshakes_total", "TLS handshakes with clients, by version, and whether they resumed a session.", "version", "resumed")
	m.refused = m.counters("sluice_connections_refused_total", "Connections that a listener has refused.", "listener", "reason")
	m.orders = m.counters("sluice_certificate_events_total", "What happened to certificates: ok where one was issued, renewed or read again, failed where an order or a file failed or needs attention.", "result")
	m.Reloads = m.counters("sluice_config_reloads_total", "Reloads of the configuration by their result.", "result")
	m.RecordsLeft = m.counter("sluice_tls_records_left_total", "Sessions whose TLS records stay with crypto/tls although tls.records is sluice.")
	m.spansExported = m.counter("sluice_spans_exported_total", "Spans that the collector of 'tracing' has taken.")
	m.spansDropped = m.counter("sluice_spans_dropped_total", "Spans that were dropped: the collector of 'tracing' is down, too slow, or refuses them.")
	m.Reloads.WithLabelValues("ok")
	m.Reloads.WithLabelValues("refused")
	m.orders.WithLabelValues("ok")
	m.orders.WithLabelValues("failed")
	m.ReloadSeconds = m.gauge("sluice_config_last_reload_duration_seconds", "How long the last reload took.")
	m.ReloadOK = m.gauge("sluice_config_last_reload_successful", "1 if the last reload, or the start, put its configuration into force, else 0.")
	m.ReloadTime = m.gauge("sluice_config_last_reload_success_timestamp_seconds", "When the configuration in force was loaded.")
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_build_info", Help: "1, with the version of the program."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	m.Register(build)
	m.Register(collectors.NewGoCollector())
	m.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// latencies returns the bounds of the buckets for times in seconds.
func latencies() []float64 {
	return []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	m.Register(c)
	return c
}

func (m *Metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.Register(v)
	return v
}

func (m *Metrics) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.Register(v)
	return v
}

func (m *Metrics) gauge(name, help string) prometheus.Gauge {
	v := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	m.Register(v)
	return v
}

// CountFunc adds a counter that is kept elsewhere.
func (m *Metrics) CountFunc(name, help string, value func() uint64) {
	m.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(value()) }))
}

// GaugeFunc adds a gauge that is kept elsewhere.
func (m *Metrics) GaugeFunc(name, help string, value func() float64) {
	m.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// Register adds what collects other metrics. Two of one name are a fault of the program, and panic.
func (m *Metrics) Register(c prometheus.Collector) { m.registry.MustRegister(c) }

// mostScrapes is how many scrapes are answered at once.
const mostScrapes = 4

// Handler serves the metrics, in the format that a request accepts.
func (m *Metrics) Handler() http.Handler { return m.handler }

// TLSHandshake counts a TLS handshake with a client. It does nothing on nil.
func (m *Metrics) TLSHandshake(s tls.ConnectionState) {
	if m != nil {
		m.tls.WithLabelValues(strings.TrimPrefix(tls.VersionName(s.Version), "TLS "), strconv.FormatBool(s.DidResume)).Inc()
	}
}

// ConnectionRefused counts a connection that a listener has refused. It does nothing on nil.
func (m *Metrics) ConnectionRefused(listener, reason string) {
	if m != nil {
		m.refused.WithLabelValues(listener, reason).Inc()
	}
}

// Spans counts spans that were exported, or dropped. It does nothing on nil.
func (m *Metrics) Spans(n int, exported bool) {
	switch {
	case m == nil:
	case exported:
		m.spansExported.Add(float64(n))
	default:
		m.spansDropped.Add(float64(n))
	}
}

// CertificateEvent counts something that happened to a certificate. It does nothing on nil.
func (m *Metrics) CertificateEvent(ok bool) {
	if m == nil {
		return
	}
	result := "ok"
	if !ok {
		result = "failed"
	}
	m.orders.WithLabelValues(result).Inc()
}
