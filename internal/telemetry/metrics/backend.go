package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Backend is the metrics of one backend. Its methods do nothing on nil.
type Backend struct {
	metrics *Metrics
	name    string
	retries prometheus.Counter
	served  prometheus.Observer
	queue   prometheus.Observer
}

// Backend returns the metrics of the backend of a name: the same ones each time.
func (m *Metrics) Backend(name string) *Backend {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.backends[name]; b != nil {
		return b
	}
	if len(m.backends) >= maxBackends {
		name = Other
		if b := m.backends[name]; b != nil {
			return b
		}
	}
	b := &Backend{m, name, m.retries.WithLabelValues(name), m.servedSeconds.WithLabelValues(name), m.queueSeconds.WithLabelValues(name)}
	m.backends[name] = b
	return b
}

// Endpoint returns the metrics of an endpoint: the same ones each time.
func (b *Backend) Endpoint(name string) *Endpoint {
	if b == nil {
		return nil
	}
	return b.metrics.Endpoint(b.name, name)
}

// Retried counts work that goes to another endpoint after one has failed.
func (b *Backend) Retried() {
	if b != nil {
		b.retries.Inc()
	}
}

// Served counts work that an endpoint has done well in that time.
func (b *Backend) Served(d time.Duration) {
	if b != nil {
		b.served.Observe(d.Seconds())
	}
}

// Waited counts work that has waited for an endpoint.
func (b *Backend) Waited(d time.Duration) {
	if b != nil {
		b.queue.Observe(d.Seconds())
	}
}

// Endpoint is the metrics of one endpoint. Its methods do nothing on nil.
type Endpoint struct{ served, failed, unreached, ejections, surplus prometheus.Counter }

// Endpoint returns the metrics of the endpoint of a name: the same ones each time.
func (m *Metrics) Endpoint(backend, name string) *Endpoint {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := [2]string{backend, name}
	if e := m.endpoints[key]; e != nil {
		return e
	}
	if len(m.endpoints) >= maxEndpoints {
		key = [2]string{Other, Other}
		if e := m.endpoints[key]; e != nil {
			return e
		}
	}
	e := &Endpoint{
		served: m.tries.WithLabelValues(key[0], key[1], "served"), failed: m.tries.WithLabelValues(key[0], key[1], "failed"),
		unreached: m.tries.WithLabelValues(key[0], key[1], "unreached"), ejections: m.ejections.WithLabelValues(key[0], key[1]),
		surplus: m.surplus.WithLabelValues(key[0], key[1]),
	}
	m.endpoints[key] = e
	return e
}

// Served counts work that the endpoint has done well.
func (e *Endpoint) Served() {
	if e != nil {
		e.served.Inc()
	}
}

// Failed counts work that the endpoint has failed.
func (e *Endpoint) Failed() {
	if e != nil {
		e.failed.Inc()
	}
}

// Unreached counts work that could not be sent to the endpoint.
func (e *Endpoint) Unreached() {
	if e != nil {
		e.unreached.Inc()
	}
}

// Ejected counts an ejection of the endpoint.
func (e *Endpoint) Ejected() {
	if e != nil {
		e.ejections.Inc()
	}
}

// Surplus counts bytes of the endpoint, as many as came at once, that answer no request.
func (e *Endpoint) Surplus() {
	if e != nil {
		e.surplus.Inc()
	}
}
