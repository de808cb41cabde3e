package tracing

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"sluice/internal/header"
	"sluice/internal/telemetry"
	"sluice/internal/tracing/tracingtest"
	"sluice/internal/wstest"
)

// exporting is a tracer that runs, and what it tells.
type exporting struct {
	*Tracer
	exported, dropped atomic.Int64
	stop              func() // exports what is left

	mu  sync.Mutex
	log bytes.Buffer
}

func (e *exporting) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.Write(p)
}

func (e *exporting) logged() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.String()
}

// export runs a tracer. With transports nothing is dialed: each is for one destination.
func export(t *testing.T, o *Options, transports ...*answers) *exporting {
	e := new(exporting)
	l := zerolog.New(e)
	e.Tracer = New(Env{Version: "v1", Log: func() *zerolog.Logger { return &l }, Count: func(n int, exported bool) {
		if exported {
			e.exported.Add(int64(n))
		} else {
			e.dropped.Add(int64(n))
		}
	}})
	if len(transports) > 0 {
		e.dial = func(*Options) http.RoundTripper {
			next := transports[0]
			transports = transports[1:]
			return next
		}
	}
	e.Configure(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx) }()
	e.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(e.stop)
	return e
}

// request makes a request with one try, and ends it.
func (e *exporting) request(lines ...string) *Request { return e.requestTo("a", lines...) }

// requestTo is request by a route.
func (e *exporting) requestTo(route string, lines ...string) *Request {
	var h header.Fields
	for i := 0; i < len(lines); i += 2 {
		h.AddName(lines[i], lines[i+1])
	}
	r := new(Request)
	e.Begin(r, &h, true)
	r.BeginTry("b", "127.0.0.1:1", "127.0.0.1:1")
	r.EndTry("GET", 200, nil, false)
	r.End(e.Tracer, &telemetry.Request{Exchange: &telemetry.Exchange{Method: "GET", Route: route}, Status: 200}, End{Began: time.Now()})
	return r
}

