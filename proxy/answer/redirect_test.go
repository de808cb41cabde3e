package answer

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"sluice/internal/message"
)

func TestRedirect(t *testing.T) {
	tests := []struct {
		name, to, rest, query, want string
	}{
		{name: "path", to: "/new", want: "/new"},
		{name: "root", to: "/", want: "/"},
		{name: "the query is kept", to: "/new", query: "a=1&b=%20", want: "/new?a=1&b=%20"},
		{name: "the query of the target wins", to: "/new?x=1", query: "a=1", want: "/new?x=1"},
		{name: "an empty query of the target wins", to: "/new?", query: "a=1", want: "/new?"},
		{name: "fragment stays last", to: "/new#top", query: "a=1", want: "/new?a=1#top"},
		{name: "rest", to: "/new/*", rest: "a/b%2Fc", query: "q", want: "/new/a/b%2Fc?q"},
		{name: "rest is not used without '*'", to: "/new", rest: "a", want: "/new"},
		{name: "rest in the middle of a segment", to: "/v2-*", rest: "a", want: "/v2-a"},
		{name: "URL", to: "https://example.com/x", want: "https://example.com/x"},
		{name: "URL with rest", to: "wss://example.com:8443/x/*", rest: "a", want: "wss://example.com:8443/x/a"},
		{name: "rest cannot continue a host", to: "https://example.com*", rest: ".evil.test/", want: "https://example.com/.evil.test/"},
		{name: "rest cannot continue a port", to: "https://example.com:8*", rest: "0", want: "https://example.com:8/0"},
		{name: "rest cannot become user information", to: "https://example.com*", rest: "@evil.test", want: "https://example.com/@evil.test"},
		{name: "rest cannot become a host", to: "/*", rest: "/evil.test/x", want: "/evil.test/x"},
		{name: "nor with many slashes", to: "/*", rest: "///evil.test", want: "/evil.test"},
		{name: "nor with a backslash", to: "/*", rest: `\evil.test`, want: "/%5Cevil.test"},
		{name: "nor behind a tab", to: "/*", rest: "\t/evil.test", want: "/%09/evil.test"},
		{name: "nor behind dots", to: "/*", rest: "..//evil.test", want: "/..//evil.test"},
		{name: "rest cannot add a line", to: "/*", rest: "a\r\nSet-Cookie: b", want: "/a%0D%0ASet-Cookie:%20b"},
		{name: "rest cannot add a query", to: "/*", rest: "a?b#c", query: "q", want: "/a%3Fb%23c?q"},
		{name: "rest as a value", to: "/find?q=*", rest: "a/b&admin=1%20", query: "kept=no", want: "/find?q=a/b%26admin%3D1%20"},
		{name: "delimiters stay as they came", to: "/a;b%3Bc!é/*", rest: "d;e%3Bf[1]%5B", want: "/a;b%3Bc!%C3%A9/d;e%3Bf[1]%5B"},
		{name: "brackets of an address", to: "https://[::1]:8443/*", rest: "a", want: "https://[::1]:8443/a"},
		{name: "bytes that no URL may hold", to: "/ä b", query: "\"ä #", want: "/%C3%A4%20b?%22%C3%A4%20%23"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := NewRedirect(tt.to, http.StatusPermanentRedirect)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			d.Serve(w, &message.Request{Method: "GET", Path: "/old", RawQuery: tt.query}, tt.rest)
			if got := w.Header().Get("Location"); got != tt.want || w.Code != http.StatusPermanentRedirect || w.Body.Len() > 0 {
				t.Errorf("redirect of %q, query %q to %q = %d %q %q; want %q", tt.rest, tt.query, tt.to, w.Code, got, w.Body, tt.want)
			}
		})
	}
}

func TestNewRedirectRefuses(t *testing.T) {
	for _, to := range []string{"", "*", "new", "//example.com", "javascript:alert(1)", "https:", "https:///x", "mailto:a@b", "/a#*", "https://a b/", "\n"} {
		t.Run(to, func(t *testing.T) {
			if _, err := NewRedirect(to, http.StatusFound); err == nil {
				t.Errorf("NewRedirect(%q) took it", to)
			}
		})
	}
}

// FuzzRedirect: rest and query never change the host that a redirect leads to.
func FuzzRedirect(f *testing.F) {
	for _, rest := range []string{"a", "/evil.test", `\\evil.test`, "..//evil.test", "\t/evil.test", "@evil.test", ".evil.test", ":1", "a\r\nb", "%2F%2Fevil.test", "?", "#"} {
		f.Add(rest, "q=1")
	}
	f.Add("%/evil.test", "")
	site, err := url.Parse("https://site.test/old")
	if err != nil {
		f.Fatal(err)
	}
	targets := map[string]string{"/*": "site.test", "/x*": "site.test", "https://example.com*": "example.com", "/find?q=*": "site.test"}
	f.Fuzz(func(t *testing.T, rest, query string) {
		for to, host := range targets {
			d, err := NewRedirect(to, http.StatusFound)
			if err != nil {
				t.Fatal(err)
			}
			location := d.location(rest, query)
			for _, c := range []byte(location) {
				if c <= ' ' || c >= 0x7f || strings.IndexByte(`\"<>#`, c) >= 0 {
					t.Fatalf("Location %q holds %q", location, c)
				}
			}
			if strings.HasPrefix(location, "//") {
				t.Fatalf("Location %q names a host", location)
			}
			// A browser takes a malformed escape as it is; Go's parser does not.
			u, err := site.Parse(strings.ReplaceAll(location, "%", "%25"))
			if err != nil || u.Host != host || u.Scheme != "https" || u.User != nil {
				t.Fatalf("Location %q leads to %v, %v; want host %s", location, u, err, host)
			}
		}
	})
}
