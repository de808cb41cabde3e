package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"sluice/config/decode"
	"sluice/config/report"
	"sluice/config/schema"
)

func TestSchemaHasEveryKey(t *testing.T) {
	var v described
	if err := json.Unmarshal(Schema(), &v.root); err != nil {
		t.Fatal(err)
	}
	keysOf(reflect.TypeFor[Config](), "", func(section string, f schema.Field) {
		m := v.root
		for step := range strings.FieldsFuncSeq(section, func(c rune) bool { return c == '.' }) {
			m = v.object(m["properties"].(map[string]any)[step].(map[string]any))
		}
		property, ok := m["properties"].(map[string]any)[f.Key].(map[string]any)
		if !ok || property["description"] != f.Doc || (f.Default == "") != (property["default"] == nil) {
			t.Errorf("Schema() has %v for %s.%s; want its description and default", property, section, f.Key)
		}
	})
}

func TestSchemaAgreesWithParse(t *testing.T) {
	tests := []struct {
		name, text string
		valid      bool
	}{
		{name: "example", text: example(t), valid: true},
		{name: "least", text: "routes: [{ backend: 'a:1' }]", valid: true},
		{name: "short forms", text: "listeners: [':80']\nroutes: [{ path: /, redirect: /x }, { respond: 204 }]", valid: true},
		{name: "variables", text: "routes: [{ respond: '${STATUS:-204}' }]\nlog: { access: '${ACCESS:-true}', level: '${LEVEL:-info}' }", valid: true},
		{name: "days", text: "routes: [{ respond: 204 }]\nshutdown_timeout: 1d", valid: true},
		{name: "switches and one origin", text: "routes: [{ respond: 204, compress: true, security: '${ON:-true}', cors: https://a }]", valid: true},
		{name: "taps", text: "routes: [{ backend: 'a:1', tap: payload }, { path: /b, backend: 'a:1', tap: { payload: true, max: 4KiB } }, { path: /c, backend: 'a:1', tap: '${SHOWN:-payload}' }]", valid: true},
		{name: "tap of something else", text: "routes: [{ backend: 'a:1', tap: headers }]"},
		{name: "off", text: "listeners: [{ address: ':1', request_rate: off }]\nroutes: [{ backend: 'a:1', min_body_rate: off, max_body_size: 0, security: { hsts: off, frame_options: off } }]", valid: true},
		{name: "sizes and rates of variables", text: "listeners: [{ address: ':1', max_header_bytes: '${SIZE:-8KiB}', request_rate: '${RATE:-6/m}' }]\nroutes: [{ respond: 204 }]", valid: true},
		{name: "limits of sessions", text: "max_sessions: 5\nroutes: [{ backend: 'a:1', websocket: { idle_timeout: off, stall_timeout: off, keepalive: 5s, buffer_size: 4KiB, limits: { sessions: 5, message_rate: 5/s, message_burst: '${BURST:-5}', on_excess: close, backend: { byte_rate: 1MiB/s, byte_burst: 1MiB, on_excess: delay } } } }]", valid: true},
		{name: "limits of the backend's sessions", text: "routes: [{ backend: 'a:1', websocket: { limits: { backend: { sessions: 5 } } } }]"},
		{name: "limits that are all off", text: "routes: [{ backend: 'a:1', websocket: { limits: off } }]"},
		{name: "size without unit", text: "routes: [{ backend: 'a:1', max_body_size: 10 }]"},
		{name: "size of nothing", text: "listeners: [{ address: ':1', max_header_bytes: 0 }]\nroutes: [{ respond: 204 }]"},
		{name: "off for a limit that stays", text: "listeners: [{ address: ':1', max_header_bytes: off }]\nroutes: [{ respond: 204 }]"},
		{name: "rate without period", text: "listeners: [{ address: ':1', request_rate: 10 }]\nroutes: [{ respond: 204 }]"},
		{name: "rate of bytes without unit", text: "routes: [{ respond: 204, min_body_rate: 10/s }]"},
		{name: "text as a switch", text: "routes: [{ respond: 204, compress: gzip }]"},
		{name: "enum in a list", text: "routes: [{ respond: 204, compress: { encodings: [br] } }]"},
		{name: "no origins", text: "routes: [{ respond: 204, cors: { max_age: 1h } }]"},
		{name: "no routes", text: "log: { level: info }"},
		{name: "unknown key", text: "rotes: []\nroutes: [{ respond: 204 }]"},
		{name: "unknown key inside", text: "routes: [{ respond: { code: 204 } }]"},
		{name: "enum", text: "routes: [{ respond: 204 }]\nlog: { level: trace }"},
		{name: "number of an enum", text: "routes: [{ redirect: { to: /, status: 300 } }]"},
		{name: "duration without unit", text: "routes: [{ respond: 204 }]\nshutdown_timeout: 30"},
		{name: "text as a duration", text: "routes: [{ respond: 204 }]\nshutdown_timeout: soon"},
		{name: "status out of bounds", text: "routes: [{ respond: 600 }]"},
		{name: "empty list", text: "routes: [{ respond: 204, methods: [] }]"},
		{name: "required key", text: "routes: [{ files: { index: a.html } }]"},
		{name: "two actions", text: "routes: [{ backend: 'a:1', respond: 204 }]"},
		{name: "no action", text: "routes: [{ path: /a }]"},
		{name: "path without a slash", text: "routes: [{ path: a, respond: 204 }]"},
		{name: "rewrite and strip_prefix", text: "routes: [{ path: /a/*, backend: 'a:1', strip_prefix: /a, rewrite: /b }]"},
		{name: "rewrite of a redirect", text: "routes: [{ redirect: /a, rewrite: /b }]"},
		{name: "limits of answers", text: "routes: [{ respond: 204, websocket: { idle_timeout: 1m } }]"},
		{name: "compression of a redirect", text: "routes: [{ redirect: /a, compress: true }]"},
		{name: "cookie of no split", text: "routes: [{ backend: 'a:1', split_cookie: a }]"},
		{name: "error page of a status that is none", text: "routes: [{ respond: 204, error_pages: { 200: a } }]"},
		{name: "burst without a rate", text: "listeners: [{ address: ':1', request_burst: 5 }]\nroutes: [{ respond: 204 }]"},
		{name: "excess of no rate", text: "routes: [{ backend: 'a:1', websocket: { limits: { on_excess: close } } }]"},
		{name: "path of a health check that sends none", text: "backends: { a: { endpoints: ['a:1'], health: { path: /a } } }\nroutes: [{ backend: a }]"},
		{name: "hash without its balance", text: "backends: { a: { endpoints: ['a:1'], hash_by: client } }\nroutes: [{ backend: a }]"},
		{name: "certificate without a key", text: "backends: { a: { endpoints: ['https://a'], tls: { cert: a } } }\nroutes: [{ backend: a }]"},
		{name: "two tokens", text: "admin: { address: ':1', insecure: true, token: sixteen-characters, token_file: a }\nroutes: [{ respond: 204 }]"},
		{name: "token without an address", text: "admin: { token: sixteen-characters }\nroutes: [{ respond: 204 }]"},
		{name: "two keys of an account", text: "tls: { acme: { eab: { key_id: a, hmac_key: YQ, hmac_key_file: a } } }\nroutes: [{ host: a.b, respond: 204 }]"},
		{name: "no key of an account", text: "tls: { acme: { eab: { key_id: a } } }\nroutes: [{ host: a.b, respond: 204 }]"},
		{name: "method twice", text: "routes: [{ respond: 204, methods: [GET, GET] }]"},
		{name: "mode without quotes", text: "listeners: [{ address: 'unix:/a', mode: 0660 }]\nroutes: [{ respond: 204 }]"},
		{name: "numbers and switches in quotes, texts without", text: "max_sessions: '5'\nlog: { access: 'true' }\ntls: { self_signed: [a.b], min_version: 1.3 }\nroutes: [{ name: 5, backend: 'a:1', max_body_size: '0', query: { a: 1, b: true } }]", valid: true},
		{name: "durations of all kinds", text: "shutdown_timeout: .5s\nroutes: [{ backend: 'a:1', timeouts: { response: 1m30s, idle: 1d12h } }]", valid: true},
		{name: "aliases", text: "routes: [{ path: /a, backend: &b 'a:1' }, { path: /b, backend: *b }]", valid: true},
		{name: "one element for a list", text: "listeners: 8080\nbackends: { a: ['a:1', { address: 'b:1' }], b: 'b:1', c: { endpoints: 'c:1' }, d: { endpoints: { address: 'd:1' } } }\nroutes: [{ host: a, path: /a, backend: a }, { host: [a, b], path: [/b, /c/*], backend: b }]", valid: true},
		{name: "one listener", text: "listeners: { address: ':1' }\nroutes: [{ respond: 204 }]", valid: true},
		{name: "host twice", text: "routes: [{ host: [a, a], respond: 204 }]"},
		{name: "no host", text: "routes: [{ host: [], respond: 204 }]"},
		{name: "patterns of files", text: "include: [a*, 'b*']\nroutes: [{ respond: 204 }]", valid: true},
		{name: "a pattern of files", text: "include: a*\nroutes: [{ respond: 204 }]", valid: true},
		{name: "names that are logged", text: "log: { redact: off }\nroutes: [{ respond: 204 }]", valid: true},
		{name: "empty list of names", text: "log: { redact: [] }\nroutes: [{ respond: 204 }]"},

		// Keys that need or exclude each other by their values.
		{name: "HTTP/2 without TLS", text: "listeners: [{ address: ':1', http2: true }]\nroutes: [{ respond: 204 }]"},
		{name: "HTTP/2 with TLS that is off", text: "listeners: [{ address: ':1', tls: false, max_streams: 9 }]\nroutes: [{ respond: 204 }]"},
		{name: "HTTP/2 with TLS", text: "tls: { self_signed: [a.b] }\nlisteners: [{ address: ':1', tls: 'true', http2: true, max_streams: 9 }, { address: ':2', tls: '${T:-true}', max_streams: 9 }]\nroutes: [{ respond: 204 }]", valid: true},
		{name: "redirects to itself", text: "tls: { self_signed: [a.b] }\nlisteners: [{ address: ':1', tls: true, redirect_https: true }]\nroutes: [{ respond: 204 }]"},
		{name: "redirects and no TLS", text: "tls: { self_signed: [a.b] }\nlisteners: [{ address: ':1', tls: true, redirect_https: false }, { address: ':2', tls: false, redirect_https: true }]\nroutes: [{ respond: 204 }]", valid: true},
		{name: "body of no content", text: "routes: [{ respond: { status: '204', body: a } }]"},
		{name: "body of content", text: "routes: [{ respond: { status: 200, body: a } }]", valid: true},
		{name: "length of no payload", text: "routes: [{ backend: 'a:1', tap: { max: 1KiB } }]"},
		{name: "length of a payload", text: "routes: [{ backend: 'a:1', tap: { payload: true, max: 1KiB } }]", valid: true},
		{name: "compression of WebSockets", text: "routes: [{ backend: 'a:1', protocol: websocket, compress: true }]"},
		{name: "copies of WebSockets", text: "routes: [{ backend: 'a:1', protocol: websocket, mirror: 'b:1' }]"},
		{name: "copies of requests", text: "routes: [{ backend: 'a:1', protocol: http, mirror: 'b:1' }]", valid: true},
		{name: "hash of a header", text: "backends: { a: { endpoints: 'a:1', balance: hash, hash_by: 'header:A' }, b: { endpoints: 'b:1', balance: '${B:-hash}', hash_by: client } }\nroutes: [{ backend: a }]", valid: true},
		{name: "hash by another balance", text: "backends: { a: { endpoints: 'a:1', balance: round_robin, hash_by: client } }\nroutes: [{ backend: a }]"},
		{name: "suites of another version", text: "tls: { self_signed: [a.b], min_version: 1.3, cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256] }\nroutes: [{ respond: 204 }]"},
		{name: "suites of the version", text: "tls: { self_signed: [a.b], min_version: 1.2, cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256] }\nroutes: [{ respond: 204 }]", valid: true},
		{name: "HTTP/2 of one client", text: "backends: { a: { endpoints: 'https://a', http2: true, proxy_protocol: v2 } }\nroutes: [{ backend: a }]"},
		{name: "HTTP/2 of all clients", text: "backends: { a: { endpoints: 'https://a', http2: true, proxy_protocol: off }, b: { endpoints: 'https://b', http2: false, proxy_protocol: v1 } }\nroutes: [{ backend: a }]", valid: true},
		{name: "no admin interface", text: "admin: { address: off }\nroutes: [{ respond: 204 }]", valid: true},
		{name: "metrics of no admin interface", text: "admin: { address: off, metrics: ':1' }\nroutes: [{ respond: 204 }]"},
		{name: "name of a backend", text: "backends: { 'a b': { endpoints: ['a:1'] } }\nroutes: [{ respond: 204 }]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := refusedBySchema(tt.text); (err == nil) != tt.valid {
				t.Errorf("the schema says %v; want valid %t", err, tt.valid)
			}
			_, err := Parse("f", []byte(tt.text), Options{
				Getenv:   func(name string) (string, bool) { return "x", name == "API_TOKEN" || name == "HOME" },
				ReadFile: func(string) ([]byte, error) { return []byte("secretsecretsecret"), nil },
			})
			if (err == nil) != tt.valid {
				t.Errorf("Parse(%q) = %v; want valid %t", tt.text, err, tt.valid)
			}
		})
	}
}

