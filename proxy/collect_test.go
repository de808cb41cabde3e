package proxy

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"sluice/config"
	"sluice/internal/telemetry/metrics"
)

// Endpoints beyond a bound are collected together, as other, which a backend may be called too.
func TestMetricsOfEndpointsAreBounded(t *testing.T) {
	var file strings.Builder
	file.WriteString("listeners: ['127.0.0.1:0']\nbackends:\n")
	for b, name := range []string{"a", "b", "other", "z"} {
		fmt.Fprintf(&file, "  %s:\n    endpoints:\n", name)
		for i := range 2500 {
			fmt.Fprintf(&file, "      - 127.%d.%d.%d:9\n", b+1, i/250, i%250+1)
		}
	}
	file.WriteString("routes: [{ backend: a }, { path: /b, backend: b }, { path: /o, backend: other }, { path: /z, backend: z }]\n")
	cfg, err := config.Parse("test.yaml", []byte(file.String()), config.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	g := New(func(config.Log) zerolog.Logger { return zerolog.Nop() }, Options{})
	if _, err := g.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	m := metrics.New("v")
	m.Register(g.Operator.Collector(func(route string) string { return route }))
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	up, others := 0, ""
	for line := range strings.Lines(w.Body.String()) {
		if series, value, _ := strings.Cut(line, "} "); strings.HasPrefix(series, "sluice_endpoint_state{") && strings.HasSuffix(series, `state="up"`) {
			if up++; strings.Contains(series, `endpoint="other"`) {
				others = strings.TrimSpace(value)
			}
		}
	}
	if up != 5001 || others != "5000" {
		t.Errorf("%d series of endpoints, with %v of 10000 endpoints together; want 5001 and 5000", up, others)
	}
}
