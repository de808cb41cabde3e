// Package dial opens connections to one endpoint of a backend: TCP or a Unix
// socket, then a PROXY header, TLS, HTTP/1.1 or HTTP/2. It keeps connections
// for requests and for WebSockets over HTTP/2. It does not know which endpoint
// is picked, nor what is sent.
package dial

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"sluice/internal/wire"
)

// A kept HTTP/2 connection that is silent for pingAfter is sent a ping. Without
// an answer within pingTimeout it is closed: all its requests would wait for a
// peer that is gone.
const (
	pingAfter   = 10 * time.Second
	pingTimeout = 5 * time.Second
)

// A Spec is how an endpoint is reached.
type Spec struct {
	Backend, Endpoint string        // their names, for errors
	Network           string        // "tcp" or "unix"
	Address           string        // host:port or a path
	Fallback          string        // another address of the same host, in the other family; "" for none
	Authority         string        // host:port for a Host header, by name if the endpoint has one
	TLS               *tls.Config   // nil for plain connections; not changed
	TLSKey            string        // what TLS was made from: equal keys mean equal configurations
	ServerName        string        // for TLS, where TLS has none
	HTTP2             bool          // for requests: offered where there is TLS, else spoken without asking
	Streams           bool          // WebSockets may go over HTTP/2; only with TLS or HTTP2, and without PROXY
	PROXY             int           // version of the PROXY header to send; 0 for none
	TakeRecords       bool          // connections of Dial capture what it takes to take over their TLS records
	Timeout           time.Duration // for one connection, TLS included
	KeepAlive         KeepAlive     // of connections for requests
}

// Same reports whether connections by s and by o are interchangeable. It compares
// TLS configurations by their TLSKey.
func (s Spec) Same(o Spec) bool {
	if (s.TLS == nil) != (o.TLS == nil) {
		return false
	}
	s.TLS, o.TLS = nil, nil
	return s == o
}

// Addresses are the two ends of a client's connection, for a PROXY header. They
// may be zero.
type Addresses struct{ Client, Server netip.AddrPort }

// A Dialer opens connections to one endpoint. It is safe for concurrent use.
type Dialer struct {
	spec          Spec
	tlsSession    *tls.Config   // nil for plain connections
	tlsRequests   *tls.Config   // the same
	tlsStreams    *tls.Config   // the same
	open          *atomic.Int64 // connections to the endpoint
	surplus       func()        // counts answers to no request; may be nil
	transport     *http.Transport
	streams       *streamConns // nil unless spec.Streams
	direct        Direct
	unsuited      atomic.Bool // event loops cannot protect the endpoint's TLS records
	keepAlive     KeepAlive   // complete
	closed        context.Context
	close         context.CancelFunc
	fallbackDelay time.Duration
}

// purpose is what a connection is for.
type purpose uint8

const (
	forSession  purpose = iota // one WebSocket over HTTP/1.1
	forRequests                // requests: one after the other, or many over HTTP/2
	forStreams                 // many WebSockets over HTTP/2
	forLoop                    // HTTP/1.1 on an event loop
)

// New returns a dialer that connects to nothing yet. It counts in open the
// connections that it keeps; the caller counts those of [Dialer.Dial] there,
// because their end is not known here. Surplus is what [Dialer.Surplus] calls; it may be nil.
func New(spec Spec, open *atomic.Int64, surplus func()) *Dialer {
	d := &Dialer{spec: spec, open: open, surplus: surplus, keepAlive: spec.KeepAlive.withDefaults(), fallbackDelay: fallbackDelay}
	d.closed, d.close = context.WithCancel(context.Background())
	if c := spec.TLS; c != nil {
		d.tlsSession = c.Clone()
		d.tlsSession.ServerName = cmp.Or(c.ServerName, spec.ServerName)
		d.tlsSession.NextProtos = []string{"http/1.1"}
		d.tlsStreams = d.tlsSession.Clone()
		d.tlsStreams.NextProtos = []string{"h2", "http/1.1"}
		d.tlsRequests = d.tlsSession
		if spec.HTTP2 {
			d.tlsRequests = d.tlsStreams
		}
	}
	if spec.TLS == nil && spec.Fallback == "" {
		d.direct = directOf(spec.Network, spec.Address)
	}
	d.transport = d.newTransport()
	if spec.Streams {
		d.streams = newStreamConns(d)
	}
	return d
}

