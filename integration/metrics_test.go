//go:build unix

package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// scrape is what /metrics has said: values by series, and the types of families.
type scrape struct {
	values map[string]float64
	types  map[string]string
}

// parseMetrics reads the text format of Prometheus.
func parseMetrics(t testing.TB, text string) scrape {
	t.Helper()
	s := scrape{make(map[string]float64), make(map[string]string)}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if kind, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(kind, " ")
			s.types[name] = kind
			continue
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[i+1:], 64)
		if i < 0 || err != nil {
			t.Errorf("%q is no sample: %v", line, err)
			continue
		}
		if _, ok := s.values[line[:i]]; ok {
			t.Errorf("%s is given twice", line[:i])
		}
		s.values[line[:i]] = value
	}
	return s
}

// scrapeFrom asks the admin interface for its metrics.
func scrapeFrom(t testing.TB, target wstest.Target) scrape {
	t.Helper()
	r, body := wstest.Ask(t, target, get("/metrics"))
	if r.StatusCode != 200 {
		t.Fatalf("/metrics: %d %s", r.StatusCode, body)
	}
	return parseMetrics(t, body)
}

// counts reports whether a series must never decrease.
func (s scrape) counts(series string) bool {
	name, _, _ := strings.Cut(series, "{")
	if s.types[name] == "counter" {
		return true
	}
	for _, part := range []string{"_bucket", "_count", "_sum"} {
		if family, ok := strings.CutSuffix(name, part); ok && s.types[family] == "histogram" {
			return true
		}
	}
	return false
}

// watchCounters scrapes until stop is called and fails for each counter of the gateway that
// decreases or goes away.
func watchCounters(t *testing.T, g *gateway) (stop func()) {
	target, ends, ended := g.operators("unix"), make(chan struct{}), make(chan struct{})
	scrapes := 0
	go func() {
		defer close(ended)
		before := scrape{}
		for {
			r, err := http.NewRequest("GET", "http://localhost/metrics", nil)
			if err != nil {
				t.Error(err)
				return
			}
			text, err := askUnix(strings.TrimPrefix(target.Address, "unix:"), r)
			if err != nil {
				t.Error(err)
				return
			}
			now := parseMetrics(t, text)
			for series, value := range before.values {
				if got, ok := now.values[series]; before.counts(series) && (!ok || got < value) {
					t.Errorf("%s was %v and is %v (there: %t)", series, value, got, ok)
				}
			}
			before = now
			scrapes++
			select {
			case <-ends:
				return
			default:
			}
		}
	}()
	return func() {
		close(ends)
		<-ended
		if scrapes < 2 {
			t.Errorf("%d scrapes", scrapes)
		}
	}
}

// askUnix asks over a Unix socket.
func askUnix(path string, r *http.Request) (string, error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport, Timeout: wstest.Guard}).Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != 200 {
		err = fmt.Errorf("%s: %s", res.Status, text)
	}
	return string(text), err
}

// engines are the ways to speak HTTP/1.1 on this system.
func engines() []string {
	if httpEngine() == "go" && os.Getenv("SLUICE_HTTP_ENGINE") == "" {
		return []string{"go"}
	}
	return []string{"loops", "go"}
}

// After a mixed run the metrics are exactly what clients and backends have counted, and no counter
// has decreased on the way.
func TestMetricsAreExact(t *testing.T) {
	for _, engine := range engines() {
		t.Run(engine, func(t *testing.T) { metricsAreExact(t, engine) })
	}
}