func TestSchemaTakesAFileWhoseRoutesAreIncluded(t *testing.T) {
	if err := refusedBySchema("include: conf.d/*.yaml"); err != nil {
		t.Errorf("the schema refuses it: %v", err)
	}
}

// described walks a schema by the keys of the configuration.
type described struct{ root map[string]any }

// object returns the schema of the mapping that s, a schema of a value, a list or a short form, is
// about.
func (v described) object(s map[string]any) map[string]any {
	if ref, ok := s["$ref"].(string); ok {
		s = v.root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	switch {
	case s["anyOf"] != nil: // a list, or one element in its place
		return v.object(s["anyOf"].([]any)[0].(map[string]any))
	case s["oneOf"] != nil:
		return v.object(s["oneOf"].([]any)[1].(map[string]any))
	case s["items"] != nil:
		return v.object(s["items"].(map[string]any))
	case s["properties"] == nil:
		return v.object(s["additionalProperties"].(map[string]any))
	}
	return s
}

// compiled is the schema for the validator.
var compiled = sync.OnceValues(func() (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("sluice.schema.json", document); err != nil {
		return nil, err
	}
	return c.Compile("sluice.schema.json")
})

// refusedBySchema returns what an editor finds wrong with a text, by the schema alone.
func refusedBySchema(text string) error {
	s, err := compiled()
	if err != nil {
		return err
	}
	root, ok := decode.Document(report.OfFile("f"), "", []byte(text))
	if !ok || root == nil {
		return errors.New("no document")
	}
	return s.Validate(plain(root))
}

// plain returns a node as editors read it: by the core schema of YAML 1.2.
func plain(n *yaml.Node) any {
	switch n.Kind {
	case yaml.AliasNode:
		return plain(n.Alias)
	case yaml.SequenceNode:
		list := []any{}
		for _, element := range n.Content {
			list = append(list, plain(element))
		}
		return list
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(n.Content[i+1])
		}
		return m
	}
	if n.Style != 0 {
		return n.Value
	}
	switch v := n.Value; {
	case v == "" || v == "~" || v == "null":
		return nil
	case v == "true" || v == "false":
		return v == "true"
	case coreNumber.MatchString(v):
		number, err := strconv.ParseFloat(v, 64)
		if err == nil {
			return number
		}
	}
	return n.Value
}

// coreNumber matches the numbers of YAML 1.2, but for those that JSON has no form of.
var coreNumber = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)

// Every whole file that is shown begins with the line for editors, and is one that the schema takes.
func TestSamplesHaveTheirSchema(t *testing.T) {
	const line = "# yaml-language-server: $schema=sluice.schema.json\n"
	samples := map[string]string{"config.example.yaml": readFile(t, "../config.example.yaml"), "config.example.yaml with all of its keys": example(t)}
	for _, page := range []string{"../README.md", "../docs/configuration.md"} {
		for i, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readFile(t, page), -1) {
			if i == 0 || strings.HasPrefix(block[1], "#") { // the first is a whole file
				samples[fmt.Sprintf("%s, block %d", page, i+1)] = block[1]
			}
		}
	}
	for name, text := range samples {
		if !strings.HasPrefix(text, line) {
			t.Errorf("%s does not begin with %s", name, line)
		}
		if err := refusedBySchema(text); err != nil {
			t.Errorf("%s is refused by the schema: %v", name, err)
		}
	}
}
