package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/config/schema"
)

// complete is Complete with the environment, files and directory of parse.
func complete(c *Config, zero ...string) error { return Complete(c, testOptions(), zero...) }

// withoutPositions returns c as it would be if it were from no file: without positions.
func withoutPositions(t *testing.T, c *Config) *Config {
	t.Helper()
	c.File, c.positions, c.variables, c.sources = "", nil, nil, nil
	var clear func(v reflect.Value)
	clear = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				clear(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				clear(v.Index(i))
			}
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[Pos]() {
				v.SetZero()
				return
			}
			for i := range v.NumField() {
				if v.Type().Field(i).IsExported() && v.Type() != reflect.TypeFor[netip.Prefix]() {
					clear(v.Field(i))
				}
			}
		}
	}
	clear(reflect.ValueOf(c).Elem())
	return c
}

// whole is a configuration in YAML that has every section, each with nothing but what it requires,
// and wholeConfig the same made in Go.
const whole = `
state_dir: /s
tls: { acme: { eab: { key_id: k, hmac_key: abcd } }, certificates: [{ cert: c.pem, key: k.pem }], client_auth: { ca: ca.pem } }
listeners: [{ address: 'LOCALHOST:1' }, { address: ':2', tls: true }, { address: 'unix:/a', mode: '0660' }]
trusted_proxies: [10.0.0.0/8, unix]
tracing: http://c
backends:
  a: { endpoints: ['https://A', { address: 'b:1', backup: true }], sticky: {}, health: { check: http } }
  b: { endpoints: [{ address: 'unix:/a/../b' }], passive: { statuses: off } }
routes:
  - { host: 'A.Test.', backend: a, mirror: b, compress: {}, security: true, cors: 'https://A:443', tap: payload, request: { set_headers: { A: '{route}' }, set_headers_file: { B: token } } }
  - { path: /split, split: [{ backend: b, weight: 0 }, { backend: 'c:1', weight: 1 }] }
  - { path: /old, redirect: /new }
  - { path: /text, respond: {} }
  - { path: /www/*, files: www, error_pages: { 404: a.html } }
`

func wholeConfig() *Config {
	return &Config{
		StateDir: "/s",
		TLS: &TLS{
			ACME:         &ACME{EAB: &EAB{KeyID: "k", HMACKey: "abcd"}},
			Certificates: []Certificate{{Cert: "c.pem", Key: "k.pem"}},
			ClientAuth:   &ClientAuth{CA: "ca.pem"},
		},
		Listeners:      []Listener{{Address: "LOCALHOST:1"}, {Address: ":2", TLS: true}, {Address: "unix:/a", Mode: 0o660}},
		TrustedProxies: []Proxy{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Unix: true}},
		Tracing:        &Tracing{Endpoint: "http://c"},
		Backends: []Backend{
			{Name: "a", Endpoints: []Endpoint{{Text: "https://A"}, {Text: "b:1", Backup: true}}, Sticky: &Sticky{}, Health: &Health{Check: "http"}},
			{Name: "b", Endpoints: []Endpoint{{Text: "unix:/a/../b"}}, Passive: Passive{Statuses: []int{}}},
		},
		Routes: []Route{
			{Hosts: []string{"A.Test."}, Backend: "a", Mirror: &Mirror{Backend: "b"}, Compress: &Compress{}, Security: &Security{}, CORS: &CORS{Origins: []string{"https://A:443"}}, Tap: &Tap{Payload: true},
				Request: Headers{Set: map[string]string{"A": "{route}"}, SetFile: map[string]string{"B": "token"}}},
			{Paths: []string{"/split"}, Split: []Split{{Backend: "b"}, {Backend: "c:1", Weight: 1}}},
			{Paths: []string{"/old"}, Redirect: &Redirect{To: "/new"}},
			{Paths: []string{"/text"}, Respond: &Respond{}},
			{Paths: []string{"/www/*"}, Files: &Files{Root: "www"}, ErrorPages: map[string]string{"404": "a.html"}},
		},
	}
}

