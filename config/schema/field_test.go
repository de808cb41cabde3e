package schema_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/config/schema"
	"sluice/config/units"
)

type section struct {
	Count  int            `yaml:"count" doc:"How many." default:"3" min:"1" max:"9"`
	Wait   time.Duration  `yaml:"wait" default:"5s" off:"" min:"1s" max:"1m"`
	Size   units.Size     `yaml:"size" max:"1KiB"`
	Share  units.Percent  `yaml:"share" default:"50%" min:"1%"`
	Kind   string         `yaml:"kind" default:"a" enum:"a,b" off:""`
	Kinds  []string       `yaml:"kinds" default:"a,b" enum:"a,b"`
	On     bool           `yaml:"on" default:"true"`
	Mode   units.FileMode `yaml:"mode"`
	Inner  inner          `yaml:",inline"`
	Parts  []inner        `yaml:"parts" named:"Name"`
	Hidden string         `yaml:"-"`
}

type inner struct {
	Name string `yaml:"-"`
	Word string `yaml:"word" required:"true" short:""`
}

// field returns the field of a key of section and its value in s.
func field(t *testing.T, s *section, key string) (schema.Field, reflect.Value) {
	t.Helper()
	for _, f := range schema.Fields(reflect.TypeFor[section]()) {
		if f.Key == key {
			return f, reflect.ValueOf(s).Elem().FieldByIndex(f.Index)
		}
	}
	t.Fatalf("no field %s", key)
	return schema.Field{}, reflect.Value{}
}

func TestFields(t *testing.T) {
	if got, want := strings.Join(schema.Keys(schema.Fields(reflect.TypeFor[section]())), " "), "count wait size share kind kinds on mode word parts"; got != want {
		t.Errorf("the keys are %q; want %q", got, want)
	}
}

func TestNewSetsDefaults(t *testing.T) {
	got, want := schema.New[section](schema.NewTypes()), section{Count: 3, Wait: 5 * time.Second, Share: 0.5, Kind: "a", Kinds: []string{"a", "b"}, On: true}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("New = %+v; want %+v", got, want)
	}
}

func TestSet(t *testing.T) {
	tests := []struct {
		name, key, text string
		want            any
		wrong           string
	}{
		{name: "number", key: "count", text: "9", want: 9},
		{name: "number above the most", key: "count", text: "10", wrong: "is not within 1 to 9"},
		{name: "no number", key: "count", text: "0x1", wrong: "is not a whole number"},
		{name: "duration", key: "wait", text: "30s", want: 30 * time.Second},
		{name: "off", key: "wait", text: "off", want: time.Duration(0)},
		{name: "zero of a key with off", key: "wait", text: "0s", want: time.Duration(0)},
		{name: "duration below the least", key: "wait", text: "1ms", wrong: "is too short: the least is 1s"},
		{name: "size above the most", key: "size", text: "1MiB", wrong: "is too large: the most is 1KiB"},
		{name: "one of a list", key: "kind", text: "b", want: "b"},
		{name: "off of a text", key: "kind", text: "off", want: ""},
		{name: "none of a list", key: "kind", text: "c", wrong: `is not one of a, b, off`},
		{name: "list of a tag", key: "kinds", text: "b,a", want: []string{"b", "a"}},
		{name: "switch", key: "on", text: "false", want: false},
		{name: "another word for true", key: "on", text: "yes", wrong: "is not true or false: write true"},
		{name: "another word for false", key: "on", text: "Off", wrong: "is not true or false: write false"},
		{name: "no switch", key: "on", text: "1", wrong: "is not true or false"},
		{name: "another word for off", key: "wait", text: "false", wrong: "is another word for off: write off"},
		{name: "another word for what cannot be off", key: "count", text: "none", wrong: "is not a whole number"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s section
			f, v := field(t, &s, tt.key)
			wrong := f.Set(v, tt.text)
			if wrong != tt.wrong || wrong == "" && !reflect.DeepEqual(v.Interface(), tt.want) {
				t.Errorf("Set(%s, %q) = %q and makes it %v; want %q, %v", tt.key, tt.text, wrong, v, tt.wrong, tt.want)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name, key string
		value     section
		written   string
		wrong     string
	}{
		{name: "number", key: "count", value: section{Count: 9}, written: "9"},
		{name: "number below the least", key: "count", written: "0", wrong: "is not within 1 to 9"},
		{name: "zero of a key with off", key: "wait", written: "0s"},
		{name: "duration above the most", key: "wait", value: section{Wait: time.Hour}, written: "1h", wrong: "is too long: the most is 1m"},
		{name: "size that no text stands for", key: "size", value: section{Size: -1}, written: "-1B", wrong: "is not a size: write it as in 512B, 64KiB, 1MiB or 10MB"},
		{name: "share", key: "share", value: section{Share: 0.25}, written: "25%"},
		{name: "none of a list", key: "kind", value: section{Kind: "nothing"}, written: "nothing", wrong: "is not one of a, b, off"},
		{name: "switch", key: "on", value: section{On: true}, written: "true"},
		{name: "form of its own", key: "mode", value: section{Mode: 0o440}, written: "0440", wrong: `lets no client connect: that takes the right to write, as in "0660"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, v := field(t, &tt.value, tt.key)
			if wrong, written := f.Check(v), schema.Written(v); wrong != tt.wrong || written != tt.written {
				t.Errorf("of %s, Check = %q, Written = %q; want %q, %q", tt.key, wrong, written, tt.wrong, tt.written)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	var got struct {
		Title      string                    `json:"title"`
		Properties map[string]map[string]any `json:"properties"`
		Required   []string                  `json:"required"`
	}
	if err := json.Unmarshal(schema.JSON(reflect.TypeFor[section](), "a section"), &got); err != nil {
		t.Fatal(err)
	}
	if got.Title != "a section" || len(got.Properties) != 10 || strings.Join(got.Required, " ") != "word" {
		t.Errorf("the schema has the title %q, %d keys and requires %v; want %q, 10 and word", got.Title, len(got.Properties), got.Required, "a section")
	}
	if count := got.Properties["count"]; count["description"] != "How many." || count["default"] != 3.0 {
		t.Errorf("count is %v; want its description and default", count)
	}
	if parts := got.Properties["parts"]; parts["type"] != "object" || parts["propertyNames"] == nil {
		t.Errorf("parts is %v; want a mapping of names", parts)
	}
}
