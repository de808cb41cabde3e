package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/tracing/tracingtest"
	"sluice/internal/wstest"
)

const (
	clientTrace  = "0af7651916cd43dd8448eb211c80319c"
	clientParent = "00-" + clientTrace + "-b7ad6b7169203331-01"
)

// headers is a backend that keeps the headers of its requests.
type headers struct {
	address string
	came    chan struct{} // has a value for each request
	mu      sync.Mutex
	all     []http.Header
}

func keepHeaders(t *testing.T, status int) *headers {
	h := &headers{came: make(chan struct{}, 1000)}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.all = append(h.all, r.Header)
		h.came <- struct{}{}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	h.address = s.Listener.Addr().String()
	return h
}

// last returns the header of the last request.
func (h *headers) last(t *testing.T) http.Header {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.all) == 0 {
		t.Fatal("the backend got no request")
	}
	return h.all[len(h.all)-1]
}

// parents returns the traceparents of all requests.
func (h *headers) parents() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make(map[string]bool)
	for _, header := range h.all {
		all[header.Get("Traceparent")] = true
	}
	return all
}

// onBothEngines runs a test with http.engine loops and go.
func onBothEngines(t *testing.T, test func(t *testing.T, engine string)) {
	for _, engine := range []string{"loops", "go"} {
		t.Run(engine, func(t *testing.T) { test(t, "http: {engine: "+engine+"}\n") })
	}
}

// getOn sends a GET on a connection and reads the answer. Lines are header lines.
func getOn(t *testing.T, c net.Conn, path string, lines ...string) *http.Response {
	t.Helper()
	lines = append([]string{"GET " + path + " HTTP/1.1", "Host: a.test:81"}, lines...)
	if _, err := io.WriteString(c, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: "GET"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		t.Fatal(err)
	}
	return r
}

func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// names returns how many spans have each name.
func names(all []tracingtest.Span) string {
	n := map[string]int{}
	for _, s := range all {
		n[s.Name]++
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(n)) {
		fmt.Fprintf(&b, "%s*%d ", name, n[name])
	}
	return strings.TrimSpace(b.String())
}

