package backend

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
	"time"

	"sluice/internal/telemetry/metrics"
	"sluice/proxy/backend/dial"
)

// backupTier is added to the tier of a backup endpoint. It is above all ranks of
// SRV records.
const backupTier = 1 << 16

// endpoint is an [Endpoint] at work, or one address of it. The pool's lock
// guards all of it but open.
type endpoint struct {
	name       string // for people; different for all endpoints of the pool; it never changes
	configured string // Endpoint.Name; it never changes
	id         uint64 // of the name, the same in every process; not 0
	generation int    // of the pool, when the settings last had this endpoint

	dialer                   *dial.Dialer
	weight                   float64
	tier                     int
	maxSessions, maxRequests int
	insecure                 bool
	drainConfigured          bool // by the settings
	drainRequested           bool // by Drain
	drainEvicted             bool // its sessions were told to end because it drains

	busy     [2]int       // work, by Kind
	evicting int          // sessions that were told to end for a rebalance and still count in busy
	open     atomic.Int64 // connections; those of Dial count until their lease is released

	index           int       // in the pool's heap; -1 while it gets no work
	turn            uint64    // number of the pick that picked it last
	virtualTime     float64   // round robin: when its next turn is
	joined          time.Time // when it last joined or came up; zero once its slow start is over
	effectiveWeight float64   // weight, or less during the slow start

	health
	history
	noted   string                                     // its state, as it was when since was set
	since   time.Time                                  // when its state last changed; zero while it has not
	done    struct{ served, failed, ejections uint64 } // what it has done so far
	metrics atomic.Pointer[metrics.Endpoint]           // of nil until counting begins; loops look at it without the lock
}

func newEndpoint(name, configured string, turn uint64) *endpoint {
	sum := sha256.Sum256([]byte(name))
	return &endpoint{name: name, configured: configured, id: binary.BigEndian.Uint64(sum[:]) | 1, index: -1, turn: turn, health: health{healthy: true}}
}

// configure applies c and s to e, which is the target t of c.
func (e *endpoint) configure(backend string, c *Endpoint, t target, s *Settings) {
	if e.metrics.Load() == nil {
		e.metrics.Store(s.Metrics.Endpoint(e.name))
	}
	e.weight = float64(max(c.Weight, 1)) * cmp.Or(t.Weight, 1)
	e.tier = t.Rank
	if c.Backup {
		e.tier += backupTier
	}
	e.maxSessions, e.maxRequests = c.MaxSessions, c.MaxRequests
	e.insecure = c.TLS != nil && c.TLS.InsecureSkipVerify
	e.drainConfigured = c.Drain
	e.drainEvicted = e.drainEvicted && e.draining()
	if s.Check.Probe == nil {
		e.health.reset()
	}
	spec := dial.Spec{
		Backend: backend, Endpoint: e.name,
		Network: t.network, Address: t.Address, Fallback: t.Fallback, Authority: t.Authority,
		TLS: c.TLS, TLSKey: c.TLSKey, ServerName: t.Host,
		HTTP2: c.HTTP2, Streams: c.Streams, PROXY: c.PROXY,
		TakeRecords: s.TakeRecords, Timeout: s.ConnectTimeout, KeepAlive: s.KeepAlive,
	}
	if e.dialer == nil || !e.dialer.Spec().Same(spec) {
		if e.dialer != nil {
			e.dialer.Close()
		}
		e.dialer = dial.New(spec, &e.open, func() { e.metrics.Load().Surplus() })
	}
}

func (e *endpoint) draining() bool { return e.drainConfigured || e.drainRequested }

// up reports whether e may get work.
func (e *endpoint) up() bool { return e.healthy && e.ejectedUntil.IsZero() && !e.draining() }

func (e *endpoint) idle() bool { return e.busy == [2]int{} }

func (e *endpoint) load() int { return e.busy[Requests] + e.busy[Sessions] }

// full reports whether e may take no more work of a kind.
func (e *endpoint) full(k Kind) bool {
	most := e.maxRequests
	if k == Sessions {
		most = e.maxSessions
	}
	return most > 0 && e.busy[k] >= most
}

// A slow start begins with slowStartShare of the weight and raises it in
// slowStartSteps steps.
const (
	slowStartShare = 0.1
	slowStartSteps = 50
)

// updateWeight sets the effective weight of e, where a slow start takes so long.
func (e *endpoint) updateWeight(now time.Time, slowStart time.Duration) {
	e.effectiveWeight = e.weight
	if age := now.Sub(e.joined); !e.joined.IsZero() && age < slowStart {
		e.effectiveWeight *= max(slowStartShare, float64(age)/float64(slowStart))
	} else {
		e.joined = time.Time{}
	}
}

// slowStarting reports whether the weight of a ready endpoint still grows.
func (p *Pool) slowStarting() bool {
	for i := range p.ready {
		if !p.ready[i].Value.joined.IsZero() {
			return true
		}
	}
	return false
}

// advanceSlowStart takes the next step of slow starts.
func (p *Pool) advanceSlowStart(now time.Time, due *nextDue) {
	if p.slowStarting() {
		p.rebuildReady(now)
		due.at(now.Add(p.settings.SlowStart/slowStartSteps + time.Millisecond))
	}
}

// state returns the state of e in a word.
func (e *endpoint) state() string {
	switch {
	case e.draining():
		return "draining"
	case !e.healthy:
		return "down"
	case !e.ejectedUntil.IsZero():
		return "ejected"
	}
	return "up"
}

// noteState notes since when e is in its state.
func (e *endpoint) noteState(now time.Time) {
	if state := e.state(); e.noted != state {
		if e.noted != "" {
			e.since = now
		}
		e.noted = state
	}
}

// A Status describes an endpoint at one moment.
type Status struct {
	Backend, Endpoint  string
	State              string    // up, down, ejected or draining
	Since              time.Time // when the state last changed; zero while it has not
	Standby            bool      // it is up, but other endpoints get the work
	Sessions, Requests int
	Weight             float64
	Served, Failed     uint64 // requests and handshakes so far
	Ejections          uint64
	Insecure           bool   // its certificate is not verified
	Detail             string // error of the last probe; "" if that was good
}

// Queued returns how much work of a kind waits for an endpoint.
func (p *Pool) Queued(k Kind) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting[k].Len()
}

// Status describes the endpoints, in the order in which they are used.
func (p *Pool) Status() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Status, len(p.current))
	for i, e := range p.current {
		s := Status{
			Backend: p.name, Endpoint: e.name, State: e.state(), Standby: e.up() && e.index < 0,
			Sessions: e.busy[Sessions], Requests: e.busy[Requests],
			Since: e.since, Served: e.done.served, Failed: e.done.failed, Ejections: e.done.ejections,
			Weight: e.weight, Insecure: e.insecure, Detail: e.detail,
		}
		all[i] = s
	}
	return all
}