func TestCompleteEqualsParse(t *testing.T) {
	tests := []struct {
		name, text string
		config     *Config
		zero       []string
	}{
		{name: "least", text: "routes: [{ backend: 'a:1' }]", config: &Config{Routes: []Route{{Backend: "a:1"}}}},
		{name: "default listeners with TLS", text: "tls: { self_signed: [A] }\nroutes: [{ respond: 204 }]",
			config: &Config{TLS: &TLS{SelfSigned: []string{"A"}}, Routes: []Route{{Respond: &Respond{Status: 204}}}}},
		{name: "every section", text: whole, config: wholeConfig()},
		{name: "values that are not the defaults",
			text: "listeners: [{ address: ':1', max_header_bytes: 8KiB, timeouts: { idle: 1m }, request_rate: 90/m }]\n" +
				"routes: [{ backend: 'a:1', methods: [GET], max_body_size: 1MiB, websocket: { origins: [same-origin, 'HTTPS://*.A'], limits: { message_rate: 5/s, backend: { byte_rate: 1KiB/s } } } }]\nlog: { level: warn, redact: [a] }",
			config: &Config{
				Listeners: []Listener{{Address: ":1", MaxHeaderBytes: 8 << 10, Timeouts: ListenerTimeouts{Idle: time.Minute}, RequestRate: 1.5}},
				Routes: []Route{{Backend: "a:1", Methods: []string{"GET"}, MaxBodySize: 1 << 20, WebSocket: WebSocket{
					Origins: []string{"same-origin", "HTTPS://*.A"}, Limits: SessionLimits{Client: Traffic{MessageRate: 5}, Backend: Traffic{ByteRate: 1 << 10}},
				}}},
				Log: Log{Level: "warn", Redact: []string{"a"}},
			}},
		{name: "zero in place of a default",
			text: "log: { access: false }\nshutdown_timeout: 0s\nbackends: { b: { endpoints: ['b:1'], drain_time: 0s, passive: off } }\nlisteners: [{ address: ':1' }]\n" +
				"routes: [{ backend: b, timeouts: { idle: off }, min_body_rate: off, compress: { min_size: 0 }, security: { nosniff: false, hsts: off, frame_options: off }, websocket: { keepalive: off } }]",
			config: &Config{
				Backends: []Backend{{Name: "b", Endpoints: []Endpoint{{Text: "b:1"}}}}, Listeners: []Listener{{Address: ":1"}},
				Routes: []Route{{Backend: "b", Compress: &Compress{}, Security: &Security{}}},
			},
			zero: []string{"log.access", "shutdown_timeout", "backends.b.drain_time", "backends.b.passive.failures", "routes[0].timeouts.idle", "routes[0].min_body_rate",
				"routes[0].compress.min_size", "routes[0].security.nosniff", "routes[0].security.hsts", "routes[0].security.frame_options", "routes[0].websocket.keepalive"}},
		{name: "empty lists and mappings are absent", text: "routes: [{ respond: 200 }]",
			config: &Config{Routes: []Route{{Respond: &Respond{}, Methods: []string{}, Headers: map[string]string{}}}, Backends: []Backend{}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want, err := parse(tt.text)
			if err != nil {
				t.Fatalf("parse(%q) = %v; want no problem", tt.text, err)
			}
			if err := complete(tt.config, tt.zero...); err != nil {
				t.Fatalf("Complete = %v; want no problem", err)
			}
			tt.config.sources = nil // withoutPositions drops them too
			if want = withoutPositions(t, want); !reflect.DeepEqual(tt.config, want) {
				t.Errorf("Complete makes\n%+v; want\n%+v", tt.config, want)
			}
		})
	}
}

