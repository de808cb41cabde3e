package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sluice/config/spelling"
)

// seeds are configurations, with mistakes and without, of which each has something that is rare.
func seeds() []string {
	return []string{
		"", "---\n---\n", "routes: &a [*a]", "routes: [&r { path: /, respond: 200 }, *r]", "? [a]\n: b", "a: !!binary AA==",
		"routes: [{ backend: 'http://[::1]:${SECRET}/' }]", "listeners: [unix:/a, ':0', '[::]:80']\nroutes: [{ backend: 'a:1', websocket: { origins: ['https://[::1]:1'] } }]",
		"routes: [{ host: '*.A.', path: /%61/*, methods: [GET], strip_prefix: /%61, files: a }]", "tls: { self_signed: ['é', '::1'] }", "log: { <<: {} }",
		"trusted_proxies: [10.0.0.0/8, '::1', '::ffff:1.2.3.4/100']\nlisteners: [{ address: ':1', proxy_protocol: true, request_rate: 90/m, request_burst: 3, max_header_bytes: 4KiB, max_streams: 0 }]",
		"routes: [{ backend: 'h2c://a', compress: { types: ['*+A', TEXT/*], min_size: 0 }, security: true, min_body_rate: off, max_body_size: 1TiB, error_pages: { 404: a } }]",
		"max_sessions: 1\nroutes: [{ backend: 'a:1', websocket: { idle_timeout: 1d, keepalive: off, limits: { message_rate: 1/h, byte_rate: 1TiB/s, byte_burst: 1B, on_excess: close, backend: { on_excess: '${X}' } } } }]",
		"routes: [{ respond: 200, cors: '*', compress: '${X}', security: { hsts: 0s }, cache_control: 'a=\"b\"' }, { path: /, files: a, cors: { origins: ['HTTPS://A', 'null'], credentials: true } }]",
		"backends: { a: { endpoints: [{ address: 'srv+wss://_a._b', weight: 2 }], balance: hash, hash_by: 'cookie:c', health: { check: http, status: [204] }, passive: off, retry: 1, dns: { server: '[::1]:53' } } }\nroutes: [{ split: [{ backend: a, weight: 1 }], mirror: 'b:1' }]",
		"include: [a, '*']\nlisteners: 8080\nroutes: [{ host: [a, '*.B'], path: [/a/*, '/{x}', /*.php], respond: 200 }]",
		"backends: { a: ['a:1', { address: 'b:1' }], b: 'c:1' }\nlog: { redact: off }\nroutes: [{ backend: [a] }, { backend: b, location: / }]",
		"routes: [{ backend: 'a:1', request: { set_headers: { A: '{route} {{x}} {\"y\": 1}' } } }]", "backends: { a: { endpoints: ['a:1'], rebalance: 5%/min, queue: 9, sticky: '${X}' } }\nroutes: [{ backend: a }]",
	}
}

// FuzzParse: whatever the text is, each problem has the name of the file, a position in it and a
// message without the values of variables; parsing the text again gives the same, and so does parsing
// it laid out; and what has no problem passes the schema.
func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	for _, seed := range seeds() {
		f.Add(seed)
	}
	const secret = "s3cr3t-Xy.Z"
	options := Options{
		Dir:      "/d",
		Getenv:   func(string) (string, bool) { return secret, true },
		ReadFile: func(string) ([]byte, error) { return []byte(secret + "\r\n" + secret), nil },
		Glob:     func(string) ([]string, error) { return nil, nil },
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("file", []byte(text), options)
		again, errAgain := Parse("file", []byte(text), options)
		if fmt.Sprint(err) != fmt.Sprint(errAgain) || !reflect.DeepEqual(c, again) {
			t.Fatalf("Parse(%q) = %+v, %v and then %+v, %v", text, c, err, again, errAgain)
		}
		checkLayout(t, text)
		if err == nil {
			checkSpelling(t, c)
			if wrong := refusedBySchema(text); wrong != nil {
				t.Errorf("the schema refuses what Parse accepts, %q: %v", text, wrong)
			}
			return
		}
		lines := linesOf(text)
		for i, p := range err.(Problems) {
			if filepath.IsAbs(p.File) {
				continue // of an included file: FuzzInclude is about those
			}
			if p.File != "file" || p.Pos.Line < 1 || p.Pos.Line > lines || p.Pos.Column < 1 || p.Message == "" {
				t.Errorf("problem %d of %q has no position in its %d lines: %v", i, text, lines, p)
			}
			if message := strings.ToLower(p.Error()); strings.Contains(message, strings.ToLower(secret)) && !strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
				t.Errorf("problem %d of %q tells a secret: %v", i, text, p)
			}
		}
	})
}

// linesOf returns how many lines a text has as the parser counts them, or more.
func linesOf(text string) int {
	return strings.Count(strings.ReplaceAll(text, "\r", "\n"), "\n") + strings.Count(text, "\u0085") + strings.Count(text, "\u2028") + strings.Count(text, "\u2029") +
		2 // the last one needs no break, and the end is on a line of its own
}

// checkSpelling checks that names in one spelling stay in it.
func checkSpelling(t *testing.T, c *Config) {
	t.Helper()
	for _, r := range c.Routes {
		for _, host := range r.Hosts {
			if again, wrong := spelling.Host(host); again != host || wrong != "" {
				t.Errorf("host %q becomes %q (%s)", host, again, wrong)
			}
		}
		origins := r.WebSocket.Origins
		if r.CORS != nil {
			origins = append(slices.Clip(origins), r.CORS.Origins...)
		}
		for _, origin := range origins {
			if origin == "*" {
				continue
			}
			if again, wrong := spelling.Origin(origin); again != origin || wrong != "" {
				t.Errorf("origin %q becomes %q (%s)", origin, again, wrong)
			}
		}
	}
	for _, proxy := range c.TrustedProxies {
		if again, wrong := parseProxy(proxy.String()); again != proxy || wrong != "" {
			t.Errorf("proxy %v becomes %v (%s)", proxy, again, wrong)
		}
	}
	for _, b := range c.Backends {
		for _, e := range b.Endpoints {
			text := e.Address
			if e.Network == "unix" {
				text = "unix:" + text
			}
			if e.Network == "srv" {
				text = "srv://" + text
			}
			again := Endpoint{Text: text}
			if wrong := again.parse(); again.Address != e.Address || again.Network != e.Network || wrong != "" {
				t.Errorf("endpoint %+v becomes %+v (%s)", e, again, wrong)
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, routes := range []int{10, 10_000} {
		var text strings.Builder
		text.WriteString("backends: { chat: { endpoints: ['10.0.0.1:80', '10.0.0.2:80'] } }\nroutes:\n")
		for i := range routes {
			fmt.Fprintf(&text, "  - host: h%d.example.com\n    path: /ws/*\n    backend: chat\n    websocket: { origins: [same-origin] }\n", i)
		}
		b.Run(fmt.Sprintf("routes=%d", routes), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(text.Len()))
			for b.Loop() {
				if _, err := Parse("file", []byte(text.String()), Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