func TestARequestIsExported(t *testing.T) {
	c := tracingtest.NewCollector(t, nil)
	e := export(t, &Options{Endpoint: c.URL + "/v1/traces", Headers: map[string]string{"Authorization": "secret", "Host": "collector.test"}, Sample: 1, Service: "gate"})
	var h header.Fields
	h.AddName("traceparent", parent)
	h.AddName("tracestate", "a=1")
	r := new(Request)
	e.Begin(r, &h, true)
	began := time.Now().Add(-time.Second)
	r.Secured(began.Add(-time.Second), began, &tls.ConnectionState{Version: tls.VersionTLS13, ServerName: "a.test", CipherSuite: tls.TLS_AES_128_GCM_SHA256})
	r.Waited("b", began, time.Millisecond)
	r.BeginTry("b", "127.0.0.1:1", "127.0.0.1:1")
	r.EndTry("GET", 0, errors.New("refused"), true)
	r.BeginTry("b", "[::1]:2", "[::1]:2")
	r.Connected()
	r.Inject(&h)
	sent := h.Named("traceparent")
	r.EndTry("GET", 404, nil, false)
	r.End(e.Tracer, &telemetry.Request{
		Exchange: &telemetry.Exchange{ID: "i", Route: "a", Backend: "b", Endpoint: "[::1]:2", Client: netip.MustParseAddr("192.0.2.1"), Method: "GET", Host: "a.test:80", URI: "/p?q=1\xff", Proto: "HTTP/1.1"},
		Status:   404, In: 1, Out: 2, Duration: 3 * time.Second,
	}, End{Began: began, Scheme: "https", Host: "a.test:80", UserAgent: "test"})
	e.stop()
	names := map[string]int{}
	for _, s := range c.Spans() {
		names[s.Name]++
		if s.Trace != traceID || s.TraceState != "a=1" || s.Resource["service.name"] != "gate" || s.Resource["service.version"] != "v1" || s.EndTimeUnixNano < s.StartTimeUnixNano {
			t.Errorf("%s: trace %s, state %q, resource %v", s.Name, s.Trace, s.TraceState, s.Resource)
		}
	}
	if got := fmt.Sprint(names); got != "map[GET a:1 dial:2 queue:1 tls handshake:1 try:2]" {
		t.Fatalf("%s: %s", got, c)
	}
	root, tries, dials := c.Named("GET")[0], c.Named("try"), c.Named("dial")
	if root.Parent != spanID || root.Kind.String() != "SPAN_KIND_SERVER" || root.Status != nil || root.EndTimeUnixNano-root.StartTimeUnixNano != 3e9 {
		t.Errorf("the request: %v", root)
	}
	for key, want := range map[string]string{
		"http.request.method": "GET", "url.path": "/p", "url.query": "q=1\ufffd", "url.scheme": "https", "server.address": "a.test", "server.port": "80",
		"network.protocol.version": "1.1", "client.address": "192.0.2.1", "user_agent.original": "test", "http.response.status_code": "404",
		"http.request.body.size": "1", "http.response.body.size": "2", "sluice.route": "a", "sluice.backend": "b", "sluice.endpoint": "[::1]:2", "sluice.request_id": "i",
	} {
		if root.Values[key] != want {
			t.Errorf("%s = %q, want %q", key, root.Values[key], want)
		}
	}
	for i, s := range tries {
		if s.Parent != root.ID || dials[i].Parent != s.ID || s.Kind.String() != "SPAN_KIND_CLIENT" || s.Status == nil {
			t.Errorf("try %d: %v, dial %v", i, s, dials[i])
		}
	}
	if tries[0].Status.Message != "refused" || tries[0].Values["error.type"] != "_OTHER" || dials[0].Status == nil || dials[1].Status != nil {
		t.Errorf("the first try: %v", tries[0])
	}
	if tries[1].Values["error.type"] != "404" || tries[1].Values["http.request.resend_count"] != "1" || tries[1].Values["server.address"] != "::1" || tries[1].Values["server.port"] != "2" {
		t.Errorf("the second try: %v", tries[1])
	}
	for value := range sent {
		if value != "00-"+traceID+"-"+tries[1].ID+"-01" {
			t.Errorf("the backend got %q; its try is %s", value, tries[1].ID)
		}
	}
	if tls := c.Named("tls")[0]; tls.Parent != root.ID || tls.Values["tls.protocol.version"] != "1.3" || tls.Values["tls.resumed"] != "false" || tls.Values["server.address"] != "a.test" || tls.EndTimeUnixNano > root.StartTimeUnixNano {
		t.Errorf("the TLS handshake: %v", tls)
	}
	headers, paths := c.Requests()
	if h := headers[0]; h.Get("Authorization") != "secret" || h.Get("User-Agent") != "sluice/v1" || paths[0] != "/v1/traces" {
		t.Errorf("exported to %s with %v", paths[0], h)
	}
}

// A parent of a client that is not trusted gives the trace its name, and does not decide whether it is
// sampled.
func TestWhoDecidesAboutSampling(t *testing.T) {
	unsampled := parent[:53] + "00"
	for _, tt := range []struct {
		name, parent string
		trusted      bool
		sample       float64
		want, kept   bool
	}{
		{"a trusted parent says yes", parent, true, 0, true, true},
		{"a trusted parent says no", unsampled, true, 1, false, true},
		{"another parent says yes", parent, false, 0, false, true},
		{"another parent says no", unsampled, false, 1, true, true},
		{"there is none, of a trusted peer", "", true, 1, true, false},
		{"there is none", "", false, 0, false, false},
		{"it is malformed, of a trusted peer", parent + "x", true, 0, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tracer := New(Env{})
			tracer.Configure(&Options{Sample: tt.sample})
			var h header.Fields
			if tt.parent != "" {
				h.AddName("Traceparent", tt.parent)
			}
			var r Request
			tracer.Begin(&r, &h, tt.trusted)
			if r.Trace.Sampled != tt.want || r.Sampled() != tt.want || (r.Trace.Name() == traceID) != tt.kept || r.Trace.IsZero() {
				t.Errorf("trace %+v; want sampled %v, kept %v", r.Trace, tt.want, tt.kept)
			}
			r.BeginTry("b", "e", "e")
			r.Inject(&h)
			flag := "-00"
			if tt.want {
				flag = "-01"
			}
			for value := range h.Named("traceparent") {
				if !strings.HasSuffix(value, flag) || !strings.HasPrefix(value, "00-"+r.Trace.Name()) || strings.Contains(value, spanID) {
					t.Errorf("the backend gets %q", value)
				}
			}
			if len(h) != 1 {
				t.Errorf("the backend gets %v", h)
			}
		})
	}
}

