package route_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"sluice/route"
)

func TestExplain(t *testing.T) {
	table, conflicts := route.Compile(named([]route.Pattern{
		0: {},
		1: {Hosts: []string{"chat.example.com"}, Paths: []string{"/ws/*"}, Protocol: "websocket"},
		2: {Hosts: []string{"chat.example.com"}, Paths: []string{"/ws/*"}, Methods: []string{"GET", "PUT"}, Headers: map[string]string{"X-Key": "1"}},
		3: {Hosts: []string{"chat.example.com"}, Paths: []string{"/ws"}, Protocol: "http"},
		4: {Hosts: []string{"*.example.com"}, Paths: []string{"/ws/*"}, Query: map[string]string{"v": "*"}},
		5: {Hosts: []string{"other.example.com"}, Paths: []string{"/ws/*"}},
		6: {Hosts: []string{"far.example.com"}},
		7: {Hosts: []string{"far.example.com"}, Paths: []string{"/far"}},
	}))
	if len(conflicts) > 0 {
		t.Fatal(conflicts)
	}
	tests := []struct {
		name    string
		request route.Request
		want    []route.Step
	}{
		{
			name:    "plain request",
			request: route.Request{Method: "POST", Host: "chat.example.com", Path: "/ws/a"},
			want: []route.Step{
				{Route: 5, Reason: `host "chat.example.com" is not other.example.com`},
				{Route: 3, Reason: "path /ws/a is not /ws"},
				{Route: 1, Reason: "the request is not a WebSocket handshake"},
				{Route: 2, Reason: `method POST is not among GET, PUT; no header X-Key="1"`},
				{Route: 4, Reason: "no query parameter v"},
				{Route: 0, Takes: true, Reason: "matches, and comes first in precedence"},
			},
		},
		{
			name:    "handshake",
			request: route.Request{Method: "GET", Host: "chat.example.com", Path: "/ws/a", Query: "v=1", WebSocket: true},
			want: []route.Step{
				{Route: 5, Reason: `host "chat.example.com" is not other.example.com`},
				{Route: 3, Reason: "path /ws/a is not /ws; the request is a WebSocket handshake"},
				{Route: 1, Takes: true, Reason: "matches, and comes first in precedence"},
				{Route: 2, Reason: `no header X-Key="1"`},
				{Route: 4, Reason: "matches too, but comes later in precedence"},
				{Route: 0, Reason: "matches too, but comes later in precedence"},
			},
		},
		{
			name:    "wildcard and another path",
			request: route.Request{Method: "GET", Host: "a.example.com", Path: "/x"},
			want: []route.Step{
				{Route: 4, Reason: "path /x does not start with /ws/; no query parameter v"},
				{Route: 0, Takes: true, Reason: "matches, and comes first in precedence"},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := table.Explain(&tt.request)
			if !slices.Equal(got, tt.want) {
				t.Errorf("Explain(%+v) =\n%+v; want\n%+v", tt.request, got, tt.want)
			}
		})
	}
}

func TestExplainAgreesWithMatch(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 2))
		var patterns []route.Pattern
		for range 1 + r.IntN(30) {
			patterns = append(patterns, randomPattern(r, pick(r, worldHosts), pick(r, worldPaths)))
		}
		table, _ := route.Compile(named(patterns))
		for range 100 {
			q := randomRequest(r)
			m, _ := table.Match(&q)
			taken := ""
			for _, step := range table.Explain(&q) {
				if step.Takes {
					taken += patterns[step.Route].String()
				}
			}
			if taken != m.Value {
				t.Fatalf("seed %d: Explain(%+v) says that %q takes it; Match says %q", seed, q, taken, m.Value)
			}
		}
	}
}

// Of a route with several hosts and paths, the pair that comes nearest speaks for it.
func TestExplainSeveralHostsAndPaths(t *testing.T) {
	table, conflicts := route.Compile(named([]route.Pattern{
		0: {Hosts: []string{"a", "b"}, Paths: []string{"/x/*", "/y"}},
		1: {Hosts: []string{"b", "c"}, Paths: []string{"/y/*", "/*"}},
		2: {Hosts: []string{"d"}, Paths: []string{"/x/y", "/z"}},
	}))
	if len(conflicts) > 0 {
		t.Fatal(conflicts)
	}
	for _, tt := range []struct {
		request route.Request
		want    []route.Step
	}{
		{route.Request{Method: "GET", Host: "b", Path: "/x/y"}, []route.Step{
			{Route: 0, Takes: true, Reason: "matches, and comes first in precedence"},
			{Route: 1, Reason: "matches too, but comes later in precedence"},
			{Route: 2, Reason: `host "b" is not d`},
		}},
		{route.Request{Method: "GET", Host: "c", Path: "/y"}, []route.Step{
			{Route: 0, Reason: `host "c" is not a`},
			{Route: 1, Takes: true, Reason: "matches, and comes first in precedence"},
		}},
	} {
		steps := table.Explain(&tt.request)
		if !slices.Equal(steps, tt.want) {
			t.Errorf("Explain(%+v) = %+v; want %+v", tt.request, steps, tt.want)
		}
	}
}
