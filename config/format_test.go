package config

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"sluice/config/schema"
)

// keysOf calls each with every key of the format, as in routes.websocket.origins.
func keysOf(t reflect.Type, section string, each func(section string, f schema.Field)) {
	for _, f := range schema.Fields(t) {
		each(section, f)
		inner := t.FieldByIndex(f.Index).Type
		for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			keysOf(inner, strings.TrimPrefix(section+"."+f.Key, "."), each)
		}
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEveryKeyIsDocumented(t *testing.T) {
	sections := map[string]string{} // the text under a heading, by the paths in it
	for chapter := range strings.SplitSeq(readFile(t, "../docs/configuration.md"), "\n#") {
		heading, body, _ := strings.Cut(chapter, "\n")
		for _, m := range regexp.MustCompile("`([a-z_.]+)`").FindAllStringSubmatch(heading, -1) {
			sections[m[1]] += body
		}
		if strings.HasSuffix(heading, "The sections") {
			sections[""] = body
		}
	}
	keysOf(reflect.TypeFor[Config](), "", func(section string, f schema.Field) {
		row := regexp.MustCompile("(?m)^\\| `" + f.Key + "` \\|.*$").FindString(sections[section])
		if row == "" {
			t.Errorf("docs/configuration.md: section %q has no row for `%s`", section, f.Key)
		}
		for _, value := range append(strings.Split(f.Default, ","), f.Enum...) {
			if !strings.Contains(row, value) {
				t.Errorf("docs/configuration.md: section %q, key `%s`: the row does not have %q", section, f.Key, value)
			}
		}
		if f.Required && !strings.Contains(row, "required") {
			t.Errorf("docs/configuration.md: section %q, key `%s`: the row does not say that it is required", section, f.Key)
		}
	})
}

func TestTagsHoldValuesOfTheirTypes(t *testing.T) {
	check := func(v reflect.Value) {
		for _, f := range schema.Fields(v.Type()) {
			for _, text := range append(slices.Clone(f.Enum), f.Default, f.Min, f.Max) {
				if text == "" {
					continue
				}
				if wrong := f.Set(v.FieldByIndex(f.Index), text); wrong != "" {
					t.Errorf("%s, key %s: the tag has %q, which %s", v.Type(), f.Key, text, wrong)
				}
			}
		}
	}
	for _, v := range []any{new(Config), new(Listener), new(TLS), new(Certificate), new(Backend), new(BackendTLS), new(Route),
		new(ListenerTimeouts), new(RouteTimeouts), new(Headers), new(Redirect), new(Respond), new(Files), new(WebSocket), new(SessionLimits), new(Traffic), new(Log),
		new(Compress), new(Security), new(CORS), new(ACME), new(EAB), new(ClientAuth), new(Endpoint), new(Sticky), new(Health), new(Passive),
		new(Retry), new(Queue), new(Rebalance), new(DNS), new(Split), new(Mirror), new(Admin), new(AdminReady), new(AdminTLS)} {
		check(reflect.ValueOf(v).Elem())
	}
}

func TestEveryKeyIsExplainedInItsTag(t *testing.T) {
	keysOf(reflect.TypeFor[Config](), "", func(section string, f schema.Field) {
		if !strings.HasSuffix(f.Doc, ".") {
			t.Errorf("key %s.%s has the doc %q; want a sentence", section, f.Key, f.Doc)
		}
	})
}

// example returns config.example.yaml with its commented-out keys in use.
func example(t *testing.T) string {
	t.Helper()
	return regexp.MustCompile(`(?m)^( {2,})# ([A-Za-z_]+: )`).ReplaceAllString(readFile(t, "../config.example.yaml"), "$1$2")
}

func TestEveryKeyIsInTheExample(t *testing.T) {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(example(t)), &root); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var walk func(n *yaml.Node, at string)
	walk = func(n *yaml.Node, at string) {
		if n.Kind != yaml.MappingNode {
			for _, child := range n.Content {
				walk(child, at)
			}
			return
		}
		for i := 0; i < len(n.Content); i += 2 {
			inner := strings.TrimPrefix(at+"."+n.Content[i].Value, ".")
			seen[regexp.MustCompile(`^backends\.[\w-]+\.`).ReplaceAllString(inner, "backends.")] = true
			seen[strings.TrimSuffix(inner, "_file")] = true // one in place of the other
			walk(n.Content[i+1], inner)
		}
	}
	walk(&root, "")
	keysOf(reflect.TypeFor[Config](), "", func(section string, f schema.Field) {
		if at := strings.TrimPrefix(section+"."+f.Key, "."); !seen[at] {
			t.Errorf("config.example.yaml does not use %s", at)
		}
	})
}

func TestTheExampleLoads(t *testing.T) {
	if _, err := Load("../config.example.yaml"); err != nil {
		t.Errorf("Load(config.example.yaml) = %v; want no problem", err)
	}
	c, err := Parse("config.example.yaml", []byte(example(t)), Options{
		Getenv:   func(name string) (string, bool) { return "secret", name == "API_TOKEN" },
		ReadFile: func(string) ([]byte, error) { return []byte("secretsecretsecret\n"), nil },
	})
	if err != nil {
		t.Fatalf("Parse(config.example.yaml with all of its keys) = %v; want no problem", err)
	}
	set := c.Routes[1].Request.Set
	if want := map[string]string{"X-Gateway": "sluice", "X-Api-Key": "secretsecretsecret", "Authorization": "Bearer secret"}; !reflect.DeepEqual(set, want) {
		t.Errorf("routes[1].request.set_headers = %v; want %v", set, want)
	}
}