// Every key that has a default has it somewhere in wholeConfig, once that is completed.
func TestCompleteSetsEveryDefault(t *testing.T) {
	c := wholeConfig()
	if err := complete(c); err != nil {
		t.Fatal(err)
	}
	set := map[string]bool{} // by type and key
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch {
		case v.Kind() == reflect.Pointer && !v.IsNil():
			walk(v.Elem())
		case v.Kind() == reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case v.Kind() == reflect.Struct:
			for _, f := range schema.Fields(v.Type()) {
				field := v.FieldByIndex(f.Index)
				walk(field)
				if f.Default == "" {
					continue
				}
				want := reflect.New(field.Type()).Elem()
				f.Set(want, f.Default)
				if reflect.DeepEqual(field.Interface(), want.Interface()) {
					set[v.Type().Name()+"."+f.Key] = true
				}
			}
		}
	}
	walk(reflect.ValueOf(c).Elem())
	set["Health.check"] = true // wholeConfig has another, or it would have none of the other keys
	structsOf(reflect.TypeFor[Config](), func(s reflect.Type) {
		for _, f := range schema.Fields(s) {
			if name := s.Name() + "." + f.Key; f.Default != "" && !set[name] {
				t.Errorf("no %s has its default, %s", name, f.Default)
			}
		}
	})
}

// structsOf calls each with the struct type t and those of the sections in it.
func structsOf(t reflect.Type, each func(t reflect.Type)) {
	each(t)
	for _, f := range schema.Fields(t) {
		inner := t.FieldByIndex(f.Index).Type
		for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			structsOf(inner, each)
		}
	}
}

