//go:build unix

package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// countedSeries is what peers have sent, as they count it themselves.
type countedSeries struct {
	mu     sync.Mutex
	totals map[string]float64 // by series
}

func (c *countedSeries) add(n float64, series string, labels ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.totals == nil {
		c.totals = make(map[string]float64)
	}
	c.totals[fmt.Sprintf(series, labels...)] += n
}

// sent counts frames that one side of a session of a route sends.
func (c *countedSeries) sent(route, from string, frames ...ws.Frame) {
	for _, f := range frames {
		if f.Header.OpCode.IsControl() {
			c.add(1, "sluice_session_control_frames_total{from=%q,route=%q}", from, route)
			continue
		}
		c.add(1, "sluice_session_frames_total{from=%q,route=%q}", from, route)
		c.add(float64(len(f.Payload)), "sluice_session_bytes_total{from=%q,route=%q}", from, route)
		if f.Header.Fin {
			c.add(1, "sluice_session_messages_total{from=%q,route=%q}", from, route)
		}
	}
}

// opened counts a session that has begun.
func (c *countedSeries) opened(route, backend, endpoint string) {
	c.add(1, "sluice_sessions_opened_total{route=%q}", route)
	c.add(1, "sluice_handshakes_total{result=\"accepted\",route=%q}", route)
	c.add(1, "sluice_handshake_duration_seconds_count{route=%q}", route)
	c.served(backend, endpoint)
}

// served counts what an endpoint has done well.
func (c *countedSeries) served(backend, endpoint string) {
	c.add(1, "sluice_endpoint_tries_total{backend=%q,endpoint=%q,result=\"served\"}", backend, endpoint)
	c.add(1, "sluice_backend_duration_seconds_count{backend=%q}", backend)
}

// closed counts a session that has ended.
func (c *countedSeries) closed(route, side, cause, code string) {
	c.add(1, "sluice_sessions_closed_total{cause=%q,code=%q,route=%q,side=%q}", cause, code, route, side)
	c.add(1, "sluice_session_duration_seconds_count{route=%q}", route)
}

// answered counts a request that was answered.
func (c *countedSeries) answered(route, class string, in, out int) {
	c.add(1, "sluice_http_requests_total{code=%q,route=%q}", class, route)
	c.add(1, "sluice_http_request_duration_seconds_count{route=%q}", route)
	c.add(float64(in), "sluice_http_request_bytes_total{route=%q}", route)
	c.add(float64(out), "sluice_http_response_bytes_total{route=%q}", route)
}

// expect waits until one series has a value, and all that were counted theirs; of those that only
// matches, unless it is nil. What differs at last fails the test.
func (c *countedSeries) expect(t *testing.T, when string, ask func() scrape, series string, value float64, only func(string) bool) {
	t.Helper()
	var wrong []string
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for guard := time.After(wstest.Guard / 4); ; {
		got := ask()
		wrong = wrong[:0]
		if v, ok := got.values[series]; v != value || !ok {
			wrong = append(wrong, fmt.Sprintf("%s = %v, want %v", series, v, value))
		}
		for _, s := range slices.Sorted(maps.Keys(c.totals)) {
			if v := got.values[s]; (only == nil || only(s)) && v != c.totals[s] {
				wrong = append(wrong, fmt.Sprintf("%s = %v, want %v", s, v, c.totals[s]))
			}
		}
		if len(wrong) == 0 {
			return
		}
		select {
		case <-again.C:
		case <-guard:
			t.Errorf("%s:\n%s", when, strings.Join(wrong, "\n"))
			return
		}
	}
}