func TestATracerThatIsOffDoesNothing(t *testing.T) {
	for name, tracer := range map[string]*Tracer{"off": New(Env{}), "nil": nil} {
		t.Run(name, func(t *testing.T) {
			var h header.Fields
			h.AddName("traceparent", "what ever")
			h.AddName("baggage", strings.Repeat("x", 2*maxBaggage))
			var r Request
			if n := testing.AllocsPerRun(100, func() {
				tracer.Begin(&r, &h, true)
				r.BeginTry("b", "e", "e")
				r.Connected()
				r.Inject(&h)
				r.Renew(h)
				r.EndTry("GET", 200, nil, false)
				r.End(tracer, nil, End{})
			}); n != 0 || !r.Trace.IsZero() || r.Sampled() || r.Exemplar() != "" || len(h) != 2 || h[0].Value != "what ever" {
				t.Errorf("%v objects; %+v, %v", n, r, h)
			}
			tracer.Ended(&telemetry.Session{Exchange: &telemetry.Exchange{Trace: telemetry.Trace{ID: [16]byte{1}, Sampled: true}}})
		})
	}
}

func TestASessionIsASpanOfItsOwnTrace(t *testing.T) {
	c := tracingtest.NewCollector(t, nil)
	e := export(t, &Options{Endpoint: c.URL, Sample: 1})
	at := telemetry.Trace{ID: [16]byte{1}, Span: [8]byte{2}, Sampled: true}
	e.Ended(&telemetry.Session{Exchange: &telemetry.Exchange{Trace: telemetry.Trace{ID: [16]byte{1}}}})
	ended := telemetry.Session{
		Exchange: &telemetry.Exchange{ID: "i", Route: "chat", Trace: at}, Number: 7, Duration: 48 * time.Hour, Code: 1001, Reason: "bye", EndedBy: "client", Cause: "close",
	}
	n := &ended.FromClient
	n.Messages, n.Frames, n.Controls, n.Bytes = 1, 2, 3, 4
	e.Ended(&ended)
	e.stop()
	all := c.Spans()
	if len(all) != 1 {
		t.Fatalf("%d spans, want 1: %s", len(all), c)
	}
	s := all[0]
	if s.Name != "session chat" || s.Parent != "" || s.Trace == at.Name() || len(s.Links) != 1 || fmt.Sprintf("%x", s.Links[0].TraceId) != at.Name() || s.StartTimeUnixNano != s.EndTimeUnixNano {
		t.Errorf("%v", s)
	}
	for key, want := range map[string]string{
		"sluice.session": "0000000000000007", "sluice.session.duration_ms": "172800000", "sluice.session.client.messages": "1", "sluice.session.client.frames": "2",
		"sluice.session.client.controls": "3", "sluice.session.client.bytes": "4", "sluice.session.backend.messages": "0", "sluice.session.close_code": "1001",
		"sluice.session.close_reason": "bye", "sluice.session.ended_by": "client", "sluice.session.cause": "close",
	} {
		if s.Values[key] != want {
			t.Errorf("%s = %q, want %q", key, s.Values[key], want)
		}
	}
}

// What waits for a collector that is down has a bound; what is more is dropped and counted, and the log
// has one line.
func TestACollectorThatIsDown(t *testing.T) {
	e := export(t, &Options{Endpoint: "http://" + wstest.Reserve(t), Headers: map[string]string{"X-Token": "s3cret"}, Sample: 1})
	const requests = mostQueued // of two spans each
	for range requests {
		e.request()
	}
	e.stop()
	if n := e.dropped.Load(); n != 2*requests || e.exported.Load() != 0 {
		t.Errorf("%d spans are dropped and %d exported; want %d and 0", n, e.exported.Load(), 2*requests)
	}
	log := e.logged()
	if strings.Count(log, "\n") != 1 || !strings.Contains(log, "connection refused") || strings.Contains(log, "s3cret") {
		t.Errorf("the log has %s", log)
	}
}

func TestAQueueHasABound(t *testing.T) {
	tracer := New(Env{})
	tracer.Configure(&Options{Sample: 1})
	for range 2 * mostQueued {
		tracer.put(make([]span, 1))
	}
	if n := tracer.queue.length; n != mostQueued {
		t.Errorf("%d spans wait, want %d", n, mostQueued)
	}
}

