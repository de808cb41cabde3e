package backend

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"sluice/internal/wire"
)

// fallbackDelay is how long the first of two addresses has before the second is
// tried beside it (RFC 8305, section 5).
const fallbackDelay = 250 * time.Millisecond

// An HTTP/2 connection that was silent for so long is asked whether it is still
// there: all requests would wait on one that is not.
const (
	pingAfter   = 10 * time.Second
	pingTimeout = 5 * time.Second
)

// way is how an endpoint is reached. Links with the same way are the same.
type way struct {
	backend, endpoint string
	network           string // "tcp" or "unix"
	first, second     string // addresses of the same host; the second is "" or of the other family
	authority         string // host:port of the endpoint, by name if it has one
	serverName        string // where the Endpoint's TLS has none
	tlsKey            string
	secure, http2     bool
	streams           bool // Endpoint.Streams
	records           bool // Settings.TakeRecords
	proxy             int
	timeout           time.Duration
}

// link connects to one endpoint, and keeps connections for requests.
type link struct {
	way
	tls, tlsHTTP, tlsStreams *tls.Config   // for WebSockets, for requests, and for WebSockets over HTTP/2; nil for plain
	open                     *atomic.Int64 // connections to the endpoint
	transport                *http.Transport
	sessions                 *streams      // nil unless way.streams
	fallback                 time.Duration // fallbackDelay
}

// use is what a connection is for.
type use uint8

const (
	overHTTP1   use = iota // one WebSocket
	requests               // one after the other, or many with HTTP/2
	overStreams            // many WebSockets
)

// newLink returns a link that counts its connections in open.
func newLink(how way, c *tls.Config, open *atomic.Int64) *link {
	l := &link{way: how, open: open, fallback: fallbackDelay}
	if c != nil {
		l.tls = c.Clone()
		l.tls.ServerName = cmp.Or(c.ServerName, how.serverName)
		l.tls.NextProtos = []string{"http/1.1"}
		l.tlsHTTP = l.tls
		l.tlsStreams = l.tls.Clone()
		l.tlsStreams.NextProtos = []string{"h2", "http/1.1"}
		if how.http2 {
			l.tlsHTTP = l.tlsStreams
		}
	}
	l.transport = l.newTransport()
	if how.streams {
		l.sessions = newStreams(l)
	}
	return l
}

func (l *link) newTransport() *http.Transport {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			client, _ := ctx.Value(endsKey{}).(*ends)
			return l.connect(ctx, client, requests)
		},
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        60 * time.Second,
		DisableKeepAlives:      l.proxy != 0, // a connection is one client's
		DisableCompression:     true,         // bodies pass as they are
		MaxResponseHeaderBytes: 256 << 10,
		ExpectContinueTimeout:  time.Second,
		WriteBufferSize:        8 << 10,
		ReadBufferSize:         8 << 10,
		Protocols:              new(http.Protocols),
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
	t.DialTLSContext = t.DialContext
	t.Protocols.SetHTTP1(!l.http2 || l.secure)
	t.Protocols.SetHTTP2(l.http2 && l.secure)
	t.Protocols.SetUnencryptedHTTP2(l.http2 && !l.secure)
	return t
}

// retire closes the connections that nobody uses, and those in use as soon as
// they are not.
func (l *link) retire() {
	l.transport.CloseIdleConnections()
	if l.sessions != nil {
		l.sessions.retire()
	}
}

// ends are those of a client's connection, or zero.
type ends struct{ client, server netip.AddrPort }

// endsKey is the context key of the ends, for a transport that dials.
type endsKey struct{}

// address makes r one for the endpoint.
func (l *link) address(r *http.Request) {
	r.URL.Scheme, r.URL.Host = "http", l.authority
	if l.secure {
		r.URL.Scheme = "https"
	}
}

func (l *link) roundTrip(r *http.Request, client *ends) (*http.Response, error) {
	l.address(r)
	if l.proxy != 0 {
		r = r.WithContext(context.WithValue(r.Context(), endsKey{}, client))
	}
	return l.transport.RoundTrip(r)
}

// settleTime is far more than a reader takes that only has to look.
const settleTime = time.Second

// Settle is to be called before a kept connection of RoundTrip is used again.
// It closes the connection if the endpoint has said more there than it was
// asked: net/http takes that for the answer to the next request, if it comes
// soon enough. The transport then uses another connection.
func Settle(c net.Conn) {
	w := wire.Of(c)
	if w == nil || !w.TracksReads() {
		return
	}
	w.ExpectEarlyAnswer()
	if !w.AwaitRead(settleTime) || w.Readable() {
		c.Close()
	}
}

