package httpsyntax_test

import (
	"testing"

	"sluice/internal/httpsyntax"
)

func TestParseOrigin(t *testing.T) {
	tests := []struct {
		name, in string
		want     httpsyntax.Origin // zero: none
	}{
		{name: "default port of https", in: "https://a.test", want: httpsyntax.Origin{Scheme: "https", Host: "a.test", Port: "443"}},
		{name: "default port of http", in: "http://a.test", want: httpsyntax.Origin{Scheme: "http", Host: "a.test", Port: "80"}},
		{name: "port", in: "http://a.test:81", want: httpsyntax.Origin{Scheme: "http", Host: "a.test", Port: "81"}},
		{name: "capitals and a dot", in: "HTTPS://A.Test.", want: httpsyntax.Origin{Scheme: "https", Host: "a.test", Port: "443"}},
		{name: "IPv6", in: "http://[2001:DB8::1]", want: httpsyntax.Origin{Scheme: "http", Host: "2001:db8::1", Port: "80"}},
		{name: "extension", in: "chrome-extension://abc", want: httpsyntax.Origin{Scheme: "chrome-extension", Host: "abc"}},
		{name: "null", in: "null"},
		{name: "file", in: "file://"},
		{name: "no scheme", in: "//a.test"},
		{name: "path", in: "https://a.test/"},
		{name: "query", in: "https://a.test?"},
		{name: "fragment", in: "https://a.test#"},
		{name: "user name", in: "https://u@a.test"},
		{name: "leading dot", in: "https://.a.test"},
		{name: "only a dot", in: "https://."},
		{name: "star", in: "https://*.a.test"},
		{name: "space", in: "https://a b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := httpsyntax.ParseOrigin(tt.in); got != tt.want || ok != (tt.want != httpsyntax.Origin{}) {
				t.Errorf("ParseOrigin(%q) = %+v, %v; want %+v", tt.in, got, ok, tt.want)
			}
		})
	}
}

func TestOriginPattern(t *testing.T) {
	tests := []struct {
		name, pattern, origin string
		match, text           bool // what Match and MatchText say
	}{
		{name: "the same", pattern: "https://a.test", origin: "https://a.test", match: true, text: true},
		{name: "capitals in the pattern", pattern: "HTTPS://A.test", origin: "https://a.test", match: true, text: true},
		{name: "capitals in the origin", pattern: "https://a.test", origin: "HTTPS://A.test", match: true},
		{name: "default port in the pattern", pattern: "https://a.test:443", origin: "https://a.test", match: true, text: true},
		{name: "default port in the origin", pattern: "https://a.test", origin: "https://a.test:443", match: true},
		{name: "dot in the origin", pattern: "https://a.test", origin: "https://a.test.", match: true},
		{name: "dot in the pattern", pattern: "https://a.test.", origin: "https://a.test", match: true},
		{name: "dot in both", pattern: "https://a.test.", origin: "https://a.test.", match: true, text: true},
		{name: "other port", pattern: "https://a.test", origin: "https://a.test:8443"},
		{name: "other scheme", pattern: "https://a.test", origin: "http://a.test"},
		{name: "longer host", pattern: "https://a.test", origin: "https://a.test.evil.test"},
		{name: "below", pattern: "https://*.a.test", origin: "https://x.y.a.test", match: true, text: true},
		{name: "below, port", pattern: "https://*.a.test:1", origin: "https://x.a.test:1", match: true, text: true},
		{name: "below, default port", pattern: "http://*.a.test:80", origin: "http://x.a.test", match: true, text: true},
		{name: "below, capitals", pattern: "https://*.a.test", origin: "https://X.a.test", match: true, text: true},
		{name: "not the host itself", pattern: "https://*.a.test", origin: "https://a.test"},
		{name: "no empty label", pattern: "https://*.a.test", origin: "https://.a.test"},
		{name: "no longer label", pattern: "https://*.a.test", origin: "https://xa.test"},
		{name: "no path", pattern: "https://*.a.test", origin: "https://evil.test/.a.test"},
		{name: "no user name", pattern: "https://*.a.test", origin: "https://evil.test@x.a.test"},
		{name: "null", pattern: "null", origin: "null", match: true, text: true},
		{name: "null is no host", pattern: "https://*.a.test", origin: "null"},
		{name: "file", pattern: "file://", origin: "file://", match: true, text: true},
		{name: "no origin", pattern: "null", origin: ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, ok := httpsyntax.ParseOriginPattern(tt.pattern)
			if match, text := p.Match(tt.origin), p.MatchText(tt.origin); !ok || match != tt.match || text != tt.text {
				t.Errorf("pattern %q (ok %v) and origin %q: Match = %v, MatchText = %v; want %v, %v", tt.pattern, ok, tt.origin, match, text, tt.match, tt.text)
			}
		})
	}
}

func TestZeroOriginPatternMatchesNothing(t *testing.T) {
	for _, text := range []string{"*", "https://*", "https://a.*", "https://*.*.test", "a.test", "https://a.test/"} {
		p, ok := httpsyntax.ParseOriginPattern(text)
		if ok || p != (httpsyntax.OriginPattern{}) {
			t.Errorf("ParseOriginPattern(%q) = %+v, %v; want none", text, p, ok)
		}
		if p.Match("") || p.MatchText("") || p.Match("https://a.test") || p.MatchText("https://a.test") {
			t.Error("the zero pattern matches an origin")
		}
	}
}

// FuzzOriginPattern: an origin that can be read matches itself as a pattern, and whatever matches a
// pattern without '*' by its text matches it by its meaning too.
func FuzzOriginPattern(f *testing.F) {
	f.Add("https://*.a.test", "https://x.a.test")
	f.Add("HTTP://[::1]:80", "http://[::1]")
	f.Add("null", "file://")
	f.Add("https://a.test.", "https://a.test:443")
	f.Fuzz(func(t *testing.T, pattern, origin string) {
		if _, ok := httpsyntax.ParseOrigin(origin); ok {
			if p, ok := httpsyntax.ParseOriginPattern(origin); !ok || !p.Match(origin) {
				t.Errorf("origin %q does not match itself", origin)
			}
		}
		p, ok := httpsyntax.ParseOriginPattern(pattern)
		if _, known := httpsyntax.ParseOrigin(pattern); ok && known && p.MatchText(origin) && !p.Match(origin) {
			t.Errorf("origin %q matches %q by its text alone", origin, pattern)
		}
	})
}

func BenchmarkOriginPattern(b *testing.B) {
	p, _ := httpsyntax.ParseOriginPattern("https://*.example.com")
	for name, match := range map[string]func(string) bool{"Match": p.Match, "MatchText": p.MatchText} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				match("https://app.example.com")
			}
		})
	}
}
