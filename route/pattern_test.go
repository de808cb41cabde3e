package route_test

import (
	"testing"

	"sluice/route"
)

func TestPatternString(t *testing.T) {
	tests := []struct {
		name    string
		pattern route.Pattern
		want    string
	}{
		{name: "everything", pattern: route.Pattern{}, want: "/*"},
		{name: "host and path", pattern: route.Pattern{Hosts: []string{"Chat.Example.com."}, Paths: []string{"/%77s/./*"}}, want: "chat.example.com/ws/*"},
		{name: "wildcard", pattern: route.Pattern{Hosts: []string{"*.Example.com"}, Paths: []string{"/a"}}, want: "*.example.com/a"},
		{name: "several", pattern: route.Pattern{Hosts: []string{"b", "a", "B."}, Paths: []string{"/x/*", "/a"}}, want: "a|b/a|/x/*"},
		{name: "IPv6", pattern: route.Pattern{Hosts: []string{"0::1"}}, want: "[::1]/*"},
		{name: "literal star", pattern: route.Pattern{Paths: []string{"/a/%2a"}}, want: "/a/%2A"},
		{
			name: "all of it",
			pattern: route.Pattern{
				Hosts:    []string{"a"},
				Paths:    []string{"/"},
				Methods:  []string{"PUT", "HEAD", "GET", "PUT"},
				Headers:  map[string]string{"x-b": "*", "X-A": `1 "2"`},
				Query:    map[string]string{"k v": "", "k": "*"},
				Protocol: "http",
			},
			want: `a/ protocol http methods GET,PUT header X-A="1 \"2\"" header X-B query k query "k v"=""`,
		},
		{name: "a bad pattern stays as it is", pattern: route.Pattern{Hosts: []string{"A"}, Paths: []string{"/%zz"}, Methods: []string{"PUT", "GET"}}, want: "A/%zz methods PUT,GET"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.pattern.String(); got != tt.want {
				t.Errorf("String(%#v) = %q; want %q", tt.pattern, got, tt.want)
			}
		})
	}
}
