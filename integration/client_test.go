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

func dialGuarded(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return sending{wstest.Guarded(c)}, nil
}

// sending is a connection whose reads wait as long as something is sent: the answer to a large
// body comes after the body. A transport reads all the time.
type sending struct{ net.Conn }

func (s sending) Write(b []byte) (int, error) {
	if err := s.SetReadDeadline(time.Now().Add(wstest.Guard)); err != nil {
		return 0, err
	}
	return s.Conn.Write(b)
}
