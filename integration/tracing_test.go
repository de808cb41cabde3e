//go:build unix

package integration

import (
	"fmt"
	"strings"
	"testing"

	"sluice/internal/tracing/tracingtest"
	"sluice/internal/wstest"
)

// The spans of the whole binary, switched on and off by reloads. The key of the collector is nowhere but in
// the requests to it.
func TestTracing(t *testing.T) {
	const secret = "s3cret-of-the-collector"
	c, chat, app := tracingtest.NewCollector(t, nil), wstest.NewBackend(t, nil), shown(t)
	g := operated(t, fmt.Sprintf(`
routes:
  - { name: chat, path: /chat, backend: %q }
  - { name: app, path: /*, backend: %q }
`, chat.Address, app.Address))
	ask := func(path string) string {
		t.Helper()
		_, body := wstest.Ask(t, g.https, get(path))
		return body
	}
	if got := ask("/off"); strings.Contains(strings.ToLower(got), "traceparent") {
		t.Errorf("without tracing the backend got %s", got)
	}
	on := fmt.Sprintf("log: { format: json }\ntracing: { endpoint: %s, service: gate, headers: { X-Key: %s } }", c.URL, secret)
	g.reload("configuration reloaded", "log: { format: json }", on)
	if got := ask("/on"); !strings.Contains(strings.ToLower(got), "traceparent: 00-") {
		t.Errorf("with tracing the backend got %s", got)
	}
	root := c.AwaitSpan(t, "GET app")
	if root.Resource["service.name"] != "gate" || root.Resource["service.version"] == "" || root.Values["url.path"] != "/on" || root.Values["url.scheme"] != "https" {
		t.Errorf("the request: %v of %v", root.Span, root.Resource)
	}
	if r := g.request("/on"); r.text("trace_id") != root.Trace {
		t.Errorf("the record %v, want trace %s", r, root.Trace)
	}
	client, backend := wstest.Pair(t, g.https, chat, wstest.Handshake("/chat"))
	handshake := c.AwaitSpan(t, "handshake chat")
	client.Send(wstest.Text("hello"), wstest.Close(1000, "done"))
	backend.Expect(wstest.Text("hello"), wstest.Close(1000, "done"))
	backend.Send(wstest.Close(1000, "done"))
	session := c.AwaitSpan(t, "session chat")
	if session.Values["sluice.session"] != handshake.Values["sluice.session"] || session.Values["sluice.session.client.messages"] != "1" || session.Values["sluice.session.close_code"] != "1000" {
		t.Errorf("the session: %v", session.Span)
	}
	if r := g.ended("/chat"); r.text("trace_id") != handshake.Trace {
		t.Errorf("the record %v, want trace %s", r, handshake.Trace)
	}
	for name, text := range map[string]string{"the admin interface shows": askOperators(t, g, "/config"), "the log has": fmt.Sprint(g.log())} {
		if strings.Contains(text, secret) {
			t.Errorf("%s the key of the collector", name)
		}
	}
	if headers, _ := c.Requests(); headers[0].Get("X-Key") != secret {
		t.Errorf("the collector got %v", headers[0])
	}
	g.reload("configuration reloaded", on, "log: { format: json }")
	n := len(c.Spans())
	if got := ask("/off"); strings.Contains(strings.ToLower(got), "traceparent") {
		t.Errorf("after tracing the backend got %s", got)
	}
	g.end()
	if more := len(c.Spans()); more != n {
		t.Errorf("%d spans came while tracing was off: %s", more-n, c)
	}
}