// answers is a collector that gives one answer after the other, and the last one again and again.
type answers struct {
	mu    sync.Mutex
	queue []http.Response
	times []time.Time // of the requests
	got   string      // the routes of requests that were taken
	takes time.Duration
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.times = append(a.times, time.Now())
	a.mu.Unlock()
	if a.takes > 0 {
		select {
		case <-time.After(a.takes):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	next := a.queue[0]
	if len(a.queue) > 1 {
		a.queue = a.queue[1:]
	}
	if next.StatusCode == http.StatusOK {
		body, err := io.ReadAll(r.Body)
		var data tracepb.TracesData
		if err == nil {
			err = proto.Unmarshal(body, &data)
		}
		if err != nil {
			return nil, err
		}
		for _, s := range data.ResourceSpans[0].ScopeSpans[0].Spans {
			if s.Kind == tracepb.Span_SPAN_KIND_SERVER {
				a.got += s.Name[len("GET "):]
			}
		}
	}
	next.Request = r
	return &next, nil
}

// asked returns when there were requests.
func (a *answers) asked() []time.Time {
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.times
}

// A collector that has no time is asked again, as it says; one that refuses is not.
func TestAnswersOfTheCollector(t *testing.T) {
	success := "\x0a\x13\x08\x01\x12\x0ftoo many spans!"
	for _, tt := range []struct {
		name              string
		status            int
		after, body       string
		exported, dropped int64
		pause             time.Duration // before it is asked again; 0 if it is not
		log               string
	}{
		{name: "taken", status: 200, exported: 2},
		{name: "taken with another status", status: 202, body: "nonsense", exported: 2},
		{name: "taken in part", status: 200, body: success, exported: 1, dropped: 1, log: `has refused 1 spans of an export: \"too many spans!`},
		{name: "taken with a warning", status: 200, body: "\x0a\x06\x12\x04soon", exported: 2, log: `the collector warns: \"soon\"`},
		{name: "less than none refused", status: 200, body: "\x0a\x0b\x08" + strings.Repeat("\xff", 9) + "\x01", exported: 2},
		{name: "no time", status: 503, exported: 2, pause: time.Second, log: "status 503"},
		{name: "no time for a while", status: 429, after: "7", exported: 2, pause: 7 * time.Second, log: "status 429"},
		{name: "no time for ever", status: 429, after: "1000000", exported: 2, pause: longestPause, log: "status 429"},
		{name: "no time until a date", status: 503, after: "Sat, 01 Jan 2000 00:00:12 GMT", exported: 2, pause: 10 * time.Second, log: "status 503"},
		{name: "no time until a date that is over", status: 503, after: "Sat, 01 Jan 2000 00:00:01 GMT", exported: 2, pause: time.Second, log: "status 503"},
		{name: "no time before", status: 502, after: "-5", exported: 2, pause: time.Second, log: "status 502"},
		{name: "refused", status: 400, body: "s3cret", dropped: 2, log: "status 400"},
		{name: "elsewhere", status: 307, dropped: 2, log: "status 307"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := func(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }
				a := &answers{queue: []http.Response{
					{StatusCode: tt.status, Header: http.Header{"Retry-After": {tt.after}, "Location": {"http://other.test"}}, Body: body(tt.body)},
					{StatusCode: 200, Body: body("")},
				}}
				e := export(t, &Options{Endpoint: "http://collector.test", Headers: map[string]string{"X-Token": "s3cret"}, Sample: 1}, a)
				e.request()
				time.Sleep(time.Hour)
				if e.exported.Load() != tt.exported || e.dropped.Load() != tt.dropped {
					t.Errorf("%d exported, %d dropped; want %d, %d", e.exported.Load(), e.dropped.Load(), tt.exported, tt.dropped)
				}
				switch {
				case tt.pause == 0 && len(a.asked()) != 1, tt.pause > 0 && len(a.asked()) != 2:
					t.Errorf("asked %d times", len(a.asked()))
				case tt.pause > 0:
					if took := a.asked()[1].Sub(a.asked()[0]); took > tt.pause || took < tt.pause*3/4 {
						t.Errorf("asked again after %v, want %v or a bit less", took, tt.pause)
					}
				}
				if log := e.logged(); !strings.Contains(log, tt.log) || (log == "") != (tt.log == "") || strings.Contains(log, "s3cret") {
					t.Errorf("the log has %q, want %q", log, tt.log)
				}
				e.stop()
			})
		})
	}
}

