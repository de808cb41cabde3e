package route_test

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"sluice/internal/header"
	"sluice/route"
)

// pattern reads "host/path".
func pattern(hostPath string) route.Pattern {
	slash := strings.IndexByte(hostPath, '/')
	return route.Pattern{Hosts: list(hostPath[:slash]), Paths: list(hostPath[slash:])}
}

func TestMatchByHostAndPath(t *testing.T) {
	table, conflicts := route.Compile(named([]route.Pattern{
		pattern("/*"),
		pattern("/ws"),
		pattern("/ws/*"),
		pattern("/ws/deep/er/*"),
		pattern("/café/*"),
		pattern("/a%2fb"),
		pattern("/star/%2a"),
		pattern("/a;b"),
		pattern("/a%3bb"),
		pattern("Example.com/*"),
		pattern("example.com/ws/"),
		pattern("*.example.com/*"),
		pattern("*.b.example.com/*"),
		pattern("only.example.com/here"),
		pattern("[::1]/*"),
	}))
	if len(conflicts) > 0 {
		t.Fatal(conflicts)
	}
	tests := []struct{ name, request, want, rest string }{
		{name: "any host", request: "other.org/", want: "/*", rest: ""},
		{name: "no host", request: "/a/b", want: "/*", rest: "a/b"},
		{name: "exact path", request: "o/ws", want: "/ws"},
		{name: "prefix matches its slash", request: "o/ws/", want: "/ws/*", rest: ""},
		{name: "prefix matches below", request: "o/ws/a/b/", want: "/ws/*", rest: "a/b/"},
		{name: "prefix follows segments", request: "o/wsx", want: "/*", rest: "wsx"},
		{name: "prefix before an empty segment", request: "o/ws//a", want: "/ws/*", rest: "/a"},
		{name: "longest prefix", request: "o/ws/deep/er/x", want: "/ws/deep/er/*", rest: "x"},
		{name: "dead end goes back", request: "o/ws/deep/x", want: "/ws/*", rest: "deep/x"},
		{name: "exact path needs all of it", request: "o/ws/deep/er", want: "/ws/*", rest: "deep/er"},
		{name: "path of the route is normalised", request: "o/caf%C3%A9/x", want: "/caf%C3%A9/*", rest: "x"},
		{name: "escaped slash", request: "o/a%2Fb", want: "/a%2Fb"},
		{name: "slash is not an escaped one", request: "o/a/b", want: "/*", rest: "a/b"},
		{name: "escaped star", request: "o/star/%2A", want: "/star/%2A"},
		{name: "bare star is another path", request: "o/star/*", want: "/*", rest: "star/*"},
		{name: "parameter", request: "o/a;b", want: "/a;b"},
		{name: "escaped semicolon", request: "o/a%3Bb", want: "/a%3Bb"},
		{name: "literal star is no prefix", request: "o/star/x", want: "/*", rest: "star/x"},
		{name: "exact host", request: "example.com/ws", want: "example.com/*", rest: "ws"},
		{name: "exact path before prefix", request: "example.com/ws/", want: "example.com/ws/"},
		{name: "wildcard", request: "a.example.com/", want: "*.example.com/*"},
		{name: "wildcard at any depth", request: "x.y.z.example.com/", want: "*.example.com/*"},
		{name: "longest wildcard", request: "x.b.example.com/", want: "*.b.example.com/*"},
		{name: "wildcard is only for names below", request: "b.example.com/", want: "*.example.com/*"},
		{name: "wildcard follows labels", request: "anexample.com/", want: "/*"},
		{name: "exact host without this path falls back to the wildcard", request: "only.example.com/there", want: "*.example.com/*", rest: "there"},
		{name: "IPv6", request: "::1/", want: "[::1]/*"},
		{name: "asterisk form", request: "example.com*", want: ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i := strings.IndexAny(tt.request, "/*")
			r := &route.Request{Method: "GET", Host: tt.request[:i], Path: tt.request[i:]}
			m, miss := table.Match(r)
			if m.Value != tt.want || m.Rest != tt.rest || (miss == route.None) != (tt.want != "") {
				t.Errorf("Match(%s) = %q, rest %q, miss %d; want %q, rest %q", tt.request, m.Value, m.Rest, miss, tt.want, tt.rest)
			}
		})
	}
}

