package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// The answer to TRACE shows what the gateway adds, so a route has to allow it.
func TestTraceAndMaxForwards(t *testing.T) {
	t.Parallel()
	b := shown(t)
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /any, backend: %[1]s, request: { set_headers: { X-Secret: s3cret } } }
  - { path: /get, methods: [GET], backend: %[1]s }
  - path: /traced
    methods: [GET, TRACE, OPTIONS]
    backend: %[1]s
    request: { set_headers: { X-Secret: s3cret, Authorization: s3cret }, remove_headers: [X-Admin] }
  - { path: /answered, methods: [OPTIONS, TRACE], respond: { body: here } }
`, b.Address))
	const any = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
	private := []string{"Cookie: s3cret", "Authorization: s3cret", "Proxy_Authorization: s3cret", "X-Admin: s3cret"}
	tests := []struct {
		name, method, path string
		lines              []string
		status             int
		allow              string
		body               []string // parts
		kind               string   // Content-Type
	}{
		{name: "TRACE", method: "TRACE", path: "/any", status: 405, allow: any},
		{name: "TRACE of a route with methods", method: "TRACE", path: "/get", status: 405, allow: "GET, HEAD"},
		{name: "TRACE of nothing", method: "TRACE", path: "/nothing", status: 404},
		{name: "TRACE in small letters is another method", method: "trace", path: "/any", status: 200, body: []string{"X-Secret: s3cret"}},
		{name: "TRACE that is wanted", method: "TRACE", path: "/traced", lines: append(private, "X-Mine: 1"), status: 200, body: []string{"TRACE /traced HTTP/1.1", "X-Mine: 1"}},
		{name: "TRACE with forwards left", method: "TRACE", path: "/traced", lines: []string{"Max-Forwards: 10"}, status: 200, body: []string{"Max-Forwards: 9\n"}},
		{name: "TRACE without forwards left", method: "TRACE", path: "/traced", lines: append(private, "Max-Forwards: 0", "X-Mine: 1"), status: 200, body: []string{"TRACE /traced HTTP/", "\r\nX-Mine: 1\r\n"}, kind: "message/http"},
		{name: "TRACE without forwards left that nobody wants", method: "TRACE", path: "/any", lines: []string{"Max-Forwards: 0"}, status: 405, allow: any},

		{name: "OPTIONS", method: "OPTIONS", path: "/any", status: 200, body: []string{"OPTIONS /any HTTP/1.1"}},
		{name: "OPTIONS with forwards left", method: "OPTIONS", path: "/any", lines: []string{"Max-Forwards: 1"}, status: 200, body: []string{"Max-Forwards: 0\n"}},
		{name: "OPTIONS with many forwards left", method: "OPTIONS", path: "/any", lines: []string{"Max-Forwards: 99999999999999999999"}, status: 200, body: []string{"Max-Forwards: 2147483647\n"}},
		{name: "OPTIONS without forwards left", method: "OPTIONS", path: "/any", lines: []string{"Max-Forwards: 0"}, status: 200, allow: any},
		{name: "OPTIONS without forwards left, with zeros", method: "OPTIONS", path: "/any", lines: []string{"Max-Forwards: 000"}, status: 200, allow: any},
		{name: "OPTIONS without forwards left, of a route with methods", method: "OPTIONS", path: "/traced", lines: []string{"Max-Forwards: 0"}, status: 200, allow: "GET, HEAD, OPTIONS, TRACE"},
		{name: "OPTIONS with an answer of the gateway's own", method: "OPTIONS", path: "/answered", lines: []string{"Max-Forwards: 0"}, status: 200, body: []string{"here"}},
		{name: "OPTIONS with a negative number", method: "OPTIONS", path: "/any", lines: []string{"Max-Forwards: -1"}, status: 400},
		{name: "OPTIONS with a fraction", method: "OPTIONS", path: "/any", lines: []string{"Max-Forwards: 1.0"}, status: 400},
		{name: "OPTIONS with an empty number", method: "OPTIONS", path: "/any", lines: []string{"Max-Forwards:"}, status: 400},
		{name: "OPTIONS with two numbers", method: "OPTIONS", path: "/any", lines: []string{"Max-Forwards: 1", "Max-Forwards: 0"}, status: 400},
		{name: "GET leaves it", method: "GET", path: "/any", lines: []string{"Max-Forwards: 0"}, status: 200, body: []string{"Max-Forwards: 0\n"}},
		{name: "GET leaves what is no number", method: "GET", path: "/any", lines: []string{"Max-Forwards: x"}, status: 200, body: []string{"Max-Forwards: x\n"}},
		{name: "POST leaves it", method: "POST", path: "/any", lines: []string{"Max-Forwards: 5", "Content-Length: 0"}, status: 200, body: []string{"Max-Forwards: 5\n"}},
	}
	for _, tt := range tests {
		check := func(t *testing.T, r *http.Response, body string) {
			t.Helper()
			if r.StatusCode != tt.status || tt.allow != "" && r.Header.Get("Allow") != tt.allow {
				t.Errorf("status %d, Allow %q; want %d, %q", r.StatusCode, r.Header.Get("Allow"), tt.status, tt.allow)
			}
			for _, part := range tt.body {
				if !strings.Contains(body, part) {
					t.Errorf("no %q in\n%s", part, body)
				}
			}
			if tt.method == "TRACE" && strings.Contains(body, "s3cret") {
				t.Errorf("TRACE shows\n%s", body)
			}
			if got := r.Header.Get("Content-Type"); tt.kind != "" && got != tt.kind {
				t.Errorf("Content-Type %q, want %s", got, tt.kind)
			}
		}
		t.Run("HTTP/1.1/"+tt.name, func(t *testing.T) {
			r, body := wstest.Ask(t, g.http, strings.Replace(get(tt.path, tt.lines...), "GET", tt.method, 1))
			check(t, r, body)
		})
		t.Run("HTTP/2/"+tt.name, func(t *testing.T) {
			q, err := http.NewRequestWithContext(t.Context(), tt.method, g.https.URL(tt.path), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range tt.lines {
				name, value, _ := strings.Cut(line, ":")
				q.Header.Add(name, strings.TrimSpace(value))
			}
			r, err := g.client(t).Do(q)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r.Body)
			r.Body.Close()
			if err != nil || r.ProtoMajor != 2 {
				t.Fatalf("%s, %v", r.Proto, err)
			}
			check(t, r, string(body))
		})
	}
	if r, _ := wstest.Ask(t, g.http, "TRACE /traced HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1\r\n\r\nx"); r.StatusCode != 400 {
		t.Errorf("TRACE with a body: status %d, want 400", r.StatusCode)
	}
	out, _ := sluice(t, "explain", "--config", g.config, "--method", "TRACE", "http://gateway.test/any")
	if !strings.Contains(out, "405") || !strings.Contains(out, "method TRACE is not named") {
		t.Errorf("explain says\n%s\nwant 405", out)
	}
}
