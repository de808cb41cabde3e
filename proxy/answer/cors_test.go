package answer

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"sluice/internal/header"
	"sluice/internal/message"
)

func TestCORSOrigins(t *testing.T) {
	tests := []struct {
		name    string
		origins []string
		origin  string
		want    string // Access-Control-Allow-Origin
	}{
		{name: "exact", origins: []string{"https://app.example.com"}, origin: "https://app.example.com", want: "https://app.example.com"},
		{name: "second", origins: []string{"https://a.test", "https://b.test"}, origin: "https://b.test", want: "https://b.test"},
		{name: "capitals in the pattern", origins: []string{"HTTPS://App.Example.com"}, origin: "https://app.example.com", want: "https://app.example.com"},
		{name: "the default port in the pattern", origins: []string{"https://a.test:443"}, origin: "https://a.test", want: "https://a.test"},
		{name: "another port", origins: []string{"https://a.test"}, origin: "https://a.test:8443"},
		{name: "the port", origins: []string{"http://localhost:3000"}, origin: "http://localhost:3000", want: "http://localhost:3000"},
		{name: "another scheme", origins: []string{"https://a.test"}, origin: "http://a.test"},
		{name: "a longer host", origins: []string{"https://a.test"}, origin: "https://a.test.evil.test"},
		{name: "a host in front", origins: []string{"https://a.test"}, origin: "https://evil-a.test"},
		{name: "below", origins: []string{"https://*.example.com"}, origin: "https://a.example.com", want: "https://a.example.com"},
		{name: "far below", origins: []string{"https://*.example.com"}, origin: "https://a.b.example.com", want: "https://a.b.example.com"},
		{name: "below with a port", origins: []string{"https://*.example.com:8443"}, origin: "https://a.example.com:8443", want: "https://a.example.com:8443"},
		{name: "below with another port", origins: []string{"https://*.example.com"}, origin: "https://a.example.com:8443"},
		{name: "not below itself", origins: []string{"https://*.example.com"}, origin: "https://example.com"},
		{name: "nor with a bare dot", origins: []string{"https://*.example.com"}, origin: "https://.example.com"},
		{name: "nor by a longer name", origins: []string{"https://*.example.com"}, origin: "https://evilexample.com"},
		{name: "nor in a path", origins: []string{"https://*.example.com"}, origin: "https://evil.test/.example.com"},
		{name: "nor behind user information", origins: []string{"https://*.example.com"}, origin: "https://evil.test@a.example.com"},
		{name: "null", origins: []string{"null"}, origin: "null", want: "null"},
		{name: "null must be named", origins: []string{"https://*.example.com"}, origin: "null"},
		{name: "any", origins: []string{"*"}, origin: "https://a.test", want: "*"},
		{name: "any, without an origin", origins: []string{"*"}, want: "*"},
		{name: "no origin", origins: []string{"https://a.test"}},
		{name: "none allowed", origin: "https://a.test"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var fields header.Fields
			r := &message.Request{Method: "GET"}
			if tt.origin != "" {
				r.Header.Set(header.Origin, tt.origin)
			}
			NewCORS(CORSOptions{Origins: tt.origins}).Apply(&fields, r)
			h := fields.HTTP()
			vary := ""
			if tt.want != "*" {
				vary = "Origin"
			}
			if got := h.Get("Access-Control-Allow-Origin"); got != tt.want || h.Get("Vary") != vary {
				t.Errorf("origin %q with %q gives %v, want %q, Vary %q", tt.origin, tt.origins, h, tt.want, vary)
			}
		})
	}
}

