package backend

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"sluice/internal/limit"
	"sluice/proxy/backend/dial"
)

// A Lease is the use of one endpoint for one request or session. There is one
// for each open session, so it is small.
type Lease struct {
	pool     *Pool
	endpoint *endpoint
	dialer   *dial.Dialer
	kind     Kind
	final    bool
	dialed   bool            // the connection of Dial counts in endpoint.open
	client   *dial.Addresses // nil where no PROXY header is sent
	released atomic.Bool
}

// newLease returns a lease of e for the next try of t. The lock is held.
func (p *Pool) newLease(e *endpoint, n Need, t *Tried) *Lease {
	l := new(Lease)
	l.start(p, e, n, t)
	return l
}

// start makes l a lease of e for the next try of t. The lock is held.
func (l *Lease) start(p *Pool, e *endpoint, n Need, t *Tried) {
	if len(t.endpoints) > 0 {
		p.settings.Metrics.Retried()
	}
	t.leased = time.Now()
	*l = Lease{pool: p, endpoint: e, dialer: e.dialer, kind: n.Kind, final: p.final(t)}
	if e.dialer.Spec().PROXY != 0 {
		l.client = &dial.Addresses{Client: n.Client}
		if n.Server != nil {
			l.client.Server = n.Server()
		}
	}
}

// Backend and Endpoint are the names of what is leased. An endpoint that is an
// address of a name is called by both.
func (l *Lease) Backend() string  { return l.pool.name }
func (l *Lease) Endpoint() string { return l.endpoint.name }

// Configured is the name of what is leased as it is configured: that of the name for an address of one.
func (l *Lease) Configured() string { return l.endpoint.configured }

// Authority returns the endpoint's host and port for a Host header.
func (l *Lease) Authority() string { return l.dialer.Spec().Authority }

// Server returns where the endpoint is: host and port, by name if it has one, or the path of its socket.
func (l *Lease) Server() string {
	if spec := l.dialer.Spec(); spec.Network == "unix" {
		return spec.Address
	}
	return l.Authority()
}

// Final reports whether there will be no other try after this one.
func (l *Lease) Final() bool { return l.final }

// ID returns a number for the endpoint that is not 0. It is the same after a
// restart and in other processes with the same endpoint.
func (l *Lease) ID() uint64 { return l.endpoint.id }

// Draining reports whether the sessions of the endpoint have to end, and over
// what time.
func (l *Lease) Draining() (bool, time.Duration) {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	return l.endpoint.draining(), l.pool.settings.DrainTime
}

// Release gives the endpoint back. A second call does nothing.
func (l *Lease) Release() {
	if !l.released.Swap(true) {
		l.uncountDialed()
		l.pool.unassign(l.endpoint, l.kind)
	}
}

// Report tells the pool how the endpoint has served t: err is nil if it served
// well. The caller must not report what the client did wrong. A shortage in the
// gateway counts for no endpoint. An endpoint that cannot be reached always
// counts as failed. Any other failure may come from the request itself, so all
// failures of one request count for one endpoint.
func (l *Lease) Report(t *Tried, err error) {
	switch {
	case err == nil:
		l.pool.report(l.endpoint, served, t)
	case limit.ShortageOf(err) != 0:
	case errors.As(err, new(*dial.Error)):
		l.pool.report(l.endpoint, unreached, t)
	case !t.blamed:
		t.blamed = true
		l.pool.report(l.endpoint, failed, t)
	default:
		l.pool.countFailed(l.endpoint)
	}
}

// Fail reports that the endpoint has failed with err, adds it to what t has
// tried, and releases the lease.
func (l *Lease) Fail(t *Tried, err error) {
	l.Report(t, err)
	t.endpoints = append(t.endpoints, l.endpoint)
	t.last = err
	l.Release()
}

// Dial opens a connection for one WebSocket over HTTP/1.1, TLS included. The
// connection is the caller's; it is a *wire.Conn, or a *tls.Conn over one. It
// counts as open until the lease is released. The error is a *[dial.Error].
func (l *Lease) Dial(ctx context.Context) (net.Conn, error) {
	c, err := l.dialer.Dial(ctx, l.client)
	if err == nil && !l.dialed {
		l.dialed = true
		l.endpoint.open.Add(1)
	}
	return c, err
}

// CountSession counts the connection of an event loop as open until the lease is released, as Dial
// does.
func (l *Lease) CountSession() {
	l.dialed = true
	l.endpoint.open.Add(1)
}

// uncountDialed notes that the connection of Dial is closed.
func (l *Lease) uncountDialed() {
	if l.dialed {
		l.dialed = false
		l.endpoint.open.Add(-1)
	}
}

// Dialer returns what opens connections to the endpoint.
func (l *Lease) Dialer() *dial.Dialer { return l.dialer }

// Stream opens a WebSocket over HTTP/2: see [dial.Dialer.Stream].
func (l *Lease) Stream(ctx context.Context, r *http.Request) (net.Conn, *http.Response, error) {
	return l.dialer.Stream(ctx, r)
}

// RoundTrip sends a request to the endpoint over a kept connection: see
// [dial.Dialer.RoundTrip].
func (l *Lease) RoundTrip(r *http.Request) (*http.Response, error) {
	return l.dialer.RoundTrip(r, l.client)
}