func TestMatchByConditions(t *testing.T) {
	table, conflicts := route.Compile([]route.Entry[string]{
		{Pattern: route.Pattern{Paths: []string{"/*"}}, Value: "any"},
		{Pattern: route.Pattern{Paths: []string{"/*"}, Protocol: "websocket"}, Value: "websocket"},
		{Pattern: route.Pattern{Paths: []string{"/*"}, Methods: []string{"GET", "PURGE"}}, Value: "get or purge"},
		{Pattern: route.Pattern{Paths: []string{"/*"}, Methods: []string{"PURGE"}}, Value: "purge"},
		{Pattern: route.Pattern{Paths: []string{"/h/*"}, Headers: map[string]string{"x-api": "*"}}, Value: "header"},
		{Pattern: route.Pattern{Paths: []string{"/h/*"}, Headers: map[string]string{"X-API": "2"}}, Value: "header 2"},
		{Pattern: route.Pattern{Paths: []string{"/h/*"}, Headers: map[string]string{"x-api": "*", "x-b": "*"}}, Value: "headers"},
		{Pattern: route.Pattern{Paths: []string{"/q/*"}, Query: map[string]string{"a b": "*"}}, Value: "query"},
		{Pattern: route.Pattern{Paths: []string{"/q/*"}, Query: map[string]string{"a b": "é&"}}, Value: "query é&"},
		{Pattern: route.Pattern{Paths: []string{"/q/*"}, Query: map[string]string{"empty": ""}}, Value: "query empty"},
	})
	if len(conflicts) > 0 {
		t.Fatal(conflicts)
	}
	header := func(kv ...string) header.Fields {
		h := http.Header{}
		for i := 0; i < len(kv); i += 2 {
			h.Add(kv[i], kv[i+1])
		}
		return header.FromHTTP(h)
	}
	tests := []struct {
		name    string
		request route.Request
		want    string
	}{
		{name: "no condition", request: route.Request{Method: "POST", Path: "/"}, want: "any"},
		{name: "method", request: route.Request{Method: "GET", Path: "/"}, want: "get or purge"},
		{name: "GET covers HEAD", request: route.Request{Method: "HEAD", Path: "/"}, want: "get or purge"},
		{name: "method in another case", request: route.Request{Method: "get", Path: "/"}, want: "any"},
		{name: "fewer methods first", request: route.Request{Method: "PURGE", Path: "/"}, want: "purge"},
		{name: "protocol before method", request: route.Request{Method: "GET", Path: "/", WebSocket: true}, want: "websocket"},
		{name: "handshake over HTTP/2", request: route.Request{Method: "CONNECT", Path: "/", WebSocket: true}, want: "websocket"},
		{name: "header with any value", request: route.Request{Path: "/h/", Header: header("X-Api", "")}, want: "header"},
		{name: "exact header value first", request: route.Request{Path: "/h/", Header: header("X-Api", "2")}, want: "header 2"},
		{name: "any of the header's values", request: route.Request{Path: "/h/", Header: header("X-Api", "1", "X-Api", "2")}, want: "header 2"},
		{name: "more headers first", request: route.Request{Path: "/h/", Header: header("X-Api", "2", "X-B", "1")}, want: "headers"},
		{name: "failed conditions fall back to a shorter prefix", request: route.Request{Path: "/h/", Header: header("X-B", "1")}, want: "any"},
		{name: "parameter with any value", request: route.Request{Path: "/q/", Query: "x=1&a%20b=2"}, want: "query"},
		{name: "parameter without a value", request: route.Request{Path: "/q/", Query: "a+b"}, want: "query"},
		{name: "parameter with this value", request: route.Request{Path: "/q/", Query: "a+b=1&a+b=%C3%A9%26"}, want: "query é&"},
		{name: "empty value without an equals sign", request: route.Request{Path: "/q/", Query: "&&empty&"}, want: "query empty"},
		{name: "empty value is not another", request: route.Request{Path: "/q/", Query: "empty=x"}, want: "any"},
		{name: "name that only begins like it", request: route.Request{Path: "/q/", Query: "a+bc=1&a+=b"}, want: "any"},
		{name: "broken escape in a name", request: route.Request{Path: "/q/", Query: "a%2b=1&a%2=1&a+b%=1"}, want: "any"},
		{name: "broken escape in a value", request: route.Request{Path: "/q/", Query: "empty=%&empty=%zz"}, want: "any"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if m, miss := table.Match(&tt.request); m.Value != tt.want || miss != route.None {
				t.Errorf("Match(%+v) = %q, miss %d; want %q", tt.request, m.Value, miss, tt.want)
			}
		})
	}
}