// Spec returns what the dialer was made from. It must not be changed.
func (d *Dialer) Spec() *Spec { return &d.spec }

// KeepAlive returns how connections for requests are kept, those of event loops too. It
// has no zero values but Requests, and must not be changed.
func (d *Dialer) KeepAlive() *KeepAlive { return &d.keepAlive }

// Closed returns a context that ends with [Dialer.Close]: connections of event loops are
// not kept any more.
func (d *Dialer) Closed() context.Context { return d.closed }

// Close closes the kept connections that are not in use, and makes the others
// close after their last use. The dialer stays usable.
func (d *Dialer) Close() {
	d.close()
	d.transport.CloseIdleConnections()
	if d.streams != nil {
		d.streams.close()
	}
}

// Dial opens a connection for one WebSocket over HTTP/1.1. It is the caller's,
// and is a *wire.Conn, or a *tls.Conn over one after the TLS handshake. The
// client may be nil where the Spec has no PROXY. The error is an *[Error].
func (d *Dialer) Dial(ctx context.Context, client *Addresses) (net.Conn, error) {
	return d.connect(ctx, client, forSession)
}

// Stream opens a WebSocket over HTTP/2: it sends r, an extended CONNECT
// (RFC 8441, section 4), and returns the answer and its stream as a connection,
// which is the caller's. The answer's body is what is read from the stream. The
// error matches [http.ErrNotSupported] where the endpoint does not offer
// WebSockets over HTTP/2, and is an *[Error] if it cannot be reached.
func (d *Dialer) Stream(ctx context.Context, r *http.Request) (net.Conn, *http.Response, error) {
	if d.streams == nil {
		return nil, nil, errNoStreams
	}
	d.setTarget(r)
	return d.streams.open(ctx, r)
}

// setTarget sends r to the endpoint.
func (d *Dialer) setTarget(r *http.Request) {
	r.URL.Scheme, r.URL.Host = "http", d.spec.Authority
	if d.spec.TLS != nil {
		r.URL.Scheme = "https"
	}
}

// connect opens a connection within the Spec's timeout. The error is an *Error.
func (d *Dialer) connect(ctx context.Context, client *Addresses, of purpose) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.spec.Timeout, fmt.Errorf("no connection within %v: %w", d.spec.Timeout, context.DeadlineExceeded))
	defer cancel()
	c, err := d.prepare(ctx, client, of)
	if err != nil {
		return nil, d.failure(ctx, err)
	}
	if of == forRequests || of == forStreams {
		d.open.Add(1)
		wire.Of(c).OnClose(d)
	}
	return c, nil
}

// Release implements [wire.Releaser]: a kept connection is closed.
func (d *Dialer) Release() { d.open.Add(-1) }

// prepare opens a connection that is ready to be used.
func (d *Dialer) prepare(ctx context.Context, client *Addresses, of purpose) (net.Conn, error) {
	c, err := d.dialAny(ctx)
	if err != nil {
		return nil, err
	}
	if d.spec.PROXY != 0 {
		if err := writeProxyHeader(ctx, c, d.spec.PROXY, client); err != nil {
			c.Close()
			return nil, err
		}
	}
	if d.spec.TLS != nil {
		return d.startTLS(ctx, c, of)
	}
	w := wire.New(c)
	if of == forRequests && !d.spec.HTTP2 {
		return watch(w), nil
	}
	return w, nil
}

// startTLS makes the TLS handshake on c. It closes c if that fails.
func (d *Dialer) startTLS(ctx context.Context, c net.Conn, of purpose) (net.Conn, error) {
	config := d.tlsSession
	w := wire.NewTLS(c)
	switch {
	case of == forRequests:
		config = d.tlsRequests
	case of == forStreams:
		config = d.tlsStreams
	case d.spec.TakeRecords:
		w.StartCapture()
		w.OneRecord(of == forLoop)
	}
	t := tls.Client(w, w.HandshakeConfig(config))
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	switch http2 := t.ConnectionState().NegotiatedProtocol == "h2"; {
	case of == forRequests && !http2:
		return watch(t), nil
	case of == forStreams && !http2:
		t.Close()
		return nil, errNoStreams
	}
	return t, nil
}
