package upgrade

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sluice/internal/header"
)

// offerHTTP2 offers the handshake over HTTP/2 (RFC 8441, section 5): a 2xx
// status has the place of the 101, and there is no key. An error of open is an
// [Unanswered], unless ctx has ended.
func (q *Request) offerHTTP2(ctx context.Context, open Stream) (net.Conn, *Answer, error) {
	r, err := q.extendedConnect()
	if err != nil {
		return nil, nil, err
	}
	c, resp, err := open(ctx, r)
	switch {
	case ctx.Err() != nil:
		if err == nil {
			c.Close()
		}
		return nil, nil, context.Cause(ctx)
	case err != nil:
		return nil, nil, &Unanswered{err}
	}
	a, err := q.verifyStream(c, resp)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, a, nil
}

// verifyStream checks the head of the answer to an extended CONNECT.
func (q *Request) verifyStream(c net.Conn, resp *http.Response) (*Answer, error) {
	h := header.FromHTTP(resp.Header)
	switch {
	case resp.StatusCode < 200 || resp.StatusCode > 999:
		return nil, &backendError{fmt.Sprintf("the answer to the handshake has the status %d", resp.StatusCode)}
	case resp.StatusCode >= 300:
		return refused(c, resp), c.SetDeadline(time.Now().Add(MaxRefusalTime))
	case h.Has(header.ContentLength): // RFC 9110, section 9.3.6
		return nil, &backendError{fmt.Sprintf("the backend's %d to the handshake has a Content-Length: the stream would end there", resp.StatusCode)}
	}
	return q.accepted(h)
}

// extendedConnect returns the extended CONNECT of the handshake, without the
// scheme and the endpoint's address.
func (q *Request) extendedConnect() (*http.Request, error) {
	target, err := url.ParseRequestURI(q.Path)
	if err != nil {
		return nil, fmt.Errorf("the handshake's target %q cannot be sent over HTTP/2: %w", q.Path, err)
	}
	h := q.Header.HTTP()
	if !q.Header.Has(header.UserAgent) {
		h["User-Agent"] = nil // otherwise Go sends its own
	}
	h[":protocol"] = []string{"websocket"}
	h["Sec-WebSocket-Version"] = []string{"13"}
	if len(q.Protocols) > 0 {
		h["Sec-WebSocket-Protocol"] = []string{strings.Join(q.Protocols, ", ")}
	}
	if q.Extensions != "" {
		h["Sec-WebSocket-Extensions"] = []string{q.Extensions}
	}
	return &http.Request{Method: http.MethodConnect, URL: target, Host: q.Host, Header: h}, nil
}
