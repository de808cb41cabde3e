package operate

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/admin"
	"sluice/proxy/relay"
)

// collector reads the metrics of what lives: sessions, endpoints, loops and certificates.
type collector struct {
	*Operator
	label func(route string) string // bounded

	open, opened                      *prometheus.Desc // route
	messages, frames, controls, bytes *prometheus.Desc // route, from
	waits                             *prometheus.Desc // route, from, limit
	inFlight                          *prometheus.Desc
	spliced, records, badRecords      *prometheus.Desc
	state, sessions, requests         *prometheus.Desc // backend, endpoint
	queue                             *prometheus.Desc // backend
	loopConns, loopTurns, loopBusy    *prometheus.Desc // loop
	expiry                            *prometheus.Desc // name, from
}

// Collector returns what collects the metrics of o. Label returns the label of a route.
func (o *Operator) Collector(label func(string) string) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &collector{
		Operator: o, label: label,
		open:       desc("sluice_sessions_open", "WebSocket sessions that are open.", "route"),
		opened:     desc("sluice_sessions_opened_total", "WebSocket sessions that have begun.", "route"),
		messages:   desc("sluice_session_messages_total", "Data messages in sessions, by the side that sent them; of sessions that are open too.", "route", "from"),
		frames:     desc("sluice_session_frames_total", "Data frames in sessions.", "route", "from"),
		controls:   desc("sluice_session_control_frames_total", "Ping, pong and Close frames in sessions, without the answers to Close frames of the gateway.", "route", "from"),
		bytes:      desc("sluice_session_bytes_total", "Payload of data frames in sessions, in bytes, as it is on the wire.", "route", "from"),
		waits:      desc("sluice_session_waits_total", "How often a side of a session was read more slowly, because it was over a rate whose on_excess is delay.", "route", "from", "limit"),
		inFlight:   desc("sluice_requests_in_flight", "HTTP requests in work, WebSocket handshakes among them."),
		spliced:    desc("sluice_spliced_bytes_total", "Payload of sessions that went from socket to socket by splice(2), in bytes."),
		records:    desc("sluice_tls_records_taken_over_total", "TLS connections of sessions whose records the event loops have taken over from crypto/tls."),
		badRecords: desc("sluice_tls_bad_records_total", "TLS records on the event loops that were not authentic: bad_record_mac."),
		state:      desc("sluice_endpoint_state", "1 for the state that an endpoint is in, 0 for the others.", "backend", "endpoint", "state"),
		sessions:   desc("sluice_endpoint_sessions", "Sessions that an endpoint has.", "backend", "endpoint"),
		requests:   desc("sluice_endpoint_requests", "HTTP requests that an endpoint works on.", "backend", "endpoint"),
		queue:      desc("sluice_backend_queue_length", "Requests and sessions that wait for an endpoint.", "backend"),

		loopConns: desc("sluice_loop_connections", "Connections that an event loop has; a session is one.", "loop"),
		loopTurns: desc("sluice_loop_turns_total", "How often an event loop had something to do.", "loop"),
		loopBusy:  desc("sluice_loop_busy_seconds_total", "How long an event loop worked.", "loop"),

		expiry: desc("sluice_certificate_expiry_timestamp_seconds", "When a certificate ends.", "name", "from"),
	}
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range [...]*prometheus.Desc{
		c.open, c.opened, c.messages, c.frames, c.controls, c.bytes, c.waits, c.inFlight, c.spliced, c.records, c.badRecords, c.state, c.sessions, c.requests, c.queue,
		c.loopConns, c.loopTurns, c.loopBusy, c.expiry,
	} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	c.collectRoutes(gauge, counter)
	gauge(c.inFlight, float64(c.server.Requests()))
	spliced, records := c.server.Engine().Counters()
	counter(c.spliced, float64(spliced))
	counter(c.records, float64(records))
	counter(c.badRecords, float64(c.Operator.badRecords()))
	c.collectBackends(gauge)
	for _, l := range c.Loops() {
		number := strconv.Itoa(l.Number)
		gauge(c.loopConns, float64(l.Connections), number)
		counter(c.loopTurns, float64(l.Turns), number)
		counter(c.loopBusy, l.BusySeconds, number)
	}
	c.collectCertificates(gauge)
}