// A collector that has no time for ever is asked a few times for a batch, which is dropped then. The log
// has a line a minute.
func TestABatchIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{queue: []http.Response{{StatusCode: 503, Body: http.NoBody}}}
		e := export(t, &Options{Endpoint: "http://collector.test", Sample: 1}, a)
		for range 2 {
			e.request()
			time.Sleep(time.Hour)
		}
		if len(a.asked()) != 2*mostTries || e.dropped.Load() != 4 {
			t.Errorf("asked %d times, %d dropped; want %d, 4", len(a.asked()), e.dropped.Load(), 2*mostTries)
		}
		if n := strings.Count(e.logged(), "\n"); n < 2 || n > 4 {
			t.Errorf("%d lines in the log: %s", n, e.logged())
		}
		e.stop()
	})
}

// A request that is under way at the end is not cut and made again: the collector would have its spans
// twice.
func TestTheEndDoesNotRepeatARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{queue: []http.Response{{StatusCode: 200, Body: http.NoBody}}, takes: time.Second}
		e := export(t, &Options{Endpoint: "http://collector.test", Sample: 1}, a)
		e.request()
		time.Sleep(batchTime + time.Second/2)
		e.stop()
		if len(a.asked()) != 1 || e.exported.Load() != 2 || e.dropped.Load() != 0 {
			t.Errorf("asked %d times, %d exported, %d dropped; want 1, 2, 0", len(a.asked()), e.exported.Load(), e.dropped.Load())
		}
	})
}

// A collector that does not answer delays the end for a bounded time.
func TestTheEndHasABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{queue: []http.Response{{StatusCode: 200, Body: http.NoBody}}, takes: time.Hour}
		e := export(t, &Options{Endpoint: "http://collector.test", Sample: 1}, a)
		e.request()
		time.Sleep(batchTime + time.Second/2)
		e.request()
		began := time.Now()
		e.stop()
		if took := time.Since(began); took > 2*flushTime || e.dropped.Load() != 4 {
			t.Errorf("the end took %v, %d dropped; want %v at most, and 4", took, e.dropped.Load(), 2*flushTime)
		}
	})
}

// The bytes of an answer are anyone's: they are read, or they say nothing.
func FuzzPartial(f *testing.F) {
	f.Add([]byte("\x0a\x13\x08\x01\x12\x0ftoo many spans!"))
	f.Add([]byte("\x0a\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, _ := partial(b).(*partialError); e != nil && e.rejected <= 0 && e.message == "" {
			t.Fatalf("%q says nothing, as %v", b, e)
		}
	})
}

// What a request costs on the way to the queue.
func BenchmarkRequest(b *testing.B) {
	for _, tt := range []struct {
		name string
		o    *Options
	}{{"off", nil}, {"not sampled", &Options{}}, {"sampled", &Options{Sample: 1}}} {
		b.Run(tt.name, func(b *testing.B) {
			tracer := New(Env{})
			tracer.Configure(tt.o)
			var fields header.Fields
			fields.AddName("Host", "a.test")
			fields.AddName("User-Agent", "bench")
			fields.AddName("Accept", "*/*")
			x := &telemetry.Exchange{ID: "0000000000000000", Route: "a", Backend: "b", Endpoint: "127.0.0.1:1", Client: netip.MustParseAddr("192.0.2.1"), Method: "GET", Host: "a.test:80", URI: "/p?q=1", Proto: "HTTP/1.1"}
			record := &telemetry.Request{Exchange: x, Status: 200, Duration: time.Millisecond}
			h := make(header.Fields, 0, 10)
			began := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				h = append(h[:0], fields...)
				var r Request
				tracer.Begin(&r, &h, false)
				r.BeginTry("b", "127.0.0.1:1", "127.0.0.1:1")
				r.Inject(&h)
				r.EndTry("GET", 200, nil, false)
				if r.Sampled() {
					r.End(tracer, record, End{Began: began, Scheme: "http", Host: "a.test:80", UserAgent: "bench"})
				}
				if tracer.queue.length > mostQueued/2 {
					tracer.queue.groups, tracer.queue.length = tracer.queue.groups[:0], 0
				}
			}
		})
	}
}
