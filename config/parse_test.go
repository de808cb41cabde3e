package config

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/config/units"
)

// parse parses text as the file f in /etc/sluice, with [testOptions].
// What it accepts has to pass the schema too.
func parse(text string) (*Config, error) {
	c, err := Parse("f", []byte(text), testOptions())
	if err == nil {
		if wrong := refusedBySchema(text); wrong != nil {
			return c, fmt.Errorf("the schema refuses what Parse accepts: %w", wrong)
		}
	}
	return c, err
}

// testOptions has an environment and files of the tests' own.
func testOptions() Options {
	env := map[string]string{"SECRET": "s3cr3t", "NAME": "app.example.com", "EMPTY": "", "PORT": "8080", "NO": "false", "YAML": "a: [b]", "BRACES": "{s}"}
	contents := map[string]string{
		"/etc/sluice/token": "abc\n", "/etc/sluice/crlf": "abc\r\n", "/etc/sluice/two": "abc\n\n", "/run/token": "t0ken",
		"/etc/sluice/bom": "\ufeffabc\r\n", "/etc/sluice/empty": "\ufeff\n", "/etc/sluice/utf16": "\xff\xfea\x00b\x00", "/etc/sluice/keys": "abcd\nefgh\n",
	}
	return Options{
		Dir: "/etc/sluice",
		Getenv: func(name string) (string, bool) {
			value, ok := env[name]
			return value, ok
		},
		Glob: func(string) ([]string, error) { return nil, nil },
		ReadFile: func(name string) ([]byte, error) {
			content, ok := contents[name]
			if !ok {
				return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
			}
			return []byte(content), nil
		},
	}
}

// listenerAt returns a listener with all defaults.
func listenerAt(line, column int, address string) Listener {
	return Listener{
		Pos: Pos{Line: line, Column: column}, Address: address, HTTP2: true, MaxStreams: 250,
		Timeouts: ListenerTimeouts{Header: 10 * time.Second, Idle: 2 * time.Minute}, MaxHeaderBytes: 64 << 10,
	}
}

const ok = "routes: [{ backend: 'a:1' }]\n" // goes in front of other sections

func TestParseFillsInDefaults(t *testing.T) {
	c, err := parse("state_dir: state\n" + ok)
	want := &Config{
		File:      "f",
		Listeners: []Listener{listenerAt(1, 1, ":80")},
		Backends: []Backend{{
			Pos: Pos{Line: 2, Column: 21}, Name: "a:1", ConnectTimeout: 5 * time.Second, KeepAlive: KeepAlive{Idle: 256, Timeout: time.Minute},
			Endpoints: []Endpoint{{Pos: Pos{Line: 2, Column: 21}, Text: "a:1", Weight: 1, Network: "tcp", Address: "a:1"}},
			Balance:   "least_connections", HashBy: "client", DrainTime: 30 * time.Second,
			Passive:   Passive{Failures: 5, Window: 10 * time.Second, Eject: 5 * time.Second, MaxEject: 5 * time.Minute},
			Retry:     Retry{Tries: 3, Timeout: 10 * time.Second, Budget: 0.2},
			Queue:     Queue{Timeout: 5 * time.Second},
			Rebalance: Rebalance{First: "oldest"},
			DNS:       DNS{MinTTL: 5 * time.Second, MaxTTL: time.Minute},
			TLS:       BackendTLS{MinVersion: "1.2"},

			WebSocketOver: "http/1.1",
		}},
		Routes: []Route{{
			Pos: Pos{Line: 2, Column: 10}, Paths: []string{"/*"}, Backend: "a:1",
			Timeouts: RouteTimeouts{Response: time.Minute, Idle: time.Hour}, MinBodyRate: 500,
			WebSocket: WebSocket{
				HandshakeTimeout: 10 * time.Second, Compression: "pass", CloseCodeBadGateway: 1014,
				PongTimeout: 20 * time.Second, StallTimeout: 10 * time.Minute, KeepAlive: 15 * time.Second, BufferSize: 64 << 10,
				Limits: SessionLimits{Client: Traffic{OnExcess: "delay"}, Backend: Traffic{OnExcess: "delay"}},
			},
		}},
		Log: Log{Level: "info", Format: "auto", Access: true, Redact: []string{
			"token", "access_token", "id_token", "key", "api_key", "apikey", "password", "secret", "code", "signature", "sig", "X-Amz-Signature",
		}},
		HTTP:     HTTP{Engine: "loops"},
		StateDir: "/etc/sluice/state",
		Shutdown: Shutdown{Timeout: 30 * time.Second},
	}
	c.positions, c.variables, c.sources = nil, nil, nil // TestPosition and TestSources are about them
	if err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("parse = %+v, %v; want %+v", c, err, want)
	}
}

