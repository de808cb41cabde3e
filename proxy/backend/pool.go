// Package backend is the endpoints of a backend: which one to use, how to reach
// it, and how much it has to do. It knows neither requests nor routes.
package backend

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/wire"
)

// An Endpoint is one address of a backend.
type Endpoint struct {
	Name    string      // for logs, as written in the configuration
	Network string      // "tcp" or "unix"
	Address string      // host:port, or a path
	TLS     *tls.Config // nil for plain; ServerName must be set
	H2C     bool        // requests go over HTTP/2 with prior knowledge; Dial's connection is for HTTP/1.1 all the same
}

// Options of a Pool; the zero value works.
type Options struct {
	ConnectTimeout time.Duration // for one endpoint, TLS included; 0 means 5s
	TakeRecords    bool          // connections of Dial remember what it takes to take their TLS records over
}

// A Pool is the endpoints of one backend and what goes on at each.
type Pool struct {
	Name      string
	endpoints []*endpoint
	timeout   time.Duration
	records   bool

	mu   sync.Mutex
	turn int // where the next search for the least busy one starts
}

type endpoint struct {
	Endpoint
	busy      atomic.Int64 // leases: live sessions and requests
	transport *http.Transport
}

// New returns a pool of at least one endpoint. It connects to nothing yet.
func New(name string, endpoints []Endpoint, o Options) *Pool {
	p := &Pool{Name: name, timeout: o.ConnectTimeout, records: o.TakeRecords}
	if p.timeout <= 0 {
		p.timeout = 5 * time.Second
	}
	for _, e := range endpoints {
		p.endpoints = append(p.endpoints, &endpoint{Endpoint: e, transport: p.transport(e)})
	}
	return p
}

func (p *Pool) transport(e Endpoint) *http.Transport {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := p.connect(ctx, e, false)
			if err == nil && !e.H2C {
				wire.Of(c).Watch()
			}
			return c, err
		},
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        60 * time.Second,
		DisableCompression:     true, // bodies pass as they are
		MaxResponseHeaderBytes: 256 << 10,
		ExpectContinueTimeout:  time.Second,
		WriteBufferSize:        8 << 10,
		ReadBufferSize:         8 << 10,
	}
	t.DialTLSContext = t.DialContext
	if e.H2C {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	return t
}

// Close closes the connections that nobody uses. Leases stay valid.
func (p *Pool) Close() {
	for _, e := range p.endpoints {
		e.transport.CloseIdleConnections()
	}
}

// Same reports whether o has the same name, endpoints and options, so that it
// can live on in place of p.
func (p *Pool) Same(o *Pool) bool {
	return o != nil && p.Name == o.Name && p.timeout == o.timeout && p.records == o.records &&
		slices.EqualFunc(p.endpoints, o.endpoints, func(a, b *endpoint) bool {
			return a.Name == b.Name && a.Network == b.Network && a.Address == b.Address && a.H2C == b.H2C && sameTLS(a.TLS, b.TLS)
		})
}

func sameTLS(a, b *tls.Config) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ServerName == b.ServerName && a.RootCAs.Equal(b.RootCAs)
}

// Has reports whether an endpoint of that name belongs to the pool.
func (p *Pool) Has(name string) bool {
	for _, e := range p.endpoints {
		if e.Name == name {
			return true
		}
	}
	return false
}

// Tried is the endpoints that one request or handshake has found unreachable.
// The zero value is empty.
type Tried struct {
	endpoints []*endpoint
	last      error
}

// Acquire picks the endpoint with the least to do that was not tried. When all
// were, the error is that of the last one.
func (p *Pool) Acquire(tried *Tried) (*Lease, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var best *endpoint
	for i := range p.endpoints {
		e := p.endpoints[(p.turn+i)%len(p.endpoints)]
		if slices.Contains(tried.endpoints, e) {
			continue
		}
		if best == nil || e.busy.Load() < best.busy.Load() {
			best = e
		}
	}
	p.turn++
	if best == nil {
		return nil, tried.last
	}
	best.busy.Add(1)
	return &Lease{pool: p, endpoint: best}, nil
}

// A Lease is the use of one endpoint for a request or a session.
type Lease struct {
	pool     *Pool
	endpoint *endpoint
	released atomic.Bool
}

// Backend and Endpoint name what is leased.
func (l *Lease) Backend() string  { return l.pool.Name }
func (l *Lease) Endpoint() string { return l.endpoint.Name }

// Release gives the endpoint back. Calling it again does nothing.
func (l *Lease) Release() {
	if !l.released.Swap(true) {
		l.endpoint.busy.Add(-1)
	}
}

// Fail gives the endpoint back and notes that it could not be reached.
func (l *Lease) Fail(t *Tried, err error) {
	t.endpoints = append(t.endpoints, l.endpoint)
	t.last = err
	l.Release()
}

// Dial connects to the endpoint, TLS included. The error is a *DialError. The
// connection is the caller's; it is a *wire.Conn, or a *tls.Conn over one.
func (l *Lease) Dial(ctx context.Context) (net.Conn, error) {
	return l.pool.connect(ctx, l.endpoint.Endpoint, l.pool.records)
}

// RoundTrip sends a request to the endpoint over a kept connection. When the
// endpoint cannot be reached the error is a *DialError and nothing of the
// request was read, though its body is closed.
func (l *Lease) RoundTrip(r *http.Request) (*http.Response, error) {
	r.URL.Scheme, r.URL.Host = "http", l.endpoint.Address
	if l.endpoint.Network == "unix" {
		r.URL.Host = "localhost"
	}
	if l.endpoint.TLS != nil {
		r.URL.Scheme = "https"
	}
	return l.endpoint.transport.RoundTrip(r)
}

// settleTime is far more than a reader takes that only has to look.
const settleTime = time.Second

// Settle is to be called before a kept connection of RoundTrip is used again.
// It closes the connection if the endpoint has said more there than it was
// asked: net/http takes that for the answer to the next request, if it comes
// soon enough. The transport then uses another connection.
func Settle(c net.Conn) {
	w := wire.Of(c)
	if w == nil || !w.Watched() || w.Quiet(settleTime) && !w.Readable() {
		return
	}
	c.Close()
}

// A DialError is an endpoint that could not be reached.
type DialError struct {
	Backend, Endpoint string
	Err               error
}

func (e *DialError) Error() string {
	return fmt.Sprintf("backend %s: endpoint %s: %v", e.Backend, e.Endpoint, e.Err)
}

func (e *DialError) Unwrap() error { return e.Err }

func (p *Pool) connect(ctx context.Context, e Endpoint, remember bool) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout, fmt.Errorf("no connection within %v: %w", p.timeout, context.DeadlineExceeded))
	defer cancel()
	c, err := dial(ctx, e, remember)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, &DialError{Backend: p.Name, Endpoint: e.Name, Err: err}
	}
	return c, nil
}

func dial(ctx context.Context, e Endpoint, remember bool) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, e.Network, e.Address)
	if err != nil {
		return nil, err
	}
	if e.TLS == nil {
		return wire.New(c), nil
	}
	w := wire.NewTLS(c)
	if remember {
		w.Remember()
	}
	t := tls.Client(w, w.Configure(e.TLS))
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return t, nil
}