func TestMiss(t *testing.T) {
	table, conflicts := route.Compile(named([]route.Pattern{
		{Hosts: []string{"a"}, Paths: []string{"/ws"}, Protocol: "websocket"},
		{Hosts: []string{"a"}, Paths: []string{"/page"}, Protocol: "http", Methods: []string{"GET"}},
		{Hosts: []string{"a"}, Paths: []string{"/page"}, Methods: []string{"PUT"}, Query: map[string]string{"k": "*"}},
		{Hosts: []string{"a"}, Paths: []string{"/post/*"}, Methods: []string{"POST", "DELETE"}},
		{Hosts: []string{"a"}, Paths: []string{"/key"}, Headers: map[string]string{"Key": "1"}, Methods: []string{"POST"}},
		{Hosts: []string{"a"}, Paths: []string{"/near/*"}, Protocol: "websocket"},
		{Hosts: []string{"a"}, Paths: []string{"/near/er"}, Methods: []string{"POST"}},
		{Hosts: []string{"*.b"}, Paths: []string{"/ws"}, Methods: []string{"PUT"}},
	}))
	if len(conflicts) > 0 {
		t.Fatal(conflicts)
	}
	tests := []struct {
		name    string
		request route.Request
		want    route.Miss
		allowed []string
	}{
		{name: "host", request: route.Request{Method: "GET", Host: "z", Path: "/ws"}, want: route.NotFound},
		{name: "path", request: route.Request{Method: "GET", Host: "a", Path: "/wsx"}, want: route.NotFound},
		{name: "plain request for a WebSocket route", request: route.Request{Method: "GET", Host: "a", Path: "/ws"}, want: route.UpgradeRequired},
		{name: "the same by POST", request: route.Request{Method: "POST", Host: "a", Path: "/ws"}, want: route.UpgradeRequired},
		{name: "handshake for a plain route", request: route.Request{Method: "GET", Host: "a", Path: "/page", WebSocket: true}, want: route.NotFound},
		{name: "method", request: route.Request{Method: "GET", Host: "a", Path: "/post/"}, want: route.MethodNotAllowed, allowed: []string{"DELETE", "POST"}},
		{name: "GET allows HEAD", request: route.Request{Method: "POST", Host: "a", Path: "/page"}, want: route.MethodNotAllowed, allowed: []string{"GET", "HEAD"}},
		{name: "all that would match count", request: route.Request{Method: "POST", Host: "a", Path: "/page", Query: "k=1"}, want: route.MethodNotAllowed, allowed: []string{"GET", "HEAD", "PUT"}},
		{name: "handshake where only others methods are", request: route.Request{Method: "GET", Host: "a", Path: "/post/", WebSocket: true}, want: route.MethodNotAllowed, allowed: []string{"DELETE", "POST"}},
		{name: "header and method", request: route.Request{Method: "GET", Host: "a", Path: "/key"}, want: route.NotFound},
		{name: "header", request: route.Request{Method: "POST", Host: "a", Path: "/key"}, want: route.NotFound},
		{name: "the most specific decides", request: route.Request{Method: "GET", Host: "a", Path: "/near/er"}, want: route.MethodNotAllowed, allowed: []string{"POST"}},
		{name: "wildcard", request: route.Request{Method: "GET", Host: "a.b", Path: "/ws"}, want: route.MethodNotAllowed, allowed: []string{"PUT"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if m, miss := table.Match(&tt.request); miss != tt.want {
				t.Errorf("Match(%+v) = %q, miss %d; want miss %d", tt.request, m.Value, miss, tt.want)
			}
			if got := table.Allowed(&tt.request); !slices.Equal(got, tt.allowed) {
				t.Errorf("Allowed(%+v) = %q; want %q", tt.request, got, tt.allowed)
			}
		})
	}
}

