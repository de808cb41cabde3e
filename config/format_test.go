package config

import (
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
		cells := regexp.MustCompile(` \| `).Split(row+" ", -1)
		if text := withoutMarkup(cells[min(1, len(cells)-1)]); !strings.HasPrefix(text+".", f.Doc) {
			t.Errorf("docs/configuration.md: section %q, key `%s`: the row says %q, which does not begin with the tag's %q", section, f.Key, text, f.Doc)
		}
		if f.Required && !strings.Contains(row, "required") {
			t.Errorf("docs/configuration.md: section %q, key `%s`: the row does not say that it is required", section, f.Key)
		}
	})
}

// withoutMarkup returns a cell of a table as a sentence for the descriptions of the schema.
func withoutMarkup(cell string) string {
	for _, markup := range [][2]string{{`\[([^\]]*)\]\([^)]*\)`, "$1"}, {"`", "'"}, {`\*(\w+)\*`, "$1"}, {`\s*\|?\s*$`, ""}} {
		cell = regexp.MustCompile(markup[0]).ReplaceAllString(cell, markup[1])
	}
	cell = strings.TrimSuffix(strings.TrimPrefix(cell, "| "), ".")
	if cell == "" {
		return ""
	}
	return strings.ToUpper(cell[:1]) + cell[1:]
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
			seen[strings.TrimSuffix(inner, "_file")] = true                                // one in place of the other
			seen[strings.Replace(inner, "shutdown.timeout", "shutdown_timeout", 1)] = true // they exclude each other
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
