package metrics

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// scrape returns the samples of m, by series.
func scrape(t *testing.T, m *Metrics) map[string]string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	all := make(map[string]string)
	for line := range strings.Lines(w.Body.String()) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			all[line[:i]] = strings.TrimSpace(line[i:])
		}
	}
	return all
}

func TestRequestsAreCountedByClass(t *testing.T) {
	m := New("v")
	r := m.Route("a")
	for _, status := range []int{100, 200, 204, 301, 404, 499, 499, 500, 599, 600, 999, 0} {
		r.Request(status, 1, 10, time.Millisecond, "")
	}
	r.Request(200, -1, -1, time.Millisecond, "") // sizes that are not known
	got := scrape(t, m)
	for code, want := range map[string]string{"1xx": "1", "2xx": "3", "3xx": "1", "4xx": "1", "5xx": "2", "499": "5"} {
		if series := fmt.Sprintf(`sluice_http_requests_total{code=%q,route="a"}`, code); got[series] != want {
			t.Errorf("%s = %s, want %s", series, got[series], want)
		}
	}
	for series, want := range map[string]string{
		`sluice_http_request_bytes_total{route="a"}`: "12", `sluice_http_response_bytes_total{route="a"}`: "120",
		`sluice_http_request_duration_seconds_count{route="a"}`: "13", `sluice_build_info{version="v"}`: "1",
	} {
		if got[series] != want {
			t.Errorf("%s = %s, want %s", series, got[series], want)
		}
	}
}

func TestHandshakesAreCountedByResult(t *testing.T) {
	m := New("v")
	r := m.Route("a")
	for status, want := range map[int]HandshakeResult{
		400: Malformed, 405: Malformed, 426: Malformed, 403: Forbidden, 429: OverLimit, 503: NoRoom, 502: BackendFailed, 504: TimedOut, 408: TimedOut, 499: ClientLeft, 404: OtherFailure, 500: OtherFailure, 0: OtherFailure,
	} {
		if got := FailedHandshake(status); got != want {
			t.Errorf("FailedHandshake(%d) = %s, want %s", status, got, want)
		}
	}
	names := make(map[string]bool)
	for result := range handshakeResults {
		r.Handshake(result, time.Second, "")
		names[result.String()] = true
	}
	got := scrape(t, m)
	for name := range names {
		if series := fmt.Sprintf(`sluice_handshakes_total{result=%q,route="a"}`, name); got[series] != "1" {
			t.Errorf("%s = %s, want 1", series, got[series])
		}
	}
	if len(names) != int(handshakeResults) || got[`sluice_handshake_duration_seconds_count{route="a"}`] != "1" {
		t.Errorf("%d results, %s times", len(names), got[`sluice_handshake_duration_seconds_count{route="a"}`])
	}
}

// Peers choose close codes, and so must not choose how many series there are.
func TestCloseCodesAreBounded(t *testing.T) {
	m := New("v")
	r := m.Route("a")
	for code := range 1 << 16 {
		r.SessionEnded("client", "close", code, time.Second)
	}
	r.SessionEnded("client", "close", -1, time.Second)
	n := 0
	got := scrape(t, m)
	for series := range got {
		if strings.HasPrefix(series, "sluice_sessions_closed_total{") {
			n++
		}
	}
	if n != 16+3 {
		t.Errorf("%d series of close codes, want 19", n)
	}
	for code, want := range map[string]string{"1000": "1", "1015": "1", "3xxx": "1000", "4xxx": "1000", Other: "63521"} {
		if series := fmt.Sprintf(`sluice_sessions_closed_total{cause="close",code=%q,route="a",side="client"}`, code); got[series] != want {
			t.Errorf("%s = %s, want %s", series, got[series], want)
		}
	}
}