// TestParse compares one value of each file with the value it should have.
func TestParse(t *testing.T) {
	first := func(c *Config) *Route { return &c.Routes[0] }
	https, http, bounded := listenerAt(2, 1, ":443"), listenerAt(2, 1, ":80"), listenerAt(2, 13, ":1")
	https.TLS, http.RedirectHTTPS = true, true
	bounded.Timeouts.Header, bounded.MaxHeaderBytes, bounded.MaxConnections, bounded.ConnectionsPerIP = time.Second, 8<<10, 9, 8
	bounded.RequestRate, bounded.RequestBurst = 10, 7
	compress := Compress{
		Types:   []string{"text/*", "application/json", "application/javascript", "application/xml", "application/wasm", "image/svg+xml", "*+json", "*+xml"},
		MinSize: 1 << 10, Encodings: []string{"zstd", "gzip"},
	}
	tests := []struct {
		name, text string
		pick       func(*Config) any
		want       any
	}{
		{"default listeners with tls", ok + "tls: { self_signed: [a] }", func(c *Config) any { return c.Listeners }, []Listener{https, http}},
		{"short listener", ok + "listeners: [':1']", func(c *Config) any { return c.Listeners }, []Listener{listenerAt(2, 13, ":1")}},
		{"limits of a listener", ok + "listeners: [{ address: ':1', timeouts: { header: 1s }, max_header_bytes: 8KiB, max_connections: 9, connections_per_ip: 8, request_rate: 600/m, request_burst: 7 }]",
			func(c *Config) any { return c.Listeners[0] }, bounded},
		{"burst of a rate", ok + "listeners: [{ address: ':1', request_rate: 100/s }, { address: ':2', request_rate: 90/m }, { address: ':3', request_rate: 1/h }, { address: ':4', request_rate: off }, { address: ':5', request_rate: 0 }]",
			func(c *Config) any {
				var bursts []int
				for _, l := range c.Listeners {
					bursts = append(bursts, l.RequestBurst)
				}
				return bursts
			}, []int{100, 2, 1, 0, 0}},
		{"trusted proxies", ok + "trusted_proxies: [10.0.0.0/8, '::1', 'fd00::/8', 192.0.2.1, 0.0.0.0/0, unix]\nlisteners: [{ address: ':1', proxy_protocol: true }]",
			func(c *Config) any { return fmt.Sprint(c.TrustedProxies, c.Listeners[0].ProxyProtocol) }, "[10.0.0.0/8 ::1/128 fd00::/8 192.0.2.1/32 0.0.0.0/0 unix] true"},
		{"limits of a route", "routes: [{ backend: 'a:1', timeouts: { response: 5m, idle: off }, min_body_rate: 60KiB/m, max_body_size: 1MiB }]",
			func(c *Config) any {
				return fmt.Sprint(first(c).Timeouts, first(c).MinBodyRate, first(c).MaxBodySize)
			}, "{5m0s 0s} 1024 1048576"},
		{"statuses of failures", ok + "backends: { a: { endpoints: ['a:1'] }, b: { endpoints: ['b:1'], passive: { statuses: off } }, c: { endpoints: ['c:1'], passive: { statuses: [500, 503] } } }",
			func(c *Config) any {
				return fmt.Sprintf("%#v %#v %#v", c.Backends[0].Passive.Statuses, c.Backends[1].Passive.Statuses, c.Backends[2].Passive.Statuses)
			}, "[]int(nil) []int{} []int{500, 503}"},
		{"limits switched off", "routes: [{ backend: 'a:1', min_body_rate: off, max_body_size: off, security: { hsts: off, frame_options: off } }, { path: /b, backend: 'a:1', min_body_rate: 0, max_body_size: 0, security: { hsts: 0s } }]",
			func(c *Config) any {
				a, b := first(c), &c.Routes[1]
				return fmt.Sprint(a.MinBodyRate, a.MaxBodySize, *a.Security, b.MinBodyRate, b.MaxBodySize, *b.Security)
			}, "0 0 {0s true } 0 0 {0s true same-origin}"},
		{"times of sessions", "max_sessions: 7\nroutes: [{ backend: 'a:1', websocket: { idle_timeout: 10m, max_lifetime: 1d, ping_interval: 30s, pong_timeout: 1ms, stall_timeout: 2m, keepalive: off, user_timeout: 90s, buffer_size: 4KiB } }]",
			func(c *Config) any {
				w := first(c).WebSocket
				return []any{c.MaxSessions, w.IdleTimeout, w.MaxLifetime, w.PingInterval, w.PongTimeout, w.StallTimeout, w.KeepAlive, w.UserTimeout, w.BufferSize}
			}, []any{7, 10 * time.Minute, 24 * time.Hour, 30 * time.Second, time.Millisecond, 2 * time.Minute, time.Duration(0), 90 * time.Second, units.Size(4 << 10)}},
		{"limits of sessions", "routes: [{ backend: 'a:1', websocket: { limits: { sessions: 9, sessions_per_ip: 2, handshake_rate: 90/m, frame_size: 64KiB, message_size: 1MiB, message_rate: 50/s, message_burst: 7, byte_rate: 1KiB/s, byte_burst: 2KiB, on_excess: close, " +
			"backend: { message_size: 16MiB, message_rate: 1/h, byte_rate: 1B/m } } } }]",
			func(c *Config) any { return first(c).WebSocket.Limits }, SessionLimits{
				Sessions: 9, SessionsPerIP: 2, HandshakeRate: 1.5, HandshakeBurst: 2,
				Client:  Traffic{FrameSize: 64 << 10, MessageSize: 1 << 20, MessageRate: 50, MessageBurst: 7, ByteRate: 1 << 10, ByteBurst: 2 << 10, OnExcess: "close"},
				Backend: Traffic{MessageSize: 16 << 20, MessageRate: 1.0 / 3600, MessageBurst: 1, ByteRate: 1.0 / 60, ByteBurst: 1, OnExcess: "delay"},
			}},
		{"limits of sessions switched off", "routes: [{ backend: 'a:1', websocket: { idle_timeout: off, max_lifetime: 0s, stall_timeout: off, limits: { handshake_rate: 0, frame_size: off, byte_rate: off, backend: { message_size: 0 } } } }]",
			func(c *Config) any {
				w := first(c).WebSocket
				return fmt.Sprint(w.IdleTimeout, w.MaxLifetime, w.StallTimeout, w.Limits)
			}, "0s 0s 0s {0 0 0 0 {0 0 0 0 0 0 delay} {0 0 0 0 0 0 delay}}"},
		{"error pages", "routes: [{ backend: 'a:1', error_pages: { 404: a.html, 5xx: /b.html } }]",
			func(c *Config) any { return first(c).ErrorPages }, map[string]string{"404": "/etc/sluice/a.html", "5xx": "/b.html"}},
		{"switched on", "routes: [{ backend: 'a:1', compress: true, security: true }]",
			func(c *Config) any { return []any{*first(c).Compress, *first(c).Security} }, []any{compress, Security{HSTS: 365 * 24 * time.Hour, NoSniff: true, FrameOptions: "same-origin"}}},
		{"switched on by an empty mapping", "routes: [{ backend: 'a:1', compress: {} }]", func(c *Config) any { return *first(c).Compress }, compress},
		{"switched on by a variable", "routes: [{ backend: 'a:1', compress: '${NOPE:-true}', security: '${NO}' }]",
			func(c *Config) any { return []any{first(c).Compress != nil, first(c).Security != nil} }, []any{true, false}},
		{"switched off", "routes: [{ backend: 'a:1', compress: false, security: false }]",
			func(c *Config) any { return []any{first(c).Compress, first(c).Security} }, []any{(*Compress)(nil), (*Security)(nil)}},
		{"compression", "routes: [{ backend: 'a:1', compress: { types: [TEXT/*, '*+Json', a/b], min_size: 0, encodings: [gzip] } }]",
			func(c *Config) any { return *first(c).Compress }, Compress{Types: []string{"text/*", "*+json", "a/b"}, Encodings: []string{"gzip"}}},
		{"cache control", "routes: [{ redirect: /a, path: /, cache_control: 'public , max-age=60,no-cache=\"a, b\"' }]",
			func(c *Config) any { return first(c).CacheControl }, `public , max-age=60,no-cache="a, b"`},
		{"short cors", "routes: [{ respond: 200, cors: '*' }]", func(c *Config) any { return *first(c).CORS }, CORS{Origins: []string{"*"}}},
		{"cors", "routes: [{ respond: 200, cors: { origins: ['HTTPS://A:443', 'https://*.b'], methods: [PUT], headers: [X-A], expose: [X-B], credentials: true, max_age: 1h } }]",
			func(c *Config) any { return *first(c).CORS },
			CORS{Origins: []string{"https://a", "https://*.b"}, Methods: []string{"PUT"}, Headers: []string{"X-A"}, Expose: []string{"X-B"}, Credentials: true, MaxAge: time.Hour}},
		{"any header without credentials", "routes: [{ respond: 200, cors: { origins: ['null', 'https://a'], headers: ['*'], methods: ['*'] } }]",
			func(c *Config) any { return first(c).CORS.Headers }, []string{"*"}},
		{"port 0 twice", ok + "listeners: ['a:0', 'a:0']", func(c *Config) any { return len(c.Listeners) }, 2},
		{"backends in order", "backends: { z: { endpoints: ['a:1'] }, a: { endpoints: ['a:1'] } }\nroutes: [{ backend: a }]",
			func(c *Config) any { return c.Backends[0].Name + c.Backends[1].Name }, "za"},
		{"one backend for an address used twice", "routes: [{ path: /a, backend: 'a:1' }, { path: /b, backend: 'a:1' }, { path: /c, backend: 'b:1' }]",
			func(c *Config) any { return len(c.Backends) }, 2},
		{"tap", "routes: [{ backend: 'a:1', tap: { payload: true, max: 1KiB, no_context_takeover: true } }]", func(c *Config) any { return *first(c).Tap }, Tap{Payload: true, Max: 1024, NoContextTakeover: true}},
		{"short tap", "routes: [{ backend: 'a:1', tap: '${SHOWN:-payload}' }]", func(c *Config) any { return *first(c).Tap }, Tap{Payload: true, Max: 256}},
		{"tap without payloads", "routes: [{ backend: 'a:1', tap: {} }]", func(c *Config) any { return *first(c).Tap }, Tap{Max: 256}},
		{"short respond", "routes: [{ respond: 404 }]", func(c *Config) any { return *first(c).Respond }, Respond{Status: 404, ContentType: "text/plain; charset=utf-8"}},
		{"a port", ok + "listeners: 8080", func(c *Config) any { return c.Listeners }, []Listener{listenerAt(2, 12, ":8080")}},
		{"ports", ok + "listeners: [80, '8080']", func(c *Config) any { return c.Listeners[0].Address + c.Listeners[1].Address }, ":80:8080"},
		{"one listener in place of a list", ok + "listeners: { address: ':1', max_connections: 7 }", func(c *Config) any { return c.Listeners[0].MaxConnections }, 7},
		{"one host and one path", "routes: [{ host: a, path: /a/*, respond: 200 }]", func(c *Config) any { return fmt.Sprint(first(c).Hosts, first(c).Paths) }, "[a] [/a/*]"},
		{"several hosts and paths", "routes: [{ host: [B., '*.a'], path: [/a/*, '/{x}', '/*.php'], respond: 200 }]", func(c *Config) any { return fmt.Sprint(first(c).Hosts, first(c).Paths) }, "[b *.a] [/a/* /{x} /*.php]"},
		{"addresses in place of a backend", ok + "backends: { a: ['a:1', { address: 'b:1', weight: 2 }], b: 'c:1', c: { endpoints: 'd:1' } }", func(c *Config) any {
			var all []string
			for _, b := range c.Backends {
				for _, e := range b.Endpoints {
					all = append(all, fmt.Sprintf("%s %s %d", b.Name, e.Address, e.Weight))
				}
			}
			return all[:4]
		}, []string{"a a:1 1", "a b:1 2", "b c:1 1", "c d:1 1"}},
		{"names that are not logged, besides those that never are", ok + "log: { redact: [session, TOKEN] }", func(c *Config) any { return fmt.Sprint(c.Log.Redact[:4], len(c.Log.Redact)) }, "[session TOKEN access_token id_token] 13"},
		{"no name that is not logged", ok + "log: { redact: off }", func(c *Config) any { return fmt.Sprintf("%#v", c.Log.Redact) }, "[]string{}"},
		{"segments of the path in headers", "routes: [{ path: ['/{id}/a', '/b/{id}/*'], backend: 'a:1', request: { set_headers: { A: '{path.id}' } } }]", func(c *Config) any { return first(c).Request.Set["A"] }, "{path.id}"},
		{"short redirect", "routes: [{ redirect: /x* }]", func(c *Config) any { return *first(c).Redirect }, Redirect{To: "/x*", Status: 308}},
		{"short files", "routes: [{ files: www }]", func(c *Config) any { return *first(c).Files }, Files{Root: "/etc/sluice/www", Index: "index.html"}},
		{"absolute root", "routes: [{ files: /www }]", func(c *Config) any { return first(c).Files.Root }, "/www"},
		{"certificate files", ok + "tls: { certificates: [{ cert: a.pem, key: /k.pem }] }",
			func(c *Config) any { return c.TLS.Certificates }, []Certificate{{Cert: "/etc/sluice/a.pem", Key: "/k.pem"}}},
		{"acme", "state_dir: /s\n" + ok + "tls: { acme: true }", func(c *Config) any { return *c.TLS.ACME },
			ACME{Directory: "https://acme-v02.api.letsencrypt.org/directory", Cache: "/s/acme"}},
		{"acme files", ok + "tls: { acme: { root_ca: r.pem, cache: c, hosts: [A.B] } }", func(c *Config) any { return *c.TLS.ACME },
			ACME{Directory: "https://acme-v02.api.letsencrypt.org/directory", RootCA: "/etc/sluice/r.pem", Cache: "/etc/sluice/c", Hosts: []string{"a.b"}}},
		{"acme key", ok + "tls: { acme: { eab: { key_id: k, hmac_key: '_-8=' } } }", func(c *Config) any { return c.TLS.ACME.EAB.Key }, []byte{0xff, 0xef}},
		{"acme key file", ok + "tls: { acme: { eab: { key_id: k, hmac_key_file: token } } }", func(c *Config) any { return string(c.TLS.ACME.EAB.Key) }, "\x69\xb7"},
		{"acme key file with a byte order mark", ok + "tls: { acme: { eab: { key_id: k, hmac_key_file: bom } } }", func(c *Config) any { return string(c.TLS.ACME.EAB.Key) }, "\x69\xb7"},
		{"client certificates", ok + "tls: { self_signed: [a], client_auth: { ca: c.pem, crl: /r } }", func(c *Config) any { return *c.TLS.ClientAuth },
			ClientAuth{Mode: "require", CA: "/etc/sluice/c.pem", CRL: "/r"}},
		{"short tracing", ok + "tracing: http://127.0.0.1:4318", func(c *Config) any { return *c.Tracing },
			Tracing{Endpoint: "http://127.0.0.1:4318/v1/traces", Sample: 1, Service: "sluice"}},
		{"tracing", ok + "tracing: { endpoint: 'https://[::1]:4318/otlp/', sample: 0.5%, headers: { X-Token: '${NAME}' }, service: edge, ca: c.pem }", func(c *Config) any { return *c.Tracing },
			Tracing{Endpoint: "https://[::1]:4318/otlp/", Sample: 0.005, Headers: map[string]string{"X-Token": "app.example.com"}, Service: "edge", CA: "/etc/sluice/c.pem"}},
		{"tracing of nothing", ok + "tracing: { endpoint: 'http://a/', sample: 0% }", func(c *Config) any { return *c.Tracing },
			Tracing{Endpoint: "http://a/v1/traces", Service: "sluice"}},
		{"number as text", ok + "tls: { self_signed: [a], min_version: 1.3 }", func(c *Config) any { return c.TLS.MinVersion }, "1.3"},
		{"host in capitals with a dot", "routes: [{ host: WWW.Example.COM., respond: 200 }]", func(c *Config) any { return first(c).Hosts }, []string{"www.example.com"}},
		{"IPv6 host", "routes: [{ host: '[0:0::1]', respond: 200 }]", func(c *Config) any { return first(c).Hosts }, []string{"::1"}},
		{"origins in one spelling", "routes: [{ backend: 'a:1', websocket: { origins: [same-origin, 'null', 'HTTPS://*.A.b:443', 'http://[::1]:81', 'chrome-extension://abc', 'File://'] } }]",
			func(c *Config) any { return first(c).WebSocket.Origins },
			[]string{"same-origin", "null", "https://*.a.b", "http://[::1]:81", "chrome-extension://abc", "file://"}},
		{"days", ok + "shutdown_timeout: 0d1h", func(c *Config) any { return c.Shutdown.Timeout }, time.Hour},
		{"a stop in steps", ok + "shutdown: { timeout: 1m, spread: 1m, delay: 5s }", func(c *Config) any { return c.Shutdown }, Shutdown{time.Minute, time.Minute, 5 * time.Second}},
		{"a stop in short", ok + "shutdown: 10s", func(c *Config) any { return c.Shutdown }, Shutdown{Timeout: 10 * time.Second}},
		{"at once", ok + "shutdown_timeout: 0s", func(c *Config) any { return c.Shutdown.Timeout }, time.Duration(0)},
		{"variables", "routes: [{ host: '${NAME}', backend: 'a:${PORT}' }]\nlog: { access: '${NO}' }",
			func(c *Config) any {
				return fmt.Sprint(first(c).Hosts[0], c.Backends[0].Endpoints[0].Address, c.Log.Access)
			}, "app.example.coma:8080false"},
		{"a variable is no YAML", "routes: [{ respond: { body: '${YAML}' } }]", func(c *Config) any { return first(c).Respond.Body }, "a: [b]"},
		{"default of a variable", "routes: [{ respond: { body: '${NOPE:-x}${EMPTY:-y}${EMPTY}${NAME:-z}' } }]",
			func(c *Config) any { return first(c).Respond.Body }, "xyapp.example.com"},
		{"escaped variable", "routes: [{ respond: { body: '$${NAME} $ $$ $${' } }]", func(c *Config) any { return first(c).Respond.Body }, "${NAME} $ $$ ${"},
		{"headers from files", "routes: [{ backend: 'a:1', request: { set_headers: { A: b }, set_headers_file: { B: token, C: crlf, D: /run/token, E: bom } } }]",
			func(c *Config) any { return first(c).Request.Set }, map[string]string{"A": "b", "B": "abc", "C": "abc", "D": "t0ken", "E": "abc"}},
		{"short forms of backends", ok + "backends: { b: { endpoints: [{ address: 'a:1', max_sessions: off }], sticky: true, health: http, passive: off, retry: 1, queue: 7 } }",
			func(c *Config) any {
				b := c.Backends[0]
				return fmt.Sprint(b.Endpoints[0].MaxSessions, b.Sticky.Cookie, b.Health.Check, b.Passive.Failures, b.Retry.Tries, b.Queue.Length)
			}, "0sluice_bhttp0 1 7"},
		{"addresses in one spelling", ok + "listeners: ['unix:/a/./../b', '[::]:1', 'LOCALHOST:2', '[::]:0']", func(c *Config) any {
			var all []string
			for _, l := range c.Listeners {
				all = append(all, l.Address)
			}
			return strings.Join(all, " ")
		}, "unix:/b :1 localhost:2 :0"},
		{"mode of a socket", ok + "listeners: [{ address: 'unix:/a', mode: '0660' }, { address: 'unix:/b', mode: \"600\" }, 'unix:/c']", func(c *Config) any {
			return fmt.Sprintf("%o %o %o", c.Listeners[0].Mode, c.Listeners[1].Mode, c.Listeners[2].Mode)
		}, "660 600 0"},
		{"shares", ok + "backends: { b: { endpoints: ['a:1'], rebalance: 50%/h, retry: { budget: 5% } } }",
			func(c *Config) any {
				return fmt.Sprintf("%.5f %.2f", c.Backends[0].Rebalance.Rate, c.Backends[0].Retry.Budget)
			}, "0.00833 0.05"},
		{"connections that are kept", ok + "backends: { a: { endpoints: ['a:1'] }, b: { endpoints: ['a:1'], keepalive: { idle: off, timeout: 5s, requests: 100 } }, c: { endpoints: ['a:1'], keepalive: { idle: 0, requests: off } } }",
			func(c *Config) any {
				return fmt.Sprint(c.Backends[0].KeepAlive, c.Backends[1].KeepAlive, c.Backends[2].KeepAlive)
			}, "{256 1m0s 0} {0 5s 100} {0 1m0s 0}"},
		{"split", "routes: [{ split: [{ backend: 'a:1', weight: 1 }, { backend: 'b:1', weight: 0 }] }]",
			func(c *Config) any { return fmt.Sprint(len(c.Backends), first(c).Split[1].Backend) }, "2b:1"},
		{"alias", "routes: [{ path: /a, respond: &r { status: 404 } }, { path: /b, respond: *r }]", func(c *Config) any { return c.Routes[1].Respond.Status }, 404},
		{"host of requests", "routes: [{ backend: 'a:1', request: { set_headers: { host: b } } }]", func(c *Config) any { return first(c).Request.Set["host"] }, "b"},
		{"byte order mark", "\ufeff" + ok, func(c *Config) any { return len(c.Routes) }, 1},
		{"same path, other conditions", "routes: [{ respond: 200 }, { methods: [GET], respond: 200 }, { headers: { A: a }, respond: 200 }, { headers: { A: A }, respond: 200 }, { query: { A: a }, respond: 200 }]",
			func(c *Config) any { return c.Routes[4].Index }, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := parse(tt.text)
			if err != nil {
				t.Fatalf("parse(%q) = %v; want no problem", tt.text, err)
			}
			if got := tt.pick(c); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("parse(%q) has %+v; want %+v", tt.text, got, tt.want)
			}
		})
	}
}

