package tracing

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/header"
	"sluice/internal/telemetry"
)

// begin returns a sampled request that a client has begun in its trace, and the header for the backend.
func begin(t *testing.T) (*Tracer, *Request, header.Fields) {
	t.Helper()
	tracer := New(Env{})
	tracer.Configure(&Options{Sample: 1})
	var h header.Fields
	h.AddName("traceparent", parent)
	r := new(Request)
	tracer.Begin(r, &h, false)
	return tracer, r, h
}

// ended ends the request and returns its spans, the last of which is its own.
func ended(t *testing.T, tracer *Tracer, r *Request, record telemetry.Request, e End) []span {
	t.Helper()
	if record.Exchange == nil {
		record.Exchange = new(telemetry.Exchange)
	}
	r.End(tracer, &record, e)
	b, _ := tracer.queue.take(nil)
	if len(b.spans) == 0 {
		t.Fatal("nothing waits for its export")
	}
	return b.spans
}

// value returns an attribute as a text.
func (s *span) value(key string) string {
	for _, a := range s.attributes {
		switch {
		case a.key == key && a.kind == textKind:
			return a.text
		case a.key == key:
			return fmt.Sprint(a.number)
		}
	}
	return ""
}

func TestServersOfAllForms(t *testing.T) {
	for _, tt := range []struct{ name, in, address, port string }{
		{"an address", "10.0.0.5:80", "10.0.0.5", "80"},
		{"a name", "app.test:8080", "app.test", "8080"},
		{"a name alone", "app.test", "app.test", ""},
		{"IPv6", "[::1]:2", "::1", "2"},
		{"IPv6 alone", "[::1]", "::1", ""},
		{"IPv6 without brackets", "::1", "::1", ""},
		{"a socket", "/run/a.sock", "/run/a.sock", ""},
		{"a socket with what looks like a port", "/run/a:80", "/run/a:80", ""},
		{"a port that is none", "a:99999", "a", ""},
		{"nothing", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s span
			(*attributes)(&s.attributes).server(tt.in)
			if s.value("server.address") != tt.address || s.value("server.port") != tt.port {
				t.Errorf("server(%q) = %q, %q; want %q, %q", tt.in, s.value("server.address"), s.value("server.port"), tt.address, tt.port)
			}
		})
	}
}

func TestWhatHasFailed(t *testing.T) {
	cut := errors.New("cut")
	for _, tt := range []struct {
		name         string
		status       int
		err          error // of the try
		cut          bool
		try, request string // error.type; "" if it has not failed
	}{
		{name: "served", status: 200},
		{name: "not found", status: 404, try: "404"},
		{name: "failed", status: 503, try: "503", request: "503"},
		{name: "no answer", err: cut, try: "_OTHER", request: "_OTHER"},
		{name: "cut", status: 200, err: cut, cut: true, try: "_OTHER", request: "_OTHER"},
		{name: "a refusal that was cut", status: 404, err: cut, cut: true, try: "404", request: "_OTHER"},
		{name: "a failure that was cut", status: 500, err: cut, cut: true, try: "500", request: "500"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tracer, r, _ := begin(t)
			r.BeginTry("b", "e", "e")
			r.EndTry("GET", tt.status, tt.err, false)
			record := telemetry.Request{Status: tt.status}
			if tt.err != nil {
				record.Error = tt.err.Error()
			}
			spans := ended(t, tracer, r, record, End{Began: time.Now(), Cut: tt.cut})
			for i, want := range []string{tt.try, tt.request} {
				s := &spans[i]
				if s.value("error.type") != want || s.failed != (want != "") || tt.err != nil && s.message != "cut" {
					t.Errorf("%s: error.type %q, failed %v, message %q; want %q", s.name, s.value("error.type"), s.failed, s.message, want)
				}
			}
		})
	}
}

// A clock that is set while a request is under way, and a try that is ended with the request, leave no
// span that ends before it began, or after the request.
func TestSpansAreWithinTheirRequest(t *testing.T) {
	tracer, r, _ := begin(t)
	began := time.Now()
	r.Waited("b", began.Round(0).Add(-time.Hour), time.Millisecond) // by another clock
	r.BeginTry("b", "e", "e")
	r.Connected()
	r.EndTry("GET", 0, errors.New("lost"), false)
	r.BeginTry("b", "e", "e")
	for i, s := range ended(t, tracer, r, telemetry.Request{}, End{Began: began}) { // it took no time
		if s.ended.UnixNano() < s.began.UnixNano() || s.ended.UnixNano() > began.UnixNano() {
			t.Errorf("span %d, %s, is from %v to %v; its request ended at %v", i, s.name, s.began, s.ended, began)
		}
	}
}

// A request has so many spans that no try is missing whose dial is there.
func TestADialIsNotThereWithoutItsTry(t *testing.T) {
	tracer, r, _ := begin(t)
	for range maxChildren - 1 {
		r.Waited("b", time.Now(), 0)
	}
	r.BeginTry("b", "e", "e")
	r.EndTry("GET", 0, errors.New("refused"), true)
	spans := ended(t, tracer, r, telemetry.Request{Status: 502}, End{Began: time.Now()})
	if last := spans[maxChildren-1]; len(spans) != maxChildren+1 || last.name != "try" {
		t.Errorf("%d spans, the last one below the request is %q; want %d and the try", len(spans), last.name, maxChildren+1)
	}
}

func TestAnotherTryRenewsOnlyWhatIsTheGateways(t *testing.T) {
	for _, tt := range []struct {
		name   string
		value  func(injected string) string
		renews bool
	}{
		{"what was injected", func(s string) string { return s }, true},
		{"what the route has set", func(string) string { return "00-" + strings.Repeat("a", 32) + "-" + spanID + "-00" }, false},
		{"what the client has sent", func(string) string { return parent }, false},
		{"what is malformed", func(string) string { return "fixed" }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, r, h := begin(t)
			r.Inject(&h)
			for i := range h {
				h[i].Value = tt.value(h[i].Value)
			}
			before := h[0].Value
			for range 2 {
				r.BeginTry("b", "e", "e")
				if r.Renew(h); (h[0].Value == r.current()) != tt.renews || (h[0].Value == before) == tt.renews {
					t.Errorf("%q became %q; the try is %q", before, h[0].Value, r.current())
				}
				r.EndTry("GET", 0, nil, false)
			}
		})
	}
}

// One text that is not UTF-8 would make the whole batch one that cannot be encoded.
func TestNamesAreUTF8(t *testing.T) {
	if got := (&span{name: "GET a\xff"}).encode().Name; got != "GET a\ufffd" {
		t.Errorf("the name is %q", got)
	}
}