func TestLabelsAreBounded(t *testing.T) {
	m := New("v")
	first := m.Route("r0")
	for i := range maxRoutes + 100 {
		m.Route(fmt.Sprint("r", i)).Request(200, 0, 0, 0, "")
	}
	if m.Route("r0") != first || m.RouteLabel("r0") != "r0" {
		t.Error("a route that was there has other metrics")
	}
	if m.Route("new") != m.Route("other one") || m.RouteLabel("new") != Other || m.RouteLabel(Other) != Other {
		t.Error("routes beyond the bound are not one")
	}
	for i := range maxEndpoints + 100 {
		m.Endpoint("b", fmt.Sprint("e", i)).Served()
	}
	got := scrape(t, m)
	count := func(prefix string) (n int) {
		for series := range got {
			if strings.HasPrefix(series, prefix) {
				n++
			}
		}
		return n
	}
	if n := count("sluice_http_request_bytes_total{"); n != maxRoutes+1 {
		t.Errorf("%d routes, want %d", n, maxRoutes+1)
	}
	if n := count("sluice_endpoint_ejections_total{"); n != maxEndpoints+1 {
		t.Errorf("%d endpoints, want %d", n, maxEndpoints+1)
	}
	for series, want := range map[string]string{
		`sluice_http_requests_total{code="2xx",route="other"}`: "100", `sluice_http_requests_total{code="2xx",route="r999"}`: "1",
		`sluice_endpoint_tries_total{backend="other",endpoint="other",result="served"}`: "100",
	} {
		if got[series] != want {
			t.Errorf("%s = %s, want %s", series, got[series], want)
		}
	}
}

// A gateway without metrics, as in tests, counts nothing.
func TestNoMetrics(t *testing.T) {
	var m *Metrics
	m.Route("a").Request(200, 1, 1, 1, "")
	m.Route("a").Handshake(Accepted, 1, "")
	m.Route("a").SessionEnded("client", "close", 1000, 1)
	m.Route("a").Limit("rate")
	m.Spans(1, true)
	m.Backend("a").Served(1)
	e := m.Endpoint("a", "b")
	for _, count := range []func(){e.Served, e.Failed, e.Unreached, e.Ejected, func() { m.ConnectionRefused("a", "b") }, func() { m.CertificateEvent(true) }} {
		count()
	}
}

// Names of any characters are labels.
func TestNamesAreEscaped(t *testing.T) {
	m := New("v")
	for _, name := range []string{`a"b`, "a\\b", "a\nb", "é"} {
		m.Route(name).Request(200, 0, 0, 0, "")
	}
	var routes []string
	for series := range scrape(t, m) {
		if rest, ok := strings.CutPrefix(series, "sluice_http_request_bytes_total{route="); ok {
			routes = append(routes, rest)
		}
	}
	slices.Sort(routes)
	if got, want := strings.Join(routes, " "), `"a\"b"} "a\\b"} "a\nb"} "é"}`; got != want {
		t.Errorf("routes %s, want %s", got, want)
	}
}

// A trace that is sampled is the exemplar of its bucket, in OpenMetrics.
func TestSampledRequestsAreExemplars(t *testing.T) {
	m := New("v")
	const trace = "0af7651916cd43dd8448eb211c80319c"
	m.Route("a").Request(200, 0, 0, 3*time.Millisecond, trace)
	m.Route("a").Request(200, 0, 0, 3*time.Millisecond, "")
	m.Route("a").Handshake(Accepted, 3*time.Millisecond, trace)
	m.Route("a").Handshake(BackendFailed, 3*time.Millisecond, trace)
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	m.Handler().ServeHTTP(w, r)
	for _, want := range []string{
		`sluice_http_request_duration_seconds_bucket{route="a",le="0.005"} 2 # {trace_id="` + trace + `"} 0.003`,
		`sluice_handshake_duration_seconds_bucket{route="a",le="0.005"} 1 # {trace_id="` + trace + `"} 0.003`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s", want)
		}
	}
	if n := strings.Count(w.Body.String(), trace); n != 2 {
		t.Errorf("%d exemplars, want 2", n)
	}
}

func TestSpansAreCounted(t *testing.T) {
	m := New("v")
	m.Spans(5, true)
	m.Spans(2, false)
	if got := scrape(t, m); got["sluice_spans_exported_total"] != "5" || got["sluice_spans_dropped_total"] != "2" {
		t.Errorf("exported %s, dropped %s; want 5, 2", got["sluice_spans_exported_total"], got["sluice_spans_dropped_total"])
	}
}

// Counting allocates nothing: it is done for each request.
func TestCountingAllocatesNothing(t *testing.T) {
	m := New("v")
	r, b, e := m.Route("a"), m.Backend("a"), m.Endpoint("a", "b")
	r.SessionEnded("client", "close", 1000, time.Second)
	if n := testing.AllocsPerRun(100, func() {
		r.Request(200, 10, 10, time.Millisecond, "")
		r.Handshake(Accepted, time.Millisecond, "")
		e.Served()
		b.Served(time.Millisecond)
	}); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
