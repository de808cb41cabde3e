package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Kind is what an endpoint is needed for.
type Kind uint8

const (
	Requests Kind = iota
	Sessions
)

// A Need is what an endpoint is asked for, and by whom.
type Need struct {
	Kind           Kind
	Hash           uint64         // of whom or what the work is for, see [HashOf]; for [Hash]
	Sticky         uint64         // [Lease.ID] of the endpoint that the client had before, if it is up; 0 means none
	Client, Server netip.AddrPort // the two ends of the client's connection, for PROXY headers; may be zero
}

// Tried is what one request or handshake has tried. Began is when, and From the
// client's address as clients are counted, which may be zero; the rest is zero
// at first.
type Tried struct {
	Began   time.Time
	From    netip.Addr
	members []*member
	last    error
	charged bool // an endpoint was blamed for what may be the request's own doing
}

func (t *Tried) has(m *member) bool {
	return len(t.members) > 0 && slices.Contains(t.members, m)
}

// A Lease is the use of one endpoint for a request or a session.
type Lease struct {
	pool     *Pool
	member   *member
	link     *link
	kind     Kind
	final    bool
	dialed   bool  // Dial's connection counts among those of the endpoint
	client   *ends // for PROXY headers; nil where there are none
	released atomic.Bool
}

// Backend and Endpoint name what is leased. Where an endpoint stands for
// several addresses its name has the one behind it.
func (l *Lease) Backend() string  { return l.pool.name }
func (l *Lease) Endpoint() string { return l.member.name }

// Authority is the endpoint's host and port for a Host header.
func (l *Lease) Authority() string { return l.link.authority }

// Final reports whether there will be no other try after this one.
func (l *Lease) Final() bool { return l.final }

// ID is the endpoint in a number other than 0, which is the same after a
// restart and in other processes with the same endpoint.
func (l *Lease) ID() uint64 { return l.member.id }

// Draining reports whether the endpoint shall have no sessions any more, and
// the time over which they end.
func (l *Lease) Draining() (bool, time.Duration) {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	return l.member.draining(), l.pool.settings.DrainTime
}

// Release gives the endpoint back. Calling it again does nothing.
func (l *Lease) Release() {
	if !l.released.Swap(true) {
		l.hangUp()
		l.pool.giveBack(l.member, l.kind)
	}
}

// Report tells how the endpoint has served t: well, or not for the reason err.
// What the client did wrong is not to be reported. Other than when an endpoint
// cannot be reached, what goes wrong may be the request's doing: of all that
// one request has tried, one endpoint is charged with it. A shortage here is
// nobody's.
func (l *Lease) Report(t *Tried, err error) {
	switch {
	case err == nil:
		l.pool.report(l.member, served, t.From)
	case ShortageOf(err) != 0:
	case errors.As(err, new(*DialError)):
		l.pool.report(l.member, unreached, t.From)
	case !t.charged:
		t.charged = true
		l.pool.report(l.member, failed, t.From)
	}
}

// Fail reports that the endpoint has not served, gives it back and notes that
// it was tried.
func (l *Lease) Fail(t *Tried, err error) {
	l.Report(t, err)
	t.members = append(t.members, l.member)
	t.last = err
	l.Release()
}

// Dial connects to the endpoint, TLS included. The error is a *[DialError]. The
// connection is the caller's; it is a *wire.Conn, or a *tls.Conn over one. It
// counts among those of the endpoint until the lease is released.
func (l *Lease) Dial(ctx context.Context) (net.Conn, error) {
	c, err := l.link.connect(ctx, l.client, overHTTP1)
	if err == nil && !l.dialed {
		l.dialed = true
		l.link.open.Add(1)
	}
	return c, err
}

// hangUp is for when Dial's connection is over.
func (l *Lease) hangUp() {
	if l.dialed {
		l.dialed = false
		l.link.open.Add(-1)
	}
}

// Stream opens a WebSocket over HTTP/2: it sends r, an extended CONNECT (RFC
// 8441, section 4), and returns the answer with its stream as a connection,
// which is the caller's. The body of the answer is what is read from it. The
// error is [ErrNoStreams] where [Lease.Dial] is the only way, and a *[DialError]
// when the endpoint cannot be reached.
func (l *Lease) Stream(ctx context.Context, r *http.Request) (net.Conn, *http.Response, error) {
	return l.link.openStream(ctx, r)
}

// RoundTrip sends a request to the endpoint over a kept connection. When the
// endpoint cannot be reached the error is a *[DialError] and nothing of the
// request was read, though its body is closed.
func (l *Lease) RoundTrip(r *http.Request) (*http.Response, error) {
	return l.link.roundTrip(r, l.client)
}

// An UnavailableError is a backend without an endpoint to use.
type UnavailableError struct {
	Backend    string
	Full       bool          // some are up, but all of them full; else none is up
	RetryAfter time.Duration // when it may be otherwise
}

func (e *UnavailableError) Error() string {
	if e.Full {
		return fmt.Sprintf("backend %s: all endpoints are full", e.Backend)
	}
	return fmt.Sprintf("backend %s: no endpoint is up", e.Backend)
}

// Longest and shortest time a client is told to stay away.
const minRetryAfter, maxRetryAfter = time.Second, 30 * time.Second

// unavailable is called with the lock held.
func (p *Pool) unavailable(full bool) *UnavailableError {
	e := &UnavailableError{Backend: p.name, Full: full, RetryAfter: minRetryAfter}
	if full {
		return e
	}
	e.RetryAfter = maxRetryAfter
	now := time.Now()
	for _, m := range p.current {
		switch {
		case !m.ejected.IsZero():
			e.RetryAfter = min(e.RetryAfter, m.ejected.Sub(now))
		case !m.well:
			e.RetryAfter = min(e.RetryAfter, p.settings.Check.Interval)
		}
	}
	e.RetryAfter = max(e.RetryAfter, minRetryAfter)
	return e
}