func metricsAreExact(t *testing.T, engine string) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		status, _ := strconv.Atoi(r.URL.Query().Get("status"))
		size, _ := strconv.Atoi(r.URL.Query().Get("size"))
		w.Header().Set("Content-Length", strconv.Itoa(size))
		w.WriteHeader(status)
		w.Write(bytes.Repeat([]byte("x"), size))
	}))
	t.Cleanup(web.Close)
	webAddress := strings.TrimPrefix(web.URL, "http://")
	b := wstest.NewBackend(t, nil)
	refusing := wstest.NewBackend(t, wstest.Refusing("403 Forbidden", "no"))
	gone := "  - { name: gone, path: /gone, backend: talk }\n"
	g := operated(t, fmt.Sprintf(`
http: { engine: %s }
backends:
  talk: { endpoints: [%q] }
  web: { endpoints: [%q] }
  no: { endpoints: [%q] }
routes:
  - { name: chat, path: /chat, backend: talk }
  - { name: kill, path: /kill, backend: talk }
  - { name: no, path: /no, backend: no }
  - { name: policy, path: /policy, backend: talk, websocket: { origins: ["https://good.test"] } }
  - { name: web, path: /web, backend: web }
  - { name: say, path: /say, respond: { body: hello } }
  - { name: moved, path: /moved, respond: { status: 410 } }
%s`, engine, b.Address, webAddress, refusing.Address, gone))
	stop := watchCounters(t, g)
	want := new(countedSeries)

	for _, target := range g.schemes() {
		for i := range 5 {
			wstest.Ask(t, target, get("/say"))
			want.answered("say", "2xx", 0, 5)
			wstest.Ask(t, target, get("/moved"))
			want.answered("moved", "4xx", 0, 0)
			for class, status := range map[string]int{"2xx": 200, "3xx": 302, "4xx": 404, "5xx": 500} {
				size, body := 1000*i+status, strings.Repeat("b", 3000*i)
				r, _ := wstest.Ask(t, target, fmt.Sprintf("POST /web?status=%d&size=%d HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", status, size, len(body), body))
				if r.StatusCode != status {
					t.Errorf("status %d, want %d", r.StatusCode, status)
				}
				want.answered("web", class, len(body), size)
				want.served("web", webAddress)
			}
		}
		for range 3 {
			wstest.Ask(t, target, wstest.Handshake("/no"))
			want.add(1, `sluice_handshakes_total{result="backend_refused",route="no"}`)
			want.served("no", refusing.Address)
			wstest.Ask(t, target, wstest.Handshake("/chat", "Sec-WebSocket-Version: 12"))
			want.add(1, `sluice_handshakes_total{result="malformed",route="chat"}`)
			wstest.Ask(t, target, wstest.Handshake("/policy", "Origin: https://evil.test"))
			want.add(1, `sluice_handshakes_total{result="forbidden",route="policy"}`)
		}
	}

	open := func(target wstest.Target, route string) (client, backend wstest.Peer) {
		t.Helper()
		client, backend = wstest.Pair(t, target, b, wstest.Handshake("/"+route))
		want.opened(route, "talk", b.Address)
		return client, backend
	}
	// Each side sends what the other one receives, and is counted where it is sent.
	talk := func(route string, n int, client, backend wstest.Peer) {
		t.Helper()
		up := []ws.Frame{wstest.Part(ws.OpText, "a"), wstest.Ping("p"), wstest.Part(ws.OpContinuation, "bc"), wstest.Last("def"), ws.NewBinaryFrame(make([]byte, 70_000))}
		for i := range n {
			up = append(up, wstest.Text(strings.Repeat("u", 100*i)))
		}
		down := []ws.Frame{wstest.Ping("q"), wstest.Pong("r"), wstest.Text(""), ws.NewBinaryFrame(make([]byte, 130*n))}
		client.Send(up...)
		backend.Expect(up...)
		backend.Send(down...)
		client.Expect(down...)
		want.sent(route, "client", up...)
		want.sent(route, "backend", down...)
	}
	end := func(route string, client, backend wstest.Peer) {
		t.Helper()
		client.Send(wstest.Close(1000, "bye"))
		backend.Expect(wstest.Close(1000, "bye"))
		backend.Send(wstest.Close(1000, ""))
		client.Expect(wstest.Close(1000, ""))
		client.ExpectEnd()
		backend.ExpectEnd()
		want.sent(route, "client", wstest.Close(1000, ""))
		want.sent(route, "backend", wstest.Close(1000, ""))
		want.closed(route, "client", "close", "1000")
	}
	live := g.operators("unix")
	for _, target := range g.schemes() {
		for i := range 4 {
			client, backend := open(target, "chat")
			talk("chat", i, client, backend)
			// A session is counted while it lives.
			want.expect(t, "while a session is open", func() scrape { return scrapeFrom(t, live) }, `sluice_sessions_open{route="chat"}`, 1,
				func(series string) bool {
					return strings.HasPrefix(series, "sluice_session_") && strings.Contains(series, `route="chat"`)
				})
			end("chat", client, backend)
		}
		type pair struct{ client, backend wstest.Peer }
		var killed []pair
		for i := range 3 {
			client, backend := open(target, "kill")
			talk("kill", i, client, backend)
			killed = append(killed, pair{client, backend})
		}
		g.operate(t, "kill", "--route", "kill", "--code", "4001")
		for _, p := range killed { // the answer to a Close frame of the gateway itself is not counted
			p.client.ExpectClose(4001)
			p.backend.ExpectClose(1001)
			p.client.ExpectEnd()
			p.backend.ExpectEnd()
			want.closed("kill", "gateway", "ended by operator", "4xxx")
		}
		g.reload("configuration reloaded", "", "")
		want.add(1, `sluice_config_reloads_total{result="ok"}`)

		client, backend := open(target, "gone")
		talk("gone", 2, client, backend)
		g.reload("configuration reloaded", gone, "")
		client.ExpectClose(1012)
		backend.ExpectClose(1001)
		client.ExpectEnd()
		backend.ExpectEnd()
		want.closed("gone", "gateway", "route removed", "1012")
		scrapeFrom(t, live) // while the route is gone
		g.reload("configuration reloaded", "routes:\n", "routes:\n"+gone)
		want.add(2, `sluice_config_reloads_total{result="ok"}`)
		client, backend = open(target, "gone")
		talk("gone", 1, client, backend)
		end("gone", client, backend)
		g.reload("configuration refused", "routes:", "rotues:")
		want.add(1, `sluice_config_reloads_total{result="refused"}`)
		g.reload("configuration reloaded", "rotues:", "routes:")
		want.add(1, `sluice_config_reloads_total{result="ok"}`)
	}
	for _, route := range []string{"chat", "kill", "gone"} {
		want.add(0, "sluice_sessions_open{route=%q}", route)
	}
	want.expect(t, "at the end", func() scrape { return scrapeFrom(t, live) }, "sluice_requests_in_flight", 0, nil)
	stop()

	// What was not done is not counted.
	got := scrapeFrom(t, live)
	for _, series := range slices.Sorted(maps.Keys(got.values)) {
		name, _, _ := strings.Cut(series, "{")
		switch name {
		case "sluice_http_requests_total", "sluice_handshakes_total", "sluice_sessions_closed_total", "sluice_session_messages_total", "sluice_limits_hit_total",
			"sluice_endpoint_tries_total", "sluice_endpoint_ejections_total", "sluice_connections_refused_total":
			if want.totals[series] != got.values[series] {
				t.Errorf("%s = %v, want %v", series, got.values[series], want.totals[series])
			}
		}
	}
}
