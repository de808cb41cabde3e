package forward

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

func TestInformationalAnswers(t *testing.T) {
	const final = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	tests := []struct {
		name, expect, before, after string // what the backend sends before and after it has the body
		want                        []int
	}{
		{name: "none", want: []int{}},
		{name: "103", before: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n", want: []int{103}},
		{name: "102 after the body", after: "HTTP/1.1 102 Processing\r\n\r\n", want: []int{102}},
		{name: "100 that was not asked for", before: "HTTP/1.1 100 Continue\r\n\r\n", want: []int{}},
		{name: "100 that was asked for", expect: "Expect: 100-continue\r\n", before: "HTTP/1.1 100 Continue\r\n\r\n", want: []int{100}},
		{name: "100 twice", expect: "Expect: 100-continue\r\n", before: "HTTP/1.1 100 Continue\r\n\r\n", after: "HTTP/1.1 100 Continue\r\n\r\n", want: []int{100}},
		{name: "103 and 100", expect: "Expect: 100-continue\r\n", before: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", after: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", want: []int{103, 100, 103}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := startGateway(t, serveRaw(t, func(c net.Conn, r *bufio.Reader) {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				io.WriteString(c, tt.before)
				if body, err := io.ReadAll(req.Body); string(body) != "body" || err != nil {
					t.Errorf("the backend got %q, %v; want body", body, err)
				}
				io.WriteString(c, tt.after+final)
			}))
			got := []int{}
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				got = append(got, code)
				if code == 103 && (h.Get("Link") != "</x>" || h.Get("X-Hop") != "") {
					t.Errorf("the 103 has %v; want only Link", h)
				}
				return nil
			}})
			req, _ := http.NewRequestWithContext(ctx, "POST", g.URL, strings.NewReader("body"))
			if name, value, ok := strings.Cut(strings.TrimSpace(tt.expect), ": "); ok {
				req.Header.Set(name, value)
			}
			client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: wstest.Guard, DisableKeepAlives: true}}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if res.StatusCode != 200 || string(body) != "hi" || err != nil || res.Header.Get("Link") != "" {
				t.Errorf("answer = %d %q %v, %v; want 200 hi without Link", res.StatusCode, body, res.Header, err)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("informational answers %v; want %v", got, tt.want)
			}
		})
	}
}

// The client gets no 100 if the backend has answered without the body.
func TestNoContinueAfterARefusal(t *testing.T) {
	g := startGateway(t, answerWith(t, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
	res, body, err := ask(t, g, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n")
	if err != nil || res.StatusCode != 413 {
		t.Errorf("answer = %v %q, %v; want 413 and no 100 before it", res, body, err)
	}
}
