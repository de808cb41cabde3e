// Package tracingtest is an OpenTelemetry collector for tests.
package tracingtest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// patience is how long an export is waited for.
const patience = 30 * time.Second

// Span is a span that a collector has got.
type Span struct {
	*tracepb.Span
	Trace, ID, Parent string            // in hexadecimal; Parent is "" for none
	Values            map[string]string // of its attributes
	Resource          map[string]string
}

// Collector takes OTLP over HTTP.
type Collector struct {
	URL string

	answer  func(w http.ResponseWriter) bool
	mu      sync.Mutex
	spans   []Span
	headers []http.Header
	paths   []string
	changed chan struct{} // closed and replaced at each request
}

// NewCollector starts a collector. Answer, which may be nil, may answer in its place: then it returns
// true, and nothing is taken.
func NewCollector(t testing.TB, answer func(w http.ResponseWriter) bool) *Collector {
	c := &Collector{answer: answer, changed: make(chan struct{})}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.URL = s.URL
	return c
}

// ServeHTTP takes one export.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var data tracepb.TracesData // on the wire it is an ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &data)
	}
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, fmt.Sprint("no export: ", err), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { close(c.changed); c.changed = make(chan struct{}) }()
	c.headers, c.paths = append(c.headers, r.Header), append(c.paths, r.URL.Path)
	if c.answer != nil && c.answer(w) {
		return
	}
	for _, resource := range data.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, Span{
					Span: s, Trace: fmt.Sprintf("%x", s.TraceId), ID: fmt.Sprintf("%x", s.SpanId), Parent: fmt.Sprintf("%x", s.ParentSpanId),
					Values: values(s.Attributes), Resource: values(resource.Resource.Attributes),
				})
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func values(all []*commonpb.KeyValue) map[string]string {
	m := make(map[string]string)
	for _, a := range all {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			m[a.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			m[a.Key] = fmt.Sprint(v.IntValue)
		case *commonpb.AnyValue_BoolValue:
			m[a.Key] = fmt.Sprint(v.BoolValue)
		}
	}
	return m
}

// Spans returns what has come so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Requests returns the headers and the paths of all exports, also those that were not taken.
func (c *Collector) Requests() ([]http.Header, []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.headers), slices.Clone(c.paths)
}

// Await waits until the collector is as ok wants it.
func (c *Collector) Await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("no %s: %s", what, c)
		}
	}
}

// AwaitSpan waits for the first span whose name begins with a text, and returns it.
func (c *Collector) AwaitSpan(t testing.TB, name string) (found Span) {
	t.Helper()
	c.Await(t, "span "+name, func() bool {
		all := c.Named(name)
		if len(all) > 0 {
			found = all[0]
		}
		return len(all) > 0
	})
	return found
}

// Named returns the spans whose names begin with a text.
func (c *Collector) Named(name string) (all []Span) {
	for _, s := range c.Spans() {
		if strings.HasPrefix(s.Name, name) {
			all = append(all, s)
		}
	}
	return all
}

// String returns the spans for a message.
func (c *Collector) String() string {
	var b strings.Builder
	for _, s := range c.Spans() {
		fmt.Fprintf(&b, "\n%s %s of %s in %s: %v %v", s.Name, s.ID, s.Parent, s.Trace, s.Values, s.Status)
	}
	return b.String()
}