func TestCORSApply(t *testing.T) {
	site := CORSOptions{Origins: []string{"https://a.test"}, Methods: []string{"PUT"}, Headers: []string{"X"}, MaxAge: time.Hour}
	with := func(change func(*CORSOptions)) CORSOptions {
		o := site
		change(&o)
		return o
	}
	tests := []struct {
		name   string
		o      CORSOptions
		origin []string
		header http.Header
		want   http.Header
	}{
		{name: "credentials and exposed headers", o: with(func(o *CORSOptions) { o.Credentials, o.Expose = true, []string{"X-Total", "X-Page"} }), origin: []string{"https://a.test"},
			want: http.Header{"Access-Control-Allow-Origin": {"https://a.test"}, "Access-Control-Allow-Credentials": {"true"}, "Access-Control-Expose-Headers": {"X-Total, X-Page"}, "Vary": {"Origin"}}},
		{name: "no credentials for any origin", o: CORSOptions{Origins: []string{"*"}, Credentials: true}, origin: []string{"https://a.test"},
			want: http.Header{"Access-Control-Allow-Origin": {"*"}}},
		{name: "the backend's are replaced", o: site, origin: []string{"https://a.test"}, header: http.Header{
			"Access-Control-Allow-Origin": {"*", "https://evil.test"}, "Access-Control-Allow-Credentials": {"true"}, "Access-Control-Allow-Methods": {"*"},
			"Access-Control-Allow-Headers": {"*"}, "Access-Control-Expose-Headers": {"*"}, "Access-Control-Max-Age": {"9"}, "X": {"kept"}},
			want: http.Header{"Access-Control-Allow-Origin": {"https://a.test"}, "Vary": {"Origin"}, "X": {"kept"}}},
		{name: "and removed for others", o: site, origin: []string{"https://evil.test"}, header: http.Header{"Access-Control-Allow-Origin": {"*"}}, want: http.Header{"Vary": {"Origin"}}},
		{name: "Vary is there", o: site, header: http.Header{"Vary": {"Accept-Encoding, origin"}}, want: http.Header{"Vary": {"Accept-Encoding, origin"}}},
		{name: "Vary says all", o: site, header: http.Header{"Vary": {"*"}}, want: http.Header{"Vary": {"*"}}},
		{name: "Vary says more", o: site, header: http.Header{"Vary": {"Accept-Encoding"}}, want: http.Header{"Vary": {"Accept-Encoding", "Origin"}}},
		{name: "two origins are none", o: site, origin: []string{"https://a.test", "https://a.test"}, want: http.Header{"Vary": {"Origin"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fields := header.FromHTTP(tt.header)
			NewCORS(tt.o).Apply(&fields, &message.Request{Method: "GET", Header: header.FromHTTP(http.Header{"Origin": tt.origin})})
			h := fields.HTTP()
			if !maps.EqualFunc(h, tt.want, slices.Equal) {
				t.Errorf("headers are %v, want %v", h, tt.want)
			}
		})
	}
}

func TestCORSPreflight(t *testing.T) {
	full := CORSOptions{Origins: []string{"https://a.test"}, Methods: []string{"GET", "PUT"}, Headers: []string{"Content-Type", "X-Y"},
		Expose: []string{"X-Total"}, Credentials: true, MaxAge: 90 * time.Minute}
	question := func(origin string) http.Header {
		return http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"PUT"}, "Access-Control-Request-Headers": {"x-y"}}
	}
	tests := []struct {
		name, method string
		o            CORSOptions
		header       http.Header
		want         http.Header // nil: not answered
	}{
		{name: "allowed", method: "OPTIONS", o: full, header: question("https://a.test"), want: http.Header{
			"Access-Control-Allow-Origin": {"https://a.test"}, "Access-Control-Allow-Credentials": {"true"}, "Access-Control-Allow-Methods": {"GET, PUT"},
			"Access-Control-Allow-Headers": {"Content-Type, X-Y"}, "Access-Control-Max-Age": {"5400"}, "Vary": {"Origin"}}},
		{name: "not allowed", method: "OPTIONS", o: full, header: question("https://b.test"), want: http.Header{"Vary": {"Origin"}}},
		{name: "any origin", method: "OPTIONS", o: CORSOptions{Origins: []string{"*"}, Methods: []string{"*"}}, header: question("https://b.test"),
			want: http.Header{"Access-Control-Allow-Origin": {"*"}, "Access-Control-Allow-Methods": {"*"}}},
		{name: "nothing but the origin", method: "OPTIONS", o: CORSOptions{Origins: []string{"https://a.test"}}, header: question("https://a.test"),
			want: http.Header{"Access-Control-Allow-Origin": {"https://a.test"}, "Vary": {"Origin"}}},
		{name: "OPTIONS without an origin", method: "OPTIONS", o: full, header: http.Header{"Access-Control-Request-Method": {"PUT"}}},
		{name: "OPTIONS that asks for no method", method: "OPTIONS", o: full, header: http.Header{"Origin": {"https://a.test"}}},
		{name: "another method", method: "GET", o: full, header: question("https://a.test")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			answered := NewCORS(tt.o).Preflight(w, &message.Request{Method: tt.method, Header: header.FromHTTP(tt.header)})
			if answered != (tt.want != nil) {
				t.Fatalf("Preflight = %v", answered)
			}
			if answered && (w.Code != http.StatusNoContent || !maps.EqualFunc(w.Header(), tt.want, slices.Equal)) {
				t.Errorf("got %d %v, want 204 %v", w.Code, w.Header(), tt.want)
			}
		})
	}
}
