//go:build unix

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// installed returns the path of a program that make test installs.
func installed(t *testing.T, name string) string {
	t.Helper()
	foreign(t, name)
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: run integration/install.sh (make test does)", err)
	}
	return path
}

// mixedMetrics returns a gateway with some traffic, whose metrics have all kinds of series.
func mixedMetrics(t *testing.T, extra string) *gateway {
	t.Helper()
	b := wstest.NewBackend(t, wstest.Echo)
	g := operated(t, fmt.Sprintf("%sroutes:\n  - { name: \"a \\\"quoted\\\" name\", path: /a, backend: %q }\n  - { path: /say, respond: {} }\n", extra, b.Address))
	for range 2 {
		p := wstest.Open(t, g.https, wstest.Handshake("/a"))
		p.Send(wstest.Text("hello"))
		p.Expect(wstest.Text("hello"))
	}
	wstest.Ask(t, g.http, get("/say"))
	wstest.Ask(t, g.http, wstest.Handshake("/a", "Sec-WebSocket-Version: 12"))
	return g
}

func TestPromtoolLikesTheMetrics(t *testing.T) {
	promtool := installed(t, "promtool")
	g := mixedMetrics(t, "")
	for _, accept := range []string{"text/plain", "application/openmetrics-text; version=1.0.0"} {
		r, body := wstest.Ask(t, g.operators("unix"), get("/metrics", "Accept: "+accept))
		if r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), strings.Split(accept, ";")[0]) {
			t.Fatalf("%d, %s", r.StatusCode, r.Header.Get("Content-Type"))
		}
		if accept != "text/plain" {
			if !strings.HasSuffix(body, "# EOF\n") {
				t.Error("OpenMetrics without its end")
			}
			continue // promtool reads the other format
		}
		cmd := exec.Command(promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(body)
		if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("promtool check metrics: %v\n%s", err, out)
		}
	}
}

// A Prometheus server gets the metrics with a token.
func TestPrometheusScrapes(t *testing.T) {
	prometheus := installed(t, "prometheus")
	dir := t.TempDir()
	const token = "0123456789abcdef-metrics"
	address, web := wstest.Reserve(t), wstest.Reserve(t)
	g := mixedMetrics(t, fmt.Sprintf("admin: { address: %q, token: %q }\n", address, token))
	write(t, filepath.Join(dir, "token"), token+"\n")
	write(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`
global: { scrape_interval: 500ms, scrape_timeout: 500ms }
scrape_configs:
  - job_name: sluice
    authorization: { credentials_file: %q }
    static_configs: [{ targets: [%q] }]
  - job_name: stranger
    static_configs: [{ targets: [%q] }]
`, filepath.Join(dir, "token"), address, address))
	var log bytes.Buffer
	cmd := wstest.DieWithParent(exec.Command(prometheus, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+web))
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus wrote\n%s", &log)
		}
	})
	query := func(q string) (value string) {
		res, err := http.Get("http://" + web + "/api/v1/query?query=" + url.QueryEscape(q))
		if err != nil {
			return ""
		}
		defer res.Body.Close()
		var answer struct {
			Data struct {
				Result []struct {
					Value [2]any `json:"value"`
				}
			}
		}
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || len(answer.Data.Result) != 1 {
			return ""
		}
		value, _ = answer.Data.Result[0].Value[1].(string)
		return value
	}
	for _, tt := range []struct{ query, want string }{
		{`up{job="sluice"}`, "1"},
		{`up{job="stranger"}`, "0"},
		{`sluice_sessions_open{route="a \"quoted\" name"}`, "2"},
		{`sum(sluice_session_messages_total{from="client"})`, "2"},
		{`sluice_http_requests_total{route="/say",code="2xx"}`, "1"},
		{`sum(sluice_handshakes_total{result="malformed"})`, "1"},
		{`sum(sluice_endpoint_state{state="up"})`, "1"},
		{`count(sluice_build_info)`, "1"},
		{`count(process_start_time_seconds{job="sluice"})`, "1"},
		{`sum(sluice_handshake_duration_seconds_count)`, "2"},
	} {
		// A scrape may have been too slow, and have nothing.
		eventually(t, fmt.Sprintf("Prometheus has %s = %s", tt.query, tt.want), func() bool { return query(tt.query) == tt.want })
	}
	g.wait("requests to the admin interface refused", nil)
}

// A label has no more values than its bound, whatever is configured one after the other.
func TestRoutesThatCameAndWentAreFew(t *testing.T) {
	b := wstest.NewBackend(t, wstest.Echo)
	config := func(round, n int) string {
		var text strings.Builder
		text.WriteString("routes:\n")
		for i := range n {
			fmt.Fprintf(&text, "  - { name: r%d-%d, path: /r%d, backend: %q }\n", round, i, i, b.Address)
		}
		return text.String()
	}
	g := operated(t, config(0, 400))
	head, _, _ := strings.Cut(read(t, g.config), "routes:\n")
	for round := range 4 {
		write(t, g.config, withEngine(head+config(round, 400)))
		g.operate(t, "reload")
	}
	p := wstest.Open(t, g.http, wstest.Handshake("/r399"))
	p.Send(wstest.Text("a"))
	p.Expect(wstest.Text("a"))
	s := scrapeFrom(t, g.operators("unix"))
	routes := make(map[string]bool)
	for series := range s.values {
		if _, rest, ok := strings.Cut(series, `route="`); ok {
			name, _, _ := strings.Cut(rest, `"`)
			routes[name] = true
		}
	}
	if len(routes) > 1001 {
		t.Errorf("%d routes are in the metrics", len(routes))
	}
	if v := s.values[`sluice_sessions_open{route="other"}`]; v != 1 {
		t.Errorf("sessions that are open beyond the bound: %v, want 1", v)
	}
	if v := s.values[`sluice_handshakes_total{result="accepted",route="other"}`]; v != 1 {
		t.Errorf("handshakes beyond the bound: %v, want 1", v)
	}
	goodbye(p)
}
