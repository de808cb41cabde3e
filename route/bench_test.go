package route_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sluice/internal/header"
	"sluice/route"
)

// manyRoutes returns 10,000 routes: for many hosts and wildcards, with deep paths and conditions, and
// for any host.
func manyRoutes() []route.Entry[int] {
	var entries []route.Entry[int]
	add := func(p route.Pattern) {
		entries = append(entries, route.Entry[int]{Pattern: p, Value: len(entries)})
	}
	for i := range 1000 {
		host := fmt.Sprintf("h%d.example.com", i)
		add(route.Pattern{Hosts: []string{host}})
		add(route.Pattern{Hosts: []string{host}, Paths: []string{"/ws/*"}, Protocol: "websocket"})
		add(route.Pattern{Hosts: []string{host}, Paths: []string{"/api/v1/users"}})
		add(route.Pattern{Hosts: []string{host}, Paths: []string{"/api/v1/users/*"}, Methods: []string{"GET"}})
		add(route.Pattern{Hosts: []string{host}, Paths: []string{"/api/v1/users/*"}, Methods: []string{"POST"}, Headers: map[string]string{"X-Version": "2"}})
		add(route.Pattern{Hosts: []string{host}, Paths: []string{"/api/v1/users/*"}, Query: map[string]string{"key": "v 1"}})
		add(route.Pattern{Hosts: []string{"*." + host}, Paths: []string{"/a/*"}})
		add(route.Pattern{Hosts: []string{"*." + host}, Paths: []string{"/a/b/c/d/e/f/g/h/*"}})
		add(route.Pattern{Paths: []string{fmt.Sprintf("/any/%d", i)}})
		add(route.Pattern{Paths: []string{fmt.Sprintf("/any/%d/*", i)}})
	}
	return entries
}

type namedRequest struct {
	name    string
	request route.Request
}

func manyRequests() []namedRequest {
	header := header.FromHTTP(http.Header{"X-Version": {"1", "2"}, "Accept": {"*/*"}})
	return []namedRequest{
		{"exact", route.Request{Method: "GET", Host: "h500.example.com", Path: "/api/v1/users"}},
		{"prefix", route.Request{Method: "GET", Host: "h500.example.com", Path: "/static/app.js"}},
		{"websocket", route.Request{Method: "GET", Host: "h500.example.com", Path: "/ws/chat", WebSocket: true}},
		{"method", route.Request{Method: "HEAD", Host: "h999.example.com", Path: "/api/v1/users/7"}},
		{"header", route.Request{Method: "POST", Host: "h999.example.com", Path: "/api/v1/users/7", Header: header}},
		{"query", route.Request{Method: "PUT", Host: "h999.example.com", Path: "/api/v1/users/7", Header: header, Query: "a=1&b=2&k%65y=v+1"}},
		{"wildcard", route.Request{Method: "GET", Host: "x.y.h500.example.com", Path: "/a/x"}},
		{"deep", route.Request{Method: "GET", Host: "x.h500.example.com", Path: "/a/b/c/d/e/f/g/h/i/j/k"}},
		{"fall back", route.Request{Method: "GET", Host: "x.h500.example.com", Path: "/any/500/x"}},
		{"miss path", route.Request{Method: "GET", Host: "x.h500.example.com", Path: "/nothing"}},
		{"miss host", route.Request{Method: "GET", Host: "some.other.host.example.org", Path: "/nothing"}},
	}
}

func BenchmarkMatch(b *testing.B) {
	table, _ := route.Compile(manyRoutes())
	for _, bb := range manyRequests() {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Match(&bb.request)
			}
		})
	}
}

// BenchmarkHostile: the time of each request should grow as its length does, and not faster.
func BenchmarkHostile(b *testing.B) {
	deep := strings.Repeat("/a", 4000)
	table, _ := route.Compile([]route.Entry[int]{
		{Pattern: route.Pattern{Paths: []string{deep}, Query: map[string]string{"k": "1"}}},
		{Pattern: route.Pattern{Paths: []string{"//*"}, Query: map[string]string{"k": "1"}}},
		{Pattern: route.Pattern{Paths: []string{strings.Repeat("/", 8000) + "x"}}},
	})
	for _, n := range []int{1000, 8000} {
		for _, bb := range []namedRequest{
			{"slashes", route.Request{Path: strings.Repeat("/", n)}},
			{"segments", route.Request{Path: deep[:n]}},
			{"ampersands", route.Request{Path: "//", Query: strings.Repeat("&", n)}},
			{"parameters", route.Request{Path: "//", Query: strings.Repeat("k=&", n/3)}},
			{"dots", route.Request{Path: strings.Repeat("/a", n/5) + strings.Repeat("/%2e", n/5/2) + strings.Repeat("/..", n/5)}},
		} {
			b.Run(fmt.Sprintf("%s/%d", bb.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					r := bb.request
					r.Path, _ = route.Clean(r.Path)
					table.Match(&r)
				}
			})
		}
	}
}

func BenchmarkClean(b *testing.B) {
	for _, bb := range []struct{ name, path string }{
		{"clean", "/api/v1/users/caf%C3%A9/settings"},
		{"dirty", "/api/./v1/../v1/users/caf%c3%a9/settings"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				route.Clean(bb.path)
			}
		})
	}
}

func BenchmarkCleanHost(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		route.CleanHost("h500.example.com:8443")
	}
}

func BenchmarkCompile(b *testing.B) {
	routes := manyRoutes()
	b.ReportAllocs()
	for b.Loop() {
		route.Compile(routes)
	}
}