func TestSchemaHasEveryKey(t *testing.T) {
	v := schemaOf(t)
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
		{name: "name of a backend", text: "backends: { 'a b': { endpoints: ['a:1'] } }\nroutes: [{ respond: 204 }]"},
	}
	v := schemaOf(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var value any
			if err := yaml.Unmarshal([]byte(tt.text), &value); err != nil {
				t.Fatal(err)
			}
			if problem := v.check(v.root, value, ""); (problem == "") != tt.valid {
				t.Errorf("the schema says %q; want valid %t", problem, tt.valid)
			}
			_, err := Parse("f", []byte(tt.text), Options{
				Getenv:   func(name string) (string, bool) { return "x", name == "API_TOKEN" },
				ReadFile: func(string) ([]byte, error) { return []byte("secretsecretsecret"), nil },
			})
			if (err == nil) != tt.valid {
				t.Errorf("Parse(%q) = %v; want valid %t", tt.text, err, tt.valid)
			}
		})
	}
}

// validator checks values against the part of JSON Schema that Schema uses.
type validator struct{ root map[string]any }

func schemaOf(t *testing.T) validator {
	t.Helper()
	var v validator
	if err := json.Unmarshal(Schema(), &v.root); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v validator) resolve(s map[string]any) map[string]any {
	ref, ok := s["$ref"].(string)
	if !ok {
		return s
	}
	return v.root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
}

// object returns the schema of the mapping that s, a schema of a value, a list or a short form, is
// about.
func (v validator) object(s map[string]any) map[string]any {
	s = v.resolve(s)
	switch {
	case s["oneOf"] != nil:
		return v.object(s["oneOf"].([]any)[1].(map[string]any))
	case s["items"] != nil:
		return v.object(s["items"].(map[string]any))
	case s["properties"] == nil:
		return v.object(s["additionalProperties"].(map[string]any))
	}
	return s
}

// check returns where and why value breaks s, or "".
func (v validator) check(s map[string]any, value any, at string) string {
	s = v.resolve(s)
	for _, combination := range []string{"anyOf", "oneOf"} {
		alternatives, ok := s[combination].([]any)
		if !ok {
			continue
		}
		fitting := slices.DeleteFunc(slices.Clone(alternatives), func(a any) bool { return v.check(a.(map[string]any), value, at) != "" })
		if len(fitting) == 0 || combination == "oneOf" && len(fitting) > 1 {
			return fmt.Sprintf("%s: %v fits %d of %s", at, value, len(fitting), combination)
		}
		return ""
	}
	if enum, ok := s["enum"].([]any); ok && !slices.ContainsFunc(enum, func(e any) bool { return fmt.Sprint(e) == fmt.Sprint(value) }) {
		return fmt.Sprintf("%s: %v is not in %v", at, value, enum)
	}
	types, _ := s["type"].([]any)
	if s["type"] != nil && types == nil {
		types = []any{s["type"]}
	}
	if got := typeOf(value); types != nil && !slices.Contains(types, any(got)) && !(got == "integer" && slices.Contains(types, any("number"))) {
		return fmt.Sprintf("%s: is %s, not %v", at, got, types)
	}
	switch value := value.(type) {
	case string:
		if pattern, ok := s["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(value) {
			return fmt.Sprintf("%s: %q does not match %s", at, value, pattern)
		}
	case int:
		if low, ok := s["minimum"].(float64); ok && (float64(value) < low || float64(value) > s["maximum"].(float64)) {
			return fmt.Sprintf("%s: %d is out of bounds", at, value)
		}
	case []any:
		if len(value) == 0 && s["minItems"] != nil {
			return at + ": is empty"
		}
		for i, element := range value {
			if problem := v.check(s["items"].(map[string]any), element, fmt.Sprintf("%s[%d]", at, i)); problem != "" {
				return problem
			}
		}
	case map[string]any:
		return v.checkObject(s, value, at)
	}
	return ""
}

func (v validator) checkObject(s, value map[string]any, at string) string {
	required, _ := s["required"].([]any)
	for _, key := range required {
		if _, ok := value[key.(string)]; !ok {
			return fmt.Sprintf("%s: lacks %s", at, key)
		}
	}
	properties, _ := s["properties"].(map[string]any)
	for key, inner := range value {
		property, ok := properties[key].(map[string]any)
		if !ok {
			property, ok = s["additionalProperties"].(map[string]any)
		}
		names, _ := s["propertyNames"].(map[string]any)
		if !ok || v.check(names, key, at) != "" {
			return fmt.Sprintf("%s: may not have the key %s", at, key)
		}
		if problem := v.check(property, inner, at+"."+key); problem != "" {
			return problem
		}
	}
	return ""
}

func typeOf(value any) string {
	switch value.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	case int:
		return "integer"
	case float64:
		return "number"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "null"
}
