package metrics

import "github.com/prometheus/client_golang/prometheus"

// Totals are sums over all routes since the process began.
type Totals struct {
	Handshakes       uint64 // that were accepted
	HandshakesFailed uint64 // all others
	Requests         uint64 // HTTP requests that were answered, handshakes not among them
	RequestErrors    uint64 // those that were answered with 5xx
}

// Totals adds up what the routes have counted. Its work grows with the number of routes, not with
// that of sessions.
func (m *Metrics) Totals() (t Totals) {
	m.mu.Lock()
	routes := make([]*Route, 0, len(m.routes))
	for _, r := range m.routes {
		routes = append(routes, r)
	}
	m.mu.Unlock()
	for _, r := range routes {
		for class, c := range r.requests {
			n := count(c)
			t.Requests += n
			if class == 5 {
				t.RequestErrors += n
			}
		}
		for result, c := range r.handshakes {
			if HandshakeResult(result) == Accepted {
				t.Handshakes += count(c)
			} else {
				t.HandshakesFailed += count(c)
			}
		}
	}
	return t
}

// count returns what a counter has counted.
func count(c prometheus.Counter) uint64 { return uint64(written(c.Write).GetCounter().GetValue()) }

// written returns what write fills. The type is that of the protocol of Prometheus, whose package
// is not named here.
func written[M any](write func(*M) error) *M {
	m := new(M)
	if write(m) != nil { // a counter always has a value
		return new(M)
	}
	return m
}
