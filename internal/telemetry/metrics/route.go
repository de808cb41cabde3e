package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Route is the metrics of one route. Its methods do nothing on nil.
type Route struct {
	requests         [6]prometheus.Counter // by class; that of 0 is for what has none
	requestSeconds   prometheus.Observer
	requestBytes     prometheus.Counter
	responseBytes    prometheus.Counter
	handshakes       [handshakeResults]prometheus.Counter
	handshakeSeconds prometheus.Observer
	closed           *prometheus.CounterVec // side, cause, code
	sessionSeconds   prometheus.Observer
	limits           *prometheus.CounterVec // limit
}

// Route returns the metrics of the route of a name: the same ones each time.
func (m *Metrics) Route(name string) *Route {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.routes[name]; r != nil {
		return r
	}
	if len(m.routes) >= maxRoutes {
		name = Other
		if r := m.routes[name]; r != nil {
			return r
		}
	}
	r := &Route{
		requestSeconds: m.requestSeconds.WithLabelValues(name),
		requestBytes:   m.requestBytes.WithLabelValues(name), responseBytes: m.responseBytes.WithLabelValues(name),
		handshakeSeconds: m.handshakeSeconds.WithLabelValues(name), sessionSeconds: m.sessionSeconds.WithLabelValues(name),
		closed: m.closed.MustCurryWith(prometheus.Labels{"route": name}), limits: m.limits.MustCurryWith(prometheus.Labels{"route": name}),
	}
	for class := range r.requests {
		code := strconv.Itoa(class) + "xx"
		if class == 0 {
			code = "499"
		}
		r.requests[class] = m.requests.WithLabelValues(name, code)
	}
	for result := range r.handshakes {
		r.handshakes[result] = m.handshakes.WithLabelValues(name, HandshakeResult(result).String())
	}
	m.routes[name] = r
	return r
}

// HasRoute reports whether a route has a label of its own. It is false for nil.
func (m *Metrics) HasRoute(name string) bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.routes[name] != nil
}

// RouteLabel returns the label of a route: its name, or [Other] if there are too many.
func (m *Metrics) RouteLabel(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.routes[name] == nil {
		return Other
	}
	return name
}

// Request counts an HTTP request that was answered. Status is that of the answer; in and out are
// bytes of the bodies; trace names the trace that it is an exemplar of, or is "".
func (r *Route) Request(status int, in, out int64, took time.Duration, trace string) {
	if r == nil {
		return
	}
	class := status / 100
	if class >= len(r.requests) || status == 499 {
		class = 0
	}
	r.requests[class].Inc()
	observe(r.requestSeconds, took, trace)
	if in > 0 {
		r.requestBytes.Add(float64(in))
	}
	if out > 0 {
		r.responseBytes.Add(float64(out))
	}
}

// HandshakeResult is how a WebSocket handshake went.
type HandshakeResult uint8

// The results of handshakes.
const (
	Accepted         HandshakeResult = iota
	BackendRefused                   // its answer was passed on
	Malformed                        // 400, 405, 426
	Forbidden                        // 403, by the route's policy
	OverLimit                        // 429
	NoRoom                           // 503: a limit, no endpoint, or a shutdown
	BackendFailed                    // 502
	TimedOut                         // 504, 408
	ClientLeft                       // 499
	OtherFailure                     // such as 404 and 500
	handshakeResults                 // number of results
)

func (h HandshakeResult) String() string {
	return [...]string{"accepted", "backend_refused", "malformed", "forbidden", "over_limit", "no_room", "backend_failed", "timed_out", "client_left", "other"}[h]
}

// FailedHandshake returns the result of a handshake that the gateway itself has answered with a
// status.
func FailedHandshake(status int) HandshakeResult {
	switch status {
	case 400, 405, 426:
		return Malformed
	case 403:
		return Forbidden
	case 429:
		return OverLimit
	case 503:
		return NoRoom
	case 502:
		return BackendFailed
	case 504, 408:
		return TimedOut
	case 499:
		return ClientLeft
	}
	return OtherFailure
}

// observe adds a time to a histogram, and the trace, if there is one, as the exemplar of its bucket.
func observe(h prometheus.Observer, took time.Duration, trace string) {
	if e, ok := h.(prometheus.ExemplarObserver); ok && trace != "" {
		e.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": trace})
		return
	}
	h.Observe(took.Seconds())
}

// Handshake counts a handshake. The time to its 101 counts where it was accepted; trace is as in
// [Route.Request].
func (r *Route) Handshake(h HandshakeResult, took time.Duration, trace string) {
	if r == nil {
		return
	}
	r.handshakes[h].Inc()
	if h == Accepted {
		observe(r.handshakeSeconds, took, trace)
	}
}

// SessionEnded counts a session that has ended.
func (r *Route) SessionEnded(side, cause string, code int, lasted time.Duration) {
	if r == nil {
		return
	}
	r.closed.WithLabelValues(side, cause, codeLabel(code)).Inc()
	r.sessionSeconds.Observe(lasted.Seconds())
}

// codeLabel returns a label for a close code. Those that applications choose have one for each
// range, since peers choose them.
func codeLabel(code int) string {
	switch {
	case code >= 1000 && code <= 1015:
		return strconv.Itoa(code)
	case code >= 3000 && code <= 3999:
		return "3xxx"
	case code >= 4000 && code <= 4999:
		return "4xxx"
	}
	return Other
}

// Limit counts a request or a handshake that a limit has refused. Name is its key in the
// configuration.
func (r *Route) Limit(name string) {
	if r != nil {
		r.limits.WithLabelValues(name).Inc()
	}
}
