package decode_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/config/decode"
	"sluice/config/report"
	"sluice/config/schema"
)

type outer struct {
	Name   string            `yaml:"name" required:"true"`
	Count  int               `yaml:"count" default:"3" min:"1" max:"9"`
	Weight int               `yaml:"weight" required:"true" min:"0" max:"9"`
	Wait   time.Duration     `yaml:"wait" default:"5s" off:"" min:"1s"`
	Kind   string            `yaml:"kind" default:"a" enum:"a,b"`
	Texts  map[string]string `yaml:"texts"`
	Codes  []int             `yaml:"codes" off:"" min:"1" max:"9"`
	Parts  []inner           `yaml:"parts" named:"Name"`
	Inner  inner             `yaml:"inner"`
	Absent *inner            `yaml:"absent"`
	Own    string            // has no key
}

type inner struct {
	Name string `yaml:"-"`
	On   bool   `yaml:"on" default:"true"`
	Word string `yaml:"word" default:"w"`
}

func TestValues(t *testing.T) {
	tests := []struct {
		name     string
		value    outer
		zero     []string
		want     outer
		given    string // paths, in order
		problems string
	}{
		{name: "nothing but what is required", value: outer{Name: "n"}, want: outer{Name: "n", Count: 3, Wait: 5 * time.Second, Kind: "a", Inner: inner{On: true, Word: "w"}}, given: "name weight"},
		{name: "values of its own", value: outer{Name: "n", Count: 4, Wait: time.Second, Kind: "b", Own: "o"}, want: outer{Name: "n", Count: 4, Wait: time.Second, Kind: "b", Inner: inner{On: true, Word: "w"}, Own: "o"},
			given: "count kind name wait weight"},
		{name: "zero in place of a default", value: outer{Name: "n"}, zero: []string{"wait", "inner.on"}, want: outer{Name: "n", Count: 3, Kind: "a", Inner: inner{Word: "w"}}, given: "inner inner.on name wait weight"},
		{name: "lists and mappings", value: outer{Name: "n", Texts: map[string]string{"k": ""}, Codes: []int{}, Parts: []inner{{Name: "p"}}}, given: "codes name parts parts.p texts texts.k weight",
			want: outer{Name: "n", Count: 3, Wait: 5 * time.Second, Kind: "a", Texts: map[string]string{"k": ""}, Codes: []int{}, Parts: []inner{{Name: "p", On: true, Word: "w"}}, Inner: inner{On: true, Word: "w"}}},
		{name: "mistakes", value: outer{Count: 10, Wait: -1, Kind: "c", Codes: []int{0}, Parts: []inner{{Name: "p"}, {Name: "p"}}}, zero: []string{"inner.no"}, given: "codes codes[0] count inner kind parts parts.p wait weight", problems: `
codes[0]: "0" is not within 1 to 9
count: "10" is not within 1 to 9
inner.no: there is no such value to leave zero
kind: "c" is not one of a, b
name: no name: the key is required
parts.p: "p" is the name of more than one of the parts
wait: "-1ns" is too short: the least is 1s`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, got := report.OfValues(""), tt.value
			decode.Values(r, schema.NewTypes(), &got, tt.zero)
			if problems := r.Problems().Error(); problems != strings.TrimSpace(tt.problems) {
				t.Errorf("problems\n%s\nwant%s", problems, tt.problems)
			} else if problems == "" && !reflect.DeepEqual(got, tt.want) {
				t.Errorf("completed to %+v; want %+v", got, tt.want)
			}
			for path := range strings.FieldsSeq(tt.given) {
				if !r.Has(report.Path(path)) {
					t.Errorf("%s is not given", path)
				}
			}
			if n := len(r.Positions()); n != len(strings.Fields(tt.given)) {
				t.Errorf("%d paths are given, %v; want %s", n, r.Positions(), tt.given)
			}
		})
	}
}
