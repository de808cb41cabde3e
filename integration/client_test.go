package integration

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// client returns an HTTP client that reaches the gateway under gateway.test,
// over HTTP/2 where it is offered, and follows no redirects.
func (g *gateway) client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{DialContext: dialGuarded, TLSClientConfig: g.https.TLS.Clone(), ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// guarded is a connection on which something must happen from time to time. How
// long an exchange takes is no test's business.
type guarded struct{ net.Conn }

func dialGuarded(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return guarded{c}, nil
}

func (c guarded) Read(b []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(wstest.Guard)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c guarded) Write(b []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(wstest.Guard)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