func TestMatchAgreesWithTheReferenceInAnyFileOrder(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		var patterns []route.Pattern
		for range 1 + r.IntN(30) {
			patterns = append(patterns, randomPattern(r, pick(r, worldHosts), pick(r, worldPaths)))
		}
		ref := newReference(patterns)
		table, _ := route.Compile(named(patterns))
		r.Shuffle(len(patterns), func(i, j int) { patterns[i], patterns[j] = patterns[j], patterns[i] })
		shuffled, _ := route.Compile(named(patterns))
		for range 300 {
			q := randomRequest(r)
			want, rest, miss := ref.match(q)
			for _, table := range []*route.Table[string]{table, shuffled} {
				if m, got := table.Match(&q); m.Value != want || m.Rest != rest || got != miss {
					t.Fatalf("seed %d: Match(%+v) = %q, rest %q, miss %d; want %q, rest %q, miss %d", seed, q, m.Value, m.Rest, got, want, rest, miss)
				}
			}
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	table, _ := route.Compile(manyRoutes())
	for _, tt := range manyRequests() {
		t.Run(tt.name, func(t *testing.T) {
			if n := testing.AllocsPerRun(100, func() { table.Match(&tt.request) }); n != 0 {
				t.Errorf("Match(%+v) allocates %v times; want 0", tt.request, n)
			}
		})
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("*.Example.com", "/a/../b/*", "X-Y", "1", "k v", "é", "a.example.com", "/b/%2e/c", "k+v=%C3%A9&z", "1")
	f.Add("[::1]", "/%2a", "x", "*", "k", "*", "[0::1]:80", "/%2A", "k", "")
	f.Add("", "", "x", "", "k", "", "", "/", "%=&k=", "")
	f.Fuzz(func(t *testing.T, host, path, name, value, key, query, askedHost, askedPath, askedQuery, askedValue string) {
		p := route.Pattern{
			Hosts:   list(host),
			Paths:   list(path),
			Headers: map[string]string{name: value},
			Query:   map[string]string{key: query},
		}
		table, conflicts := route.Compile([]route.Entry[int]{{Pattern: p}})
		if len(conflicts) > 0 {
			return
		}
		q := route.Request{Method: "GET", Query: askedQuery, Header: header.FromHTTP(http.Header{http.CanonicalHeaderKey(name): {askedValue}})}
		var err1, err2 error
		q.Host, err1 = route.CleanHost(askedHost)
		q.Path, err2 = route.Clean(askedPath)
		if err1 != nil || err2 != nil {
			return
		}

		// The reference takes only hosts and paths in canonical form.
		clean := p
		wildcard := ""
		if rest, ok := strings.CutPrefix(host, "*."); ok {
			wildcard, host = "*.", rest
		}
		prefix := ""
		if path == "" {
			path = "/*"
		}
		if strings.HasSuffix(path, "/*") {
			prefix, path = "*", strings.TrimSuffix(path, "*")
		}
		if host, err1 = route.CleanHost(host); err1 != nil {
			t.Fatalf("Compile(%+v) took a host that is not clean: %v", p, err1)
		}
		if path, err2 = route.Clean(path); err2 != nil {
			t.Fatalf("Compile(%+v) took a path that is not clean: %v", p, err2)
		}
		clean.Hosts, clean.Paths = list(wildcard+host), list(path+prefix)
		if p.String() != clean.String() {
			t.Errorf("%+v is %q, and its canonical form %q", p, p, clean)
		}
		rest, want := meets(clean, q)
		if m, miss := table.Match(&q); (miss == route.None) != want || want && m.Rest != rest {
			t.Errorf("%+v: Match(%+v) = rest %q, miss %d; want %v, rest %q", p, q, m.Rest, miss, want, rest)
		}
	})
}
