package dial

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"time"

	"sluice/internal/httpsyntax"
	"sluice/internal/wire"
)

func (d *Dialer) newTransport() *http.Transport {
	secure, idle := d.spec.TLS != nil, d.keepAlive.Idle
	if d.spec.HTTP2 && !secure { // connections that carry requests count as idle ones
		idle = math.MaxInt
	}
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			client, _ := ctx.Value(addressesKey{}).(*Addresses)
			return d.connect(ctx, client, forRequests)
		},
		MaxIdleConnsPerHost:    idle,
		IdleConnTimeout:        d.keepAlive.Timeout,
		DisableKeepAlives:      d.spec.PROXY != 0, // such a connection belongs to one client
		DisableCompression:     true,              // bodies pass unchanged
		MaxResponseHeaderBytes: 256 << 10,
		ExpectContinueTimeout:  time.Second,
		WriteBufferSize:        8 << 10,
		ReadBufferSize:         8 << 10,
		Protocols:              new(http.Protocols),
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
	t.DialTLSContext = t.DialContext
	t.Protocols.SetHTTP1(!d.spec.HTTP2 || secure)
	t.Protocols.SetHTTP2(d.spec.HTTP2 && secure)
	t.Protocols.SetUnencryptedHTTP2(d.spec.HTTP2 && !secure)
	return t
}

// addressesKey is the key of the *Addresses in the context of a request: the
// transport passes only the context to DialContext.
type addressesKey struct{}

// RoundTrip sends a request to the endpoint over a kept connection, or a new
// one. The client may be nil where the Spec has no PROXY. If the endpoint cannot
// be reached, the error is an *[Error] and nothing of the request's body was
// read, though it is closed. It is [httpsyntax.ErrHTTP2] if the endpoint has begun in HTTP/2 instead of answering.
func (d *Dialer) RoundTrip(r *http.Request, client *Addresses) (*http.Response, error) {
	d.setTarget(r)
	if d.spec.PROXY != 0 {
		r = r.WithContext(context.WithValue(r.Context(), addressesKey{}, client))
	}
	if d.keepAlive.Requests > 0 {
		r = d.counted(r)
	}
	res, err := d.transport.RoundTrip(r)
	if errors.Is(err, httpsyntax.ErrHTTP2) {
		err = httpsyntax.ErrHTTP2 // net/http says in front of it that the connection is broken
	}
	return res, err
}

// idleCheckTimeout bounds the wait for the transport's reader to become idle. It
// is far longer than the reader needs.
const idleCheckTimeout = time.Second

// CheckIdle must be called before a kept connection of [Dialer.RoundTrip] is
// used again. It closes the connection if the endpoint has sent more than the
// answers: net/http would take those bytes for the answer to the next request.
// The transport then uses another connection.
func CheckIdle(c net.Conn) {
	w := wire.Of(c)
	if w == nil || !w.TracksReads() {
		return
	}
	w.ExpectEarlyAnswer()
	if !w.AwaitRead(idleCheckTimeout) || w.Readable() {
		c.Close()
	}
}

// Waiting returns how many bytes the endpoint has taken of a connection of
// [Dialer.RoundTrip], and how many the system still holds for it. Both are 0
// where the system does not tell.
func Waiting(c net.Conn) (taken, waiting int64) {
	if w := wire.Of(c); w != nil {
		return w.SendQueue()
	}
	return 0, 0
}