// Bounds of labels. What comes after is collected together, as other.
const (
	maxEndpoints    = 5000
	maxCertificates = 1000
	other           = "other"
)

// collectBackends collects what endpoints are like now. Of those that are other, the states are counted.
func (c *collector) collectBackends(gauge func(*prometheus.Desc, float64, ...string)) {
	type sums struct {
		states             map[string]int
		sessions, requests int
	}
	queued := make(map[string]int)            // by backend
	endpoints := make(map[[2]string]*sums, 8) // by backend and endpoint
	for _, b := range c.Backends() {
		label := b.Backend
		if len(endpoints) >= maxEndpoints {
			label = other
		}
		queued[label] += b.Queued
		for i := range b.Endpoints {
			e := &b.Endpoints[i]
			key := [2]string{b.Backend, e.Endpoint}
			if len(endpoints) >= maxEndpoints {
				key = [2]string{other, other}
			}
			s := endpoints[key]
			if s == nil {
				s = &sums{states: make(map[string]int, 1)}
				endpoints[key] = s
			}
			s.states[e.State]++
			s.sessions += e.Sessions
			s.requests += e.Requests
		}
	}
	for backend, n := range queued {
		gauge(c.queue, float64(n), backend)
	}
	for key, s := range endpoints {
		for _, state := range [...]string{"up", "down", "ejected", "draining"} {
			gauge(c.state, float64(s.states[state]), key[0], key[1], state)
		}
		gauge(c.sessions, float64(s.sessions), key[0], key[1])
		gauge(c.requests, float64(s.requests), key[0], key[1])
	}
}

// collectCertificates collects when certificates end: of those that have a label together, the first
// one.
func (c *collector) collectCertificates(gauge func(*prometheus.Desc, float64, ...string)) {
	ends := make(map[[2]string]int64) // by name and source
	for _, cert := range c.Certificates() {
		for _, name := range cert.Names {
			if cert.Expiry == nil {
				continue
			}
			key := [2]string{name, cert.From}
			if _, known := ends[key]; !known && len(ends) >= maxCertificates {
				key = [2]string{other, other}
			}
			if end, known := ends[key]; !known || cert.Expiry.Unix() < end {
				ends[key] = cert.Expiry.Unix()
			}
		}
	}
	for key, end := range ends {
		gauge(c.expiry, float64(end), key[0], key[1])
	}
}

// collectRoutes collects what the sessions of each route have done, also of routes that are gone.
func (c *collector) collectRoutes(gauge, counter func(*prometheus.Desc, float64, ...string)) {
	type sums struct {
		open int64
		relay.Totals
	}
	byLabel := make(map[string]*sums)
	add := func(g *relay.Group, t relay.Totals) {
		label := c.label(g.Name)
		s := byLabel[label]
		if s == nil {
			s = new(sums)
			byLabel[label] = s
		}
		s.open += g.Open()
		s.Add(&t)
	}
	totals := c.totals()
	for _, svc := range c.current().Services {
		if _, ok := totals[svc.Group]; !ok && svc.Targets != nil {
			totals[svc.Group] = relay.Totals{}
		}
	}
	for g, t := range totals {
		add(g, t)
	}
	for label, s := range byLabel {
		gauge(c.open, float64(s.open), label)
		counter(c.opened, float64(s.Sessions), label)
		for from, of := range map[string]admin.Traffic{"client": traffic(&s.FromClient), "backend": traffic(&s.FromBackend)} {
			counter(c.messages, float64(of.Messages), label, from)
			counter(c.frames, float64(of.Frames), label, from)
			counter(c.controls, float64(of.Controls), label, from)
			counter(c.bytes, float64(of.Bytes), label, from)
		}
		for side, w := range s.Waits {
			from := relay.Side(side).String()
			counter(c.waits, float64(w.Messages), label, from, "message_rate")
			counter(c.waits, float64(w.Bytes), label, from, "byte_rate")
		}
	}
}