// Waiting returns how many bytes an endpoint has taken of a connection of
// RoundTrip, and how many the system holds for it; zeros where nothing tells.
func Waiting(c net.Conn) (taken, waiting int64) {
	if w := wire.Of(c); w != nil {
		return w.SendQueue()
	}
	return 0, 0
}

// A DialError is an endpoint that could not be reached.
type DialError struct {
	Backend, Endpoint string
	Err               error
	NoPort            bool // no local port was left to connect from; others to the endpoint are open
}

func (e *DialError) Error() string {
	return fmt.Sprintf("backend %s: endpoint %s: %v", e.Backend, e.Endpoint, e.Err)
}

func (e *DialError) Unwrap() error { return e.Err }

// openStream opens a WebSocket over HTTP/2.
func (l *link) openStream(ctx context.Context, r *http.Request) (net.Conn, *http.Response, error) {
	if l.sessions == nil {
		return nil, nil, ErrNoStreams
	}
	l.address(r)
	return l.sessions.open(ctx, r)
}

// connect opens a connection for a client.
func (l *link) connect(ctx context.Context, client *ends, of use) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.timeout, fmt.Errorf("no connection within %v: %w", l.timeout, context.DeadlineExceeded))
	defer cancel()
	c, err := l.prepare(ctx, client, of)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && ShortageOf(err) == 0 {
			err = cause
		}
		return nil, l.failure(err)
	}
	if of != overHTTP1 {
		l.open.Add(1)
		wire.Of(c).OnClose(l)
	}
	return c, nil
}

// failure returns the error of a connection that failed with err. Where others
// to the endpoint are open there is a way to it: what lacks is a port.
func (l *link) failure(err error) *DialError {
	return &DialError{Backend: l.backend, Endpoint: l.endpoint, Err: err, NoPort: noAddress(err) && l.open.Load() > 0}
}

// Release implements [wire.Releaser]: a connection that connect has counted is closed.
func (l *link) Release() { l.open.Add(-1) }

// prepare opens a connection that is ready for use.
func (l *link) prepare(ctx context.Context, client *ends, of use) (net.Conn, error) {
	c, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	if l.proxy != 0 {
		if err := introduce(ctx, c, l.proxy, client); err != nil {
			c.Close()
			return nil, err
		}
	}
	if !l.secure {
		w := wire.New(c)
		if of == requests && !l.http2 {
			w.TrackReads()
			w.ExpectEarlyAnswer()
		}
		return w, nil
	}
	config := l.tls
	w := wire.NewTLS(c)
	switch {
	case of == requests:
		config = l.tlsHTTP
	case of == overStreams:
		config = l.tlsStreams
	case l.records:
		w.StartCapture()
	}
	t := tls.Client(w, w.HandshakeConfig(config))
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	switch http2 := t.ConnectionState().NegotiatedProtocol == "h2"; {
	case of == requests && !http2:
		w.TrackReads()
		w.ExpectEarlyAnswer()
	case of == overStreams && !http2:
		t.Close()
		return nil, ErrNoStreams
	}
	return t, nil
}

// dial connects to the first address or, when that fails or takes a while, to
// the second (RFC 8305).
func (l *link) dial(ctx context.Context) (net.Conn, error) {
	// A name may not have been looked up yet. The C library, which waits where it
	// gets no descriptor, would not say so.
	d := net.Dialer{Resolver: &net.Resolver{PreferGo: true}}
	if l.second == "" {
		return d.DialContext(ctx, l.network, l.first)
	}
	type result struct {
		c   net.Conn
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan result)
	start := func(address string) {
		go func() { // ends at the latest with ctx
			c, err := d.DialContext(ctx, l.network, address)
			select {
			case results <- result{c, err}:
			case <-ctx.Done():
				if err == nil {
					c.Close()
				}
			}
		}()
	}
	defer cancel()
	start(l.first)
	delay := time.NewTimer(l.fallback)
	defer delay.Stop()
	var failed []error
	for second := false; ; {
		begin := false
		select {
		case r := <-results:
			if r.err == nil {
				return r.c, nil
			}
			if failed = append(failed, r.err); len(failed) == 2 {
				return nil, errors.Join(failed...)
			}
			begin = !second
		case <-delay.C:
			begin = !second
		case <-ctx.Done():
			return nil, errors.Join(append(failed, context.Cause(ctx))...)
		}
		if begin {
			second = true
			start(l.second)
		}
	}
}