func TestEndpoints(t *testing.T) {
	tests := []struct {
		text             string
		network, address string
		tls, h2c         bool
		wrong            string // part of what is wrong
	}{
		{text: "a:80", network: "tcp", address: "a:80"},
		{text: "[::1]:8080", network: "tcp", address: "[::1]:8080"},
		{text: "unix:/a/../b", network: "unix", address: "/b"},
		{text: "http://a", network: "tcp", address: "a:80"},
		{text: "ws://A:81", network: "tcp", address: "a:81"},
		{text: "https://[::1]", network: "tcp", address: "[::1]:443", tls: true},
		{text: "WSS://a", network: "tcp", address: "a:443", tls: true},
		{text: "h2c://a", network: "tcp", address: "a:80", h2c: true},
		{text: "H2C://[::1]:81", network: "tcp", address: "[::1]:81", h2c: true},
		{text: "srv://_ws._tcp.A", network: "srv", address: "_ws._tcp.a"},
		{text: "SRV+WSS://_ws._tcp.a", network: "srv", address: "_ws._tcp.a", tls: true},
		{text: "srv+h2c://a", network: "srv", address: "a", h2c: true},
		{text: "srv://a:1", wrong: "has a port"},
		{text: "srv://[::1]", wrong: "IP address"},
		{text: "srv://", wrong: "empty label"},
		{text: "srv+ftp://a", wrong: "srv+ one of them"},
		{text: "a", wrong: "has no port"},
		{text: "80", wrong: "only a port"},
		{text: ":80", wrong: "has no host"},
		{text: "a:0", wrong: "has port 0"},
		{text: "a:65536", wrong: "from 0 to 65535"},
		{text: "a:http", wrong: "from 0 to 65535"},
		{text: "a:080", wrong: "from 0 to 65535"},
		{text: "::1", wrong: "needs brackets"},
		{text: "a b:80", wrong: "no host name has"},
		{text: "a..b:80", wrong: "empty label"},
		{text: "-a:80", wrong: "'-'"},
		{text: "é:80", wrong: "punycode"},
		{text: strings.Repeat("a", 64) + ":80", wrong: "more than 63"},
		{text: "unix:a", wrong: "absolute"},
		{text: "unix:/" + strings.Repeat("a", 107), wrong: "107 bytes"},
		{text: "ftp://a", wrong: "http, https, h2c, ws, wss"},
		{text: "http://", wrong: "has no host"},
		{text: "http://a:", wrong: "without a port"},
		{text: "http://a/", wrong: "'rewrite'"},
		{text: "http://a?b", wrong: "'rewrite'"},
		{text: "http://a#", wrong: "'rewrite'"},
		{text: "http://u:p@a", wrong: "Authorization"},
		{text: "http://a b", wrong: "not a URL"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			e := Endpoint{Text: tt.text}
			wrong := e.parse()
			if tt.wrong != "" || wrong != "" {
				if tt.wrong == "" || !strings.Contains(wrong, tt.wrong) {
					t.Errorf("parse of %q is wrong with %q; want %q", tt.text, wrong, tt.wrong)
				}
				return
			}
			if want := (Endpoint{Text: tt.text, Network: tt.network, Address: tt.address, TLS: tt.tls, H2C: tt.h2c}); e != want {
				t.Errorf("parse of %q = %+v; want %+v", tt.text, e, want)
			}
		})
	}
}
