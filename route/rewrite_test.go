package route_test

import (
	"strings"
	"testing"

	"sluice/route"
)

func TestRewrite(t *testing.T) {
	tests := []struct {
		name              string
		path, strip, to   string
		clean, rest, want string
		err               string // a part of the error
	}{
		{name: "nothing", path: "/*", clean: "//a//b", rest: "/a//b", want: "//a//b"},
		{name: "strip", path: "/ws/*", strip: "/ws", clean: "/ws/a/b", rest: "a/b", want: "/a/b"},
		{name: "strip with a slash", path: "/ws/*", strip: "/ws/", clean: "/ws/a", rest: "a", want: "/a"},
		{name: "strip leaves the root", path: "/ws/*", strip: "/ws", clean: "/ws/", rest: "", want: "/"},
		{name: "strip all of an exact path", path: "/ws", strip: "/ws", clean: "/ws", want: "/"},
		{name: "strip a part", path: "/a/b/*", strip: "/a", clean: "/a/b/c", rest: "c", want: "/b/c"},
		{name: "strip the root", path: "/*", strip: "/", clean: "/a", rest: "a", want: "/a"},
		{name: "strip in another spelling", path: "/caf%C3%A9/*", strip: "/café", clean: "/caf%C3%A9/a", rest: "a", want: "/a"},
		{name: "strip an escaped delimiter", path: "/a%3bb/*", strip: "/a%3Bb", clean: "/a%3Bb/c", rest: "c", want: "/c"},
		{name: "strip a delimiter that the path has escaped", path: "/a%3Bb/*", strip: "/a;b", err: "not a beginning"},
		{name: "rewrite keeps delimiters", path: "/*", to: "/x;y%3bz/*", clean: "/a%2Bb+c", rest: "a%2Bb+c", want: "/x;y%3Bz/a%2Bb+c"},
		{name: "strip never makes a host", path: "/ws/*", strip: "/ws", clean: "/ws///evil.example", rest: "//evil.example", want: "/evil.example"},
		{name: "rewrite", path: "/old", to: "/new", clean: "/old", want: "/new"},
		{name: "rewrite with rest", path: "/old/*", to: "/new/*", clean: "/old/a/b", rest: "a/b", want: "/new/a/b"},
		{name: "rewrite without rest", path: "/old/*", to: "/new", clean: "/old/a", rest: "a", want: "/new"},
		{name: "rewrite within a segment", path: "/old/*", to: "/new-*", clean: "/old/a", rest: "a", want: "/new-a"},
		{name: "rewrite is normalised", path: "/old/*", to: "/x/../né%2a/*", clean: "/old/a", rest: "a", want: "/n%C3%A9%2A/a"},
		{name: "rewrite never makes a host", path: "/old/*", to: "/*", clean: "/old//evil.example", rest: "/evil.example", want: "/evil.example"},

		{name: "bad path", path: "/%zz", strip: "/a", err: `"%zz"`},
		{name: "both", path: "/a/*", strip: "/a", to: "/b", err: "exclude each other"},
		{name: "strip within a segment", path: "/wsx/*", strip: "/ws", err: "ends at a '/'"},
		{name: "strip more than the path", path: "/ws/*", strip: "/ws/a", err: "not a beginning"},
		{name: "strip the slash of a prefix", path: "/ws/*", strip: "/ws//", err: "not a beginning"},
		{name: "strip the slash of the root", path: "/*", strip: "//", err: "not a beginning"},
		{name: "strip with a star", path: "/ws/*", strip: "/ws/*", err: "not a beginning"},
		{name: "strip with a bad escape", path: "/ws/*", strip: "/%zz", err: `"%zz"`},
		{name: "rewrite to a relative path", path: "/ws/*", to: "a/*", err: "does not start with '/'"},
		{name: "rewrite to a host", path: "/ws/*", to: "//a/*", err: "reads as a host"},
		{name: "rewrite with a star before the end", path: "/ws/*", to: "/*/a", err: "not its end"},
		{name: "rewrite of an exact path with a star", path: "/ws", to: "/a/*", err: "could stand for"},
		{name: "rewrite with a dot before the star", path: "/ws/*", to: "/a/.*", err: "dot segment"},
		{name: "rewrite with escaped dots before the star", path: "/ws/*", to: "/a/.%2e*", err: "dot segment"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, err := route.NewRewrite([]string{tt.path}, tt.strip, tt.to)
			if !says(err, tt.err) {
				t.Fatalf("NewRewrite(%q, %q, %q) = %v; want error %q", tt.path, tt.strip, tt.to, err, tt.err)
			}
			if err != nil {
				return
			}
			if got := w.Path(tt.clean, tt.rest, route.Variables{}); got != tt.want {
				t.Errorf("NewRewrite(%q, %q, %q).Path(%q, %q) = %q; want %q", tt.path, tt.strip, tt.to, tt.clean, tt.rest, got, tt.want)
			}
		})
	}
}

// FuzzRewrite: a rewritten path is clean, and no client and no backend takes it for a host.
func FuzzRewrite(f *testing.F) {
	f.Add("/ws/*", "/ws", "", "/ws//a/%2e")
	f.Add("/a/b/*", "", "/.%2e/x-*", "/a/b/..;/c")
	f.Add("/*", "", "/.*", "/./.")
	f.Add("/x", "/x", "", "/x")
	f.Fuzz(func(t *testing.T, pattern, strip, to, asked string) {
		p := route.Pattern{Paths: []string{pattern}}
		w, err := route.NewRewrite(p.Paths, strip, to)
		if err != nil {
			return
		}
		table, conflicts := route.Compile([]route.Entry[route.Rewrite]{{Pattern: p, Value: w}})
		if len(conflicts) > 0 {
			return
		}
		path, err := route.Clean(asked)
		if err != nil {
			return
		}
		m, miss := table.Match(&route.Request{Path: path})
		if miss != route.None {
			return
		}
		got := m.Value.Path(path, m.Rest, m.Variables)
		if clean, err := route.Clean(got); clean != got || err != nil {
			t.Errorf("NewRewrite(%q, %q, %q).Path(%q, %q) = %q; clean it is %q, %v", pattern, strip, to, path, m.Rest, got, clean, err)
		}
		if got != path && strings.HasPrefix(got, "//") {
			t.Errorf("NewRewrite(%q, %q, %q).Path(%q, %q) = %q, which reads as a host", pattern, strip, to, path, m.Rest, got)
		}
	})
}
