package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestOfferHTTP2(t *testing.T) {
	refused := errors.New("no connection")
	answer := func(status int, header ...string) *http.Response {
		h := make(http.Header)
		for _, line := range header {
			name, value, _ := strings.Cut(line, ": ")
			h.Add(name, value)
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("body")), ContentLength: -1}
	}
	deflate := "Sec-Websocket-Extensions: permessage-deflate"
	tests := []struct {
		name   string
		resp   *http.Response
		err    error
		status int    // of the Answer
		fails  string // text of the error
	}{
		{name: "200", resp: answer(200), status: 101},
		{name: "204", resp: answer(204), status: 101},
		{name: "all that was offered", resp: answer(200, "Sec-Websocket-Protocol: v2", deflate), status: 101},
		{name: "another subprotocol", resp: answer(200, "Sec-Websocket-Protocol: v3"), fails: `the backend chose the subprotocol "v3", which was not offered`},
		{name: "another extension", resp: answer(200, "Sec-Websocket-Extensions: x"), fails: `the backend chose the extensions ["x"], which were not offered`},
		{name: "a Content-Length", resp: answer(200, "Content-Length: 4"), fails: "the backend's 200 to the handshake has a Content-Length: the stream would end there"},
		{name: "refused", resp: answer(403, "X-Why: because"), status: 403},
		{name: "redirected", resp: answer(302, "Location: /there"), status: 302},
		{name: "no status", resp: answer(7), fails: "the answer to the handshake has the status 7"},
		{name: "a status too large", resp: answer(1000), fails: "the answer to the handshake has the status 1000"},
		{name: "no connection", err: refused, fails: "no connection"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			near, far := net.Pipe()
			defer far.Close()
			var sent *http.Request
			c, a, err := offered().offerHTTP2(t.Context(), func(_ context.Context, r *http.Request) (net.Conn, *http.Response, error) {
				sent = r
				return near, tt.resp, tt.err
			})
			if got := fmt.Sprint(err); tt.fails != "" {
				var none *Unanswered
				if got != tt.fails || errors.As(err, &none) != (tt.err != nil) {
					t.Fatalf("offerHTTP2 = %q (unanswered: %v); want %q", got, none != nil, tt.fails)
				}
				return
			}
			if err != nil || a.Status != tt.status || c != near {
				t.Fatalf("offerHTTP2 = %v, %+v, %v; want %d", c, a, err, tt.status)
			}
			if tt.status != 101 {
				if body, err := io.ReadAll(a.Body); string(body) != "body" || err != nil {
					t.Errorf("the body of the refusal = %q, %v; want body", body, err)
				}
			}
			if want := tt.resp.Header.Get("Sec-Websocket-Protocol"); a.Protocol != want || a.Deflate() != (tt.resp.Header["Sec-Websocket-Extensions"] != nil) {
				t.Errorf("agreed on the subprotocol %q; want %q; deflate: %v", a.Protocol, want, a.Deflate())
			}
			h := fmt.Sprint(sent.Header)
			const want = "map[:protocol:[websocket] Cookie:[a=1] Sec-WebSocket-Extensions:[permessage-deflate; client_max_window_bits] Sec-WebSocket-Protocol:[v1, v2] Sec-WebSocket-Version:[13] User-Agent:[]]"
			if sent.Method != "CONNECT" || sent.Host != "example.com" || sent.URL.RequestURI() != "/chat" || h != want {
				t.Errorf("sent %s %s of %s with %s", sent.Method, sent.URL, sent.Host, h)
			}
		})
	}
}

// The target is sent as it came.
func TestStreamTargets(t *testing.T) {
	for _, target := range []string{"/", "/a%2Fb?x=%20&y", "//host/a", "/a?", "/a;b=c/:@!$&'()*+,"} {
		q := offered()
		q.Path = target
		r, err := q.extendedConnect()
		if err != nil || r.URL.RequestURI() != target {
			t.Errorf("%q is sent as %q, %v", target, r.URL.RequestURI(), err)
		}
	}
}

func TestOfferHTTP2EndsWithItsContext(t *testing.T) {
	gone := errors.New("the client is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	near, far := net.Pipe()
	defer far.Close()
	_, _, err := offered().offerHTTP2(ctx, func(context.Context, *http.Request) (net.Conn, *http.Response, error) {
		cancel(gone)
		return near, &http.Response{StatusCode: 200}, nil
	})
	if !errors.Is(err, gone) {
		t.Errorf("offerHTTP2 = %v; want the cause", err)
	}
	if _, err := near.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Write to the stream = %v; want that it is closed", err)
	}
}