func TestRequestsAreTraced(t *testing.T) {
	onBothEngines(t, func(t *testing.T, engine string) {
		c, backend := tracingtest.NewCollector(t, nil), keepHeaders(t, 200)
		g, address := start(t, engine+fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
tracing: %s
log: {redact: [token]}
routes: [{name: app, path: /*, backend: "%s"}]
`, c.URL, backend.address))
		client := connect(t, address)
		getOn(t, client, "/a?token=secret&b=1", "traceparent: "+clientParent, "tracestate: v=1", "Baggage: k=v")
		got := backend.last(t)
		getOn(t, client, "/b")
		g.stop()
		if all := names(c.Spans()); all != "GET app*2 dial*1 try*2" {
			t.Fatalf("%s: %s", all, c)
		}
		root, try := c.Named("GET")[0], c.Named("try")[0]
		if root.Trace != clientTrace || root.Parent != clientParent[36:52] || try.Parent != root.ID || c.Named("dial")[0].Parent != try.ID || root.Status != nil || try.Status != nil {
			t.Errorf("the first request: %s", c)
		}
		if want := "00-" + clientTrace + "-" + try.ID + "-01"; got.Get("Traceparent") != want || got.Get("Tracestate") != "v=1" || got.Get("Baggage") != "k=v" {
			t.Errorf("the backend got %v, want traceparent %s", got, want)
		}
		if next := c.Named("GET")[1]; next.Trace == clientTrace || next.Parent != "" || c.Named("try")[1].Parent != next.ID {
			t.Errorf("the second request: %s", c)
		}
		for key, want := range map[string]string{
			"http.request.method": "GET", "url.path": "/a", "url.query": "token=REDACTED&b=1", "url.scheme": "http", "server.address": "a.test", "server.port": "81",
			"network.protocol.version": "1.1", "client.address": "127.0.0.1", "http.response.status_code": "200",
			"sluice.route": "app", "sluice.endpoint": backend.address,
		} {
			if root.Values[key] != want {
				t.Errorf("%s = %q, want %q", key, root.Values[key], want)
			}
		}
		if try.Values["sluice.endpoint"] != backend.address || try.Values["http.response.status_code"] != "200" {
			t.Errorf("the try: %v", try.Values)
		}
		g.await(`"trace_id":"` + clientTrace + `"`)
		if log := g.log.String(); strings.Contains(log, "secret") || strings.Count(log, `"trace_id"`) != 2 {
			t.Errorf("the log: %s", log)
		}
	})
}

// What is passed on of a trace context does not depend on whether the request is sampled.
func TestTraceContextsArePassedOn(t *testing.T) {
	unsampled := clientParent[:53] + "00"
	tests := []struct {
		name, trusted, sample string
		lines                 []string
		sampled, kept, state  bool
	}{
		{name: "sampled by a client", sample: "0%", lines: []string{"traceparent: " + clientParent, "tracestate: v=1"}, kept: true, state: true},
		{name: "sampled by a trusted proxy", trusted: "trusted_proxies: [127.0.0.1]", sample: "0%", lines: []string{"traceparent: " + clientParent}, sampled: true, kept: true},
		{name: "not sampled by a trusted proxy", trusted: "trusted_proxies: [127.0.0.1]", sample: "100%", lines: []string{"traceparent: " + unsampled}, kept: true},
		{name: "not sampled by a client", sample: "100%", lines: []string{"traceparent: " + unsampled}, sampled: true, kept: true},
		{name: "none", sample: "0%"},
		{name: "malformed", sample: "100%", lines: []string{"traceparent: " + strings.ToUpper(clientParent), "tracestate: v=1"}, sampled: true},
		{name: "twice", sample: "100%", lines: []string{"traceparent: " + clientParent, "traceparent: " + clientParent, "tracestate: v=1"}, sampled: true},
	}
	onBothEngines(t, func(t *testing.T, engine string) {
		c, backend := tracingtest.NewCollector(t, nil), keepHeaders(t, 200)
		config := func(trusted, sample string) string {
			return engine + fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
tracing: {endpoint: %s, sample: %s}
%s
routes: [{path: /*, backend: "%s"}]
`, c.URL, sample, trusted, backend.address)
		}
		g, address := start(t, config("", "0%"))
		client := connect(t, address)
		sampled := 0
		for _, tt := range tests {
			g.apply(config(tt.trusted, tt.sample))
			getOn(t, client, "/", tt.lines...)
			got := backend.last(t)
			parents := got.Values("Traceparent")
			if len(parents) != 1 || len(parents[0]) != len(clientParent) || strings.HasPrefix(parents[0], clientParent[:36]) != tt.kept || strings.HasSuffix(parents[0], "-01") != tt.sampled || strings.Contains(parents[0], clientParent[36:52]) {
				t.Errorf("%s: the backend got %q", tt.name, parents)
			}
			if (got.Get("Tracestate") != "") != tt.state {
				t.Errorf("%s: the backend got the state %q", tt.name, got.Get("Tracestate"))
			}
			if tt.sampled {
				sampled++
			}
		}
		g.stop()
		if n := len(c.Named("GET")); n != sampled {
			t.Errorf("%d requests are exported, want %d: %s", n, sampled, c)
		}
	})
}

// Without tracing nothing is changed, whatever the headers hold. A route may keep them from its backend.
func TestTraceContextsThatAreNotTheGateways(t *testing.T) {
	onBothEngines(t, func(t *testing.T, engine string) {
		backend, c := keepHeaders(t, 200), tracingtest.NewCollector(t, nil)
		off := engine + fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
routes:
  - {path: /*, backend: "%[1]s"}
  - {path: /private, backend: "%[1]s", request: {remove_headers: [traceparent, tracestate]}}
`, backend.address)
		g, address := start(t, off)
		client := connect(t, address)
		long := strings.Repeat("x", 10000)
		getOn(t, client, "/", "traceparent: what", "traceparent: ever", "tracestate: !", "baggage: "+long)
		if got := backend.last(t); fmt.Sprint(got["Traceparent"], got["Tracestate"]) != "[what ever] [!]" || got.Get("Baggage") != long {
			t.Errorf("without tracing the backend got %q, %q", got["Traceparent"], got["Tracestate"])
		}
		g.apply(off + "tracing: " + c.URL + "\n")
		getOn(t, client, "/private", "traceparent: "+clientParent, "tracestate: v=1", "baggage: "+long)
		if got := backend.last(t); got["Traceparent"] != nil || got["Tracestate"] != nil || got["Baggage"] != nil {
			t.Errorf("the backend got %v", got)
		}
		g.await(`"/private"`) // it has ended, after its answer: what ends later is not traced
		g.apply(off)
		getOn(t, client, "/", "traceparent: what")
		if got := backend.last(t); got.Get("Traceparent") != "what" {
			t.Errorf("after tracing the backend got %q", got["Traceparent"])
		}
		g.stop()
		if all := names(c.Spans()); all != "GET /private*1 dial*1 try*1" && all != "GET /private*1 try*1" {
			t.Errorf("%s: %s", all, c)
		}
	})
}

func TestTriesAreTraced(t *testing.T) {
	down := wstest.Reserve(t)
	onBothEngines(t, func(t *testing.T, engine string) {
		c, backend := tracingtest.NewCollector(t, nil), keepHeaders(t, 503)
		g, address := start(t, engine+fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
tracing: %s
backends: {b: {balance: round_robin, endpoints: ["%s", "%s"], passive: {failures: off}}}
routes: [{name: app, path: /*, backend: b}]
`, c.URL, down, backend.address))
		client := connect(t, address)
		for range 2 { // the one that is down comes first, or second
			getOn(t, client, "/")
		}
		g.stop()
		var retried *tracingtest.Span
		for _, s := range c.Named("GET") {
			if n := len(children(c, s, "try")); n == 2 {
				retried = &s
			}
		}
		if retried == nil {
			t.Fatalf("no request has two tries: %s", c)
		}
		tries := children(c, *retried, "try")
		first, second := tries[0], tries[1]
		if first.Values["sluice.endpoint"] != down || first.Status == nil || !strings.Contains(first.Status.Message, "refused") || first.Values["http.response.status_code"] != "" {
			t.Errorf("the first try: %v", first.Span)
		}
		if dials := children(c, first, "dial"); len(dials) != 1 || dials[0].Status == nil {
			t.Errorf("the dial of the first try: %v", dials)
		}
		if second.Values["sluice.endpoint"] != backend.address || second.Values["error.type"] != "503" || second.Values["http.request.resend_count"] != "1" {
			t.Errorf("the second try: %v", second.Span)
		}
		if retried.Values["error.type"] != "503" || retried.Status == nil {
			t.Errorf("the request: %v", retried.Span)
		}
		if parents := backend.parents(); !parents["00-"+second.Trace+"-"+second.ID+"-01"] {
			t.Errorf("the backend got %v, want the second try", parents)
		}
	})
}

// Requests to an endpoint over HTTP/2 share a connection, which the first one has opened.
func TestTriesOverHTTP2AreTraced(t *testing.T) {
	c := tracingtest.NewCollector(t, nil)
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	backend.Config.Protocols = new(http.Protocols)
	backend.Config.Protocols.SetUnencryptedHTTP2(true)
	backend.Start()
	defer backend.Close()
	g, address := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
tracing: %s
routes: [{name: app, path: /*, backend: "h2c://%s"}]
`, c.URL, backend.Listener.Addr()))
	client := connect(t, address)
	for range 3 {
		getOn(t, client, "/")
	}
	g.stop()
	if all := names(c.Spans()); all != "GET app*3 dial*1 try*3" {
		t.Errorf("%s: %s", all, c)
	}
}

// children returns the spans below another one whose names begin with a text.
func children(c *tracingtest.Collector, of tracingtest.Span, name string) (all []tracingtest.Span) {
	for _, s := range c.Named(name) {
		if s.Parent == of.ID && s.Trace == of.Trace {
			all = append(all, s)
		}
	}
	return all
}

func TestWaitsAreTraced(t *testing.T) {
	onBothEngines(t, func(t *testing.T, engine string) {
		c := tracingtest.NewCollector(t, nil)
		came, answer := make(chan struct{}, 2), make(chan struct{})
		backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came <- struct{}{}; <-answer }))
		defer backend.Close()
		g, address := start(t, engine+fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
tracing: %s
backends: {b: {endpoints: [{address: "%s", max_requests: 1}], queue: {length: 8, timeout: 1m}}}
routes: [{path: /*, backend: b}]
`, c.URL, backend.Listener.Addr()))
		var both sync.WaitGroup
		both.Go(func() { getOn(t, connect(t, address), "/first") })
		<-came
		both.Go(func() { getOn(t, connect(t, address), "/second") })
		for waiting := 0; waiting == 0; {
			for _, b := range g.Backends() {
				waiting = int(b.Queued)
			}
		}
		close(answer)
		both.Wait()
		g.stop()
		waits := c.Named("queue")
		if len(waits) != 1 || waits[0].Values["sluice.backend"] != "b" {
			t.Fatalf("waits: %v", waits)
		}
		for _, root := range c.Named("GET") {
			if n := len(children(c, root, "queue")); (n == 1) != (root.Values["url.path"] == "/second") {
				t.Errorf("%s has %d waits", root.Values["url.path"], n)
			}
		}
	})
}

func TestSessionsAreTraced(t *testing.T) {
	onBothEngines(t, func(t *testing.T, engine string) {
		c, backend := tracingtest.NewCollector(t, nil), echo(t)
		g, address := start(t, engine+fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
tracing: %s
routes: [{name: chat, path: /*, backend: "%s"}]
`, c.URL, backend))
		client := dial(t, address, "/ws")
		exchange1(t, client)
		handshake := c.AwaitSpan(t, "handshake chat") // while the session is open
		if len(c.Named("session")) != 0 || handshake.Values["http.response.status_code"] != "101" || handshake.Values["sluice.session"] == "" || handshake.Status != nil {
			t.Errorf("the handshake: %v", handshake.Span)
		}
		if tries := children(c, handshake, "try"); len(tries) != 1 || len(children(c, tries[0], "dial")) != 1 || tries[0].Status != nil {
			t.Errorf("tries %v", tries)
		}
		ws.WriteFrame(client, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(4000, "bye"))))
		closeCode(t, client)
		g.await(`"message":"session ended"`)
		g.stop()
		sessions := c.Named("session chat")
		if len(sessions) != 1 {
			t.Fatalf("%d sessions: %s", len(sessions), c)
		}
		s := sessions[0]
		if s.Trace == handshake.Trace || len(s.Links) != 1 || fmt.Sprintf("%x %x", s.Links[0].TraceId, s.Links[0].SpanId) != handshake.Trace+" "+handshake.ID {
			t.Errorf("the session: %v", s.Span)
		}
		for key, want := range map[string]string{
			"sluice.session": handshake.Values["sluice.session"], "sluice.route": "chat", "sluice.endpoint": backend, "client.address": "127.0.0.1",
			"sluice.session.client.messages": "1", "sluice.session.client.bytes": "5", "sluice.session.backend.messages": "1", "sluice.session.backend.frames": "1",
			"sluice.session.close_code": "4000", "sluice.session.close_reason": "bye", "sluice.session.ended_by": "client", "sluice.session.cause": "close",
		} {
			if s.Values[key] != want {
				t.Errorf("%s = %q, want %q", key, s.Values[key], want)
			}
		}
		if n := strings.Count(g.log.String(), `"trace_id":"`+handshake.Trace+`"`); n != 2 {
			t.Errorf("%d records name the trace, want those of the beginning and of the end: %s", n, g.log.String())
		}
	})
}

// Each try at a handshake is told to its endpoint, and a refusal of the backend is an answer.
func TestRefusedHandshakesAreTraced(t *testing.T) {
	down := wstest.Reserve(t)
	onBothEngines(t, func(t *testing.T, engine string) {
		c, backend := tracingtest.NewCollector(t, nil), keepHeaders(t, 401)
		g, address := start(t, engine+fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
tracing: %s
backends: {b: {balance: round_robin, endpoints: ["%s", "%s"], passive: {failures: off}}}
routes: [{name: chat, path: /*, backend: b}]
`, c.URL, down, backend.address))
		for range 2 {
			r := getOn(t, connect(t, address), "/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
			if r.StatusCode != 401 {
				t.Fatalf("status %d", r.StatusCode)
			}
		}
		g.stop()
		tries := c.Named("try")
		if len(tries) < 3 || len(c.Named("handshake chat")) != 2 {
			t.Fatalf("%d tries: %s", len(tries), c)
		}
		asked := backend.parents()
		for _, s := range tries {
			if reached := s.Values["sluice.endpoint"] == backend.address; reached != asked["00-"+s.Trace+"-"+s.ID+"-01"] || reached != (s.Values["http.response.status_code"] == "401") {
				t.Errorf("the backend got %v; try %v", asked, s.Span)
			}
		}
	})
}

func TestTLSHandshakesAreTraced(t *testing.T) {
	onBothEngines(t, func(t *testing.T, engine string) {
		c := tracingtest.NewCollector(t, nil)
		g, address := start(t, engine+fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0", tls: true}]
tls: {self_signed: [localhost]}
tracing: %s
routes: [{name: app, path: /*, respond: 204}]
`, c.URL))
		for _, protocol := range []string{"", "h2"} {
			transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}, Protocols: new(http.Protocols)}
			transport.Protocols.SetHTTP1(protocol == "")
			transport.Protocols.SetHTTP2(protocol == "h2")
			for range 2 {
				request := httptest.NewRequest("GET", "https://"+address+"/", nil)
				request.Host, request.RequestURI = "localhost", ""
				r, err := (&http.Client{Transport: transport, Timeout: wstest.Guard}).Do(request)
				if err != nil {
					t.Fatal(err)
				}
				r.Body.Close()
			}
			transport.CloseIdleConnections()
		}
		g.stop()
		all := c.Named("tls handshake")
		if names := names(c.Spans()); names != "GET app*4 tls handshake*2" {
			t.Fatalf("%s: %s", names, c)
		}
		for i, protocol := range []string{"", "h2"} {
			s, root := all[i], c.Named("GET")[2*i]
			if s.Parent != root.ID || s.StartTimeUnixNano > s.EndTimeUnixNano || s.EndTimeUnixNano > root.StartTimeUnixNano || s.Values["tls.protocol.version"] != "1.3" || s.Values["tls.next_protocol"] != protocol || s.Values["server.address"] != "localhost" {
				t.Errorf("%v of %v", s.Span, root.Span)
			}
		}
	})
}

// A copy for another backend is in the trace of its request.
func TestCopiesAreInTheTrace(t *testing.T) {
	c, backend, mirror := tracingtest.NewCollector(t, nil), keepHeaders(t, 200), keepHeaders(t, 200)
	g, address := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
tracing: %s
routes: [{path: /*, backend: "%s", mirror: "%s"}]
`, c.URL, backend.address, mirror.address))
	getOn(t, connect(t, address), "/")
	<-mirror.came
	g.stop()
	root := c.AwaitSpan(t, "GET")
	if want := "00-" + root.Trace + "-" + root.ID + "-01"; mirror.last(t).Get("Traceparent") != want {
		t.Errorf("the copy has %q, want %q", mirror.last(t).Get("Traceparent"), want)
	}
	if got := backend.last(t).Get("Traceparent"); got != "00-"+root.Trace+"-"+c.Named("try")[0].ID+"-01" {
		t.Errorf("the request has %q", got)
	}
}

// A collector that is down costs the spans, and nothing else. No secret is in the log.
func TestTrafficGoesOnWithoutACollector(t *testing.T) {
	c := tracingtest.NewCollector(t, func(w http.ResponseWriter) bool { w.WriteHeader(500); return true })
	backend := keepHeaders(t, 200)
	g, address := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
tracing: {endpoint: %s/path, headers: {Authorization: Bearer s3cret}}
routes: [{path: /*, backend: "%s"}]
`, c.URL, backend.address))
	client := connect(t, address)
	getOn(t, client, "/")
	g.await(`"message":"spans could not be exported`)
	for range 100 {
		if r := getOn(t, client, "/"); r.StatusCode != 200 {
			t.Fatalf("status %d", r.StatusCode)
		}
	}
	g.stop()
	headers, paths := c.Requests()
	if paths[0] != "/path" || headers[0].Get("Authorization") != "Bearer s3cret" {
		t.Errorf("asked %s with %v", paths[0], headers[0])
	}
	if log := g.log.String(); strings.Contains(log, "s3cret") || strings.Count(log, "could not be exported") != 1 {
		t.Errorf("the log: %s", log)
	}
}