func TestCompleteFindsMistakes(t *testing.T) {
	tests := []struct {
		name   string
		config *Config
		zero   []string
		want   []string
	}{
		{name: "nothing", config: &Config{}, want: []string{"routes: no routes: the key is required"}},
		{name: "the name of the configuration stands in front", config: &Config{File: "gateway/default"}, want: []string{"gateway/default: routes: no routes: the key is required"}},
		{name: "single values", config: &Config{
			ShutdownTimeout: -time.Second, MaxSessions: -1, Log: Log{Level: "trace"},
			Listeners: []Listener{{Address: ":1", Mode: 0o444, MaxHeaderBytes: -1, RequestRate: -2}, {Address: "unix:/a", Mode: 0o444}},
			Routes:    []Route{{Backend: "a:1", Mirror: &Mirror{Backend: "b:1", Share: 1.5}, Timeouts: RouteTimeouts{Response: time.Microsecond}, Methods: []string{""}}},
			Backends:  []Backend{{Name: "b", Endpoints: []Endpoint{{Text: "b:1", Weight: 1001}}, Health: &Health{Check: "http", Status: []int{99}}}},
		}, want: []string{
			`backends.b.endpoints[0].weight: "1001" is not within 1 to 1000`,
			`backends.b.health.status[0]: "99" is not within 200 to 599`,
			`listeners[0].max_header_bytes: "-1B" is not a size: write it as in 512B, 64KiB, 1MiB or 10MB`,
			`listeners[0].mode: "0444" lets no client connect: that takes the right to write, as in "0660"`,
			`listeners[0].request_rate: "-2/s" is not a rate: write it as in 50/s, 600/m or 10/h`,
			`listeners[1].mode: "0444" lets no client connect: that takes the right to write, as in "0660"`,
			`log.level: "trace" is not one of debug, info, warn, error`,
			`max_sessions: "-1" is not within 0 to 10000000`,
			`routes[0].methods[0]: "" is not a method`,
			`routes[0].mirror.share: "150%" is not a share of 0% to 100%: write it as in 20% or 0.5%`,
			`routes[0].timeouts.response: "1µs" is too short: the least is 1ms`,
			`shutdown_timeout: "-1s" is too short: the least is 0s`,
		}},
		{name: "what is there twice", config: &Config{
			Listeners:      []Listener{{Address: ":1"}, {Address: "[::]:1"}},
			TrustedProxies: []Proxy{{Unix: true}, {Unix: true}, {}},
			Backends:       []Backend{{Name: "a", Endpoints: []Endpoint{{Text: "a:1"}, {Text: "A:1"}}}, {Name: "b", Endpoints: []Endpoint{{Text: "localhost:1"}}}, {Name: "b", Endpoints: []Endpoint{{Text: "b:2"}}}},
			Routes:         []Route{{Name: "x", Backend: "b", Methods: []string{"PUT", "PUT"}}, {Name: "x", Backend: "b", Paths: []string{"/a", "/b", "/a"}}},
		}, want: []string{
			`backends.a.endpoints[1].address: "A:1" is the same address as the endpoint at backends.a.endpoints[0]`,
			`backends.b: "b" is the name of more than one of the backends`,
			`backends.b.endpoints[0].address: "localhost:1" is the gateway's own listener at listeners[0]: requests would go round for ever`,
			`listeners[1].address: "[::]:1" is already the address of the listener at listeners[0]`,
			`routes[0].methods[1]: "PUT" is listed twice, first at routes[0].methods[0]`,
			`routes[1].name: "x" is already the name of the route at routes[0]`,
			`routes[1].path[2]: "/a" is listed twice, first at routes[1].path[0]`,
			`trusted_proxies[1]: "unix" is listed twice, first at trusted_proxies[0]`,
			`trusted_proxies[2]: "invalid Prefix" is not an IP address or network, as in 10.0.0.0/8`,
		}},
		{name: "references", config: &Config{
			Listeners: []Listener{{Address: ":1", TLS: true}, {Address: ":2", HTTP2: true}},
			Routes:    []Route{{Backend: "nowhere"}, {Paths: []string{"/b"}, Respond: &Respond{}, WebSocket: WebSocket{Compression: "strip"}}, {Paths: []string{"/c"}}},
		}, want: []string{
			`listeners[0].tls: this needs a section 'tls' with certificates`,
			`listeners[1].http2: HTTP/2 is offered on listeners with 'tls: true' only: remove the key`,
			`routes[0].backend: unknown backend "nowhere": it is not a key of 'backends', and an address has a port, as in host:8080`,
			`routes[1].websocket: no WebSocket reaches this route: it has no backend; remove the section`,
			`routes[2]: the route does nothing: add one of backend, split, redirect, respond, files`,
		}},
		{name: "values of headers are not shown", config: &Config{Routes: []Route{{Backend: "a:1", Request: Headers{Set: map[string]string{"A": "s3cr3t\n", "B": "{secret}"}}}}}, want: []string{
			`routes[0].request.set_headers.A: "..." is not a value for a header: it has a line break, another control character or a space at an end`,
			`routes[0].request.set_headers.B: "..." stands for a value with an unknown variable in braces; {{name}} is the text {name} itself`,
		}},
		{name: "a required field that is to stay zero, and one that does not exist", config: &Config{Routes: []Route{{Redirect: &Redirect{}}}},
			zero: []string{"routes[0].redirect.to", "log.acces"}, want: []string{
				`log.acces: there is no such value to leave zero`,
				`routes[0].redirect.to: "" is neither an absolute path nor a URL with a host, as in https://example.com/new`,
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := complete(tt.config, tt.zero...)
			if got, want := fmt.Sprint(err), strings.Join(tt.want, "\n"); got != want {
				t.Errorf("Complete =\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestCompletedConfigHasNoPositions(t *testing.T) {
	c := &Config{Routes: []Route{{Respond: &Respond{}}}}
	if err := complete(c); err != nil {
		t.Fatal(err)
	}
	if pos := c.Position("routes[0]"); pos != (Pos{}) {
		t.Errorf("Position = %v; want none", pos)
	}
	if got, want := c.Problem(c.Position("routes[0]"), "routes[0]", "can never match").Error(), "routes[0]: can never match"; got != want {
		t.Errorf("the problem is %q; want %q", got, want)
	}
}

func TestCompleteTakesValuesOfFilesAsTheyAre(t *testing.T) {
	secret := Headers{Set: map[string]string{"A": "{x}"}, FromFile: map[string]bool{"A": true}}
	if err := complete(&Config{Routes: []Route{{Backend: "a:1", Request: secret}}}); err != nil {
		t.Errorf("Complete = %v; want no variable in what came from a file", err)
	}
}
