package upgrade

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A Stream sends an extended CONNECT and returns the answer with its stream as
// a connection, whose bytes are the answer's body.
type Stream func(ctx context.Context, r *http.Request) (net.Conn, *http.Response, error)

// OfferStream is [Offer] over HTTP/2 (RFC 8441, section 5), where 2xx is the
// 101 and there is no key. It returns the stream too, which is the caller's. An
// error of open is an [Unanswered], unless ctx has ended.
func OfferStream(ctx context.Context, open Stream, q *Request) (net.Conn, *Answer, error) {
	r, err := q.connect()
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
	a, err := q.judge(c, resp)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, a, nil
}

// judge reads the head of the answer to an extended CONNECT.
func (q *Request) judge(c net.Conn, resp *http.Response) (*Answer, error) {
	_, sized := resp.Header["Content-Length"]
	switch {
	case resp.StatusCode < 200 || resp.StatusCode > 999:
		return nil, &BackendError{fmt.Sprintf("the answer to the handshake has the status %d", resp.StatusCode)}
	case resp.StatusCode >= 300:
		return refusal(c, resp), c.SetDeadline(time.Now().Add(maxRefusal))
	case sized: // RFC 9110, section 9.3.6
		return nil, &BackendError{fmt.Sprintf("the backend's %d to the handshake has a Content-Length: the stream would end there", resp.StatusCode)}
	}
	return q.agree(resp.Header)
}

// connect makes the extended CONNECT, without scheme and endpoint.
func (q *Request) connect() (*http.Request, error) {
	target, err := url.ParseRequestURI(q.Path)
	if err != nil {
		return nil, fmt.Errorf("the handshake's target %q cannot be sent over HTTP/2: %w", q.Path, err)
	}
	h := q.Header.Clone()
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // or there would be Go's
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
