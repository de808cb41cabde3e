package route_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"sluice/route"
)

func TestClean(t *testing.T) {
	tests := []struct {
		name, in, want string
		err            string // a part of the error
	}{
		{name: "root", in: "/", want: "/"},
		{name: "clean path", in: "/a/b-._~!$&'()*+,;=:@/c", want: "/a/b-._~!$&'()*+,;=:@/c"},
		{name: "trailing slash is kept", in: "/a/", want: "/a/"},
		{name: "empty segments are kept", in: "//a///b//", want: "//a///b//"},
		{name: "dot", in: "/a/./b", want: "/a/b"},
		{name: "dot at the end", in: "/a/.", want: "/a/"},
		{name: "dot dot", in: "/a/b/../c", want: "/a/c"},
		{name: "dot dot at the end", in: "/a/b/..", want: "/a/"},
		{name: "dot dot above the root", in: "/../../a", want: "/a"},
		{name: "only dot dot", in: "/..", want: "/"},
		{name: "only dot", in: "/.", want: "/"},
		{name: "dot dot takes back one empty segment", in: "/a//../b", want: "/a/b"},
		{name: "dots within a name", in: "/.a/..b/c../...", want: "/.a/..b/c../..."},
		{name: "escaped dot", in: "/a/%2e/b", want: "/a/b"},
		{name: "escaped dot dot", in: "/a/%2E%2e/b", want: "/b"},
		{name: "half escaped dot dot", in: "/a/.%2e", want: "/"},
		{name: "twice escaped dot is data", in: "/a/%252e%252e/b", want: "/a/%252e%252e/b"},
		{name: "escaped slash is data", in: "/a%2fb", want: "/a%2Fb"},
		{name: "escaped slash around dots is data", in: "/a/..%2f..%2fb", want: "/a/..%2F..%2Fb"},
		{name: "backslash is data", in: `/a\..\b`, want: "/a%5C..%5Cb"},
		{name: "escaped backslash is data", in: "/a%5c..%5Cb", want: "/a%5C..%5Cb"},
		{name: "parameter after dots is data", in: "/a/..;/b", want: "/a/..;/b"},
		{name: "needless escape", in: "/%61%2D%7e%5F%39", want: "/a-~_9"},
		{name: "escaped delimiters stay escaped", in: "/a%3bb%2B%26%3d%40%3A%21%24%27%28%29%2a%2c%5b%5D%3f%23", want: "/a%3Bb%2B%26%3D%40%3A%21%24%27%28%29%2A%2C%5B%5D%3F%23"},
		{name: "bare delimiters stay bare", in: "/%61;b+&=@:!$'()*,[]", want: "/a;b+&=@:!$'()*,[]"},
		{name: "parameters behind escaped dots are data", in: "/a/%2e%2e;/%2e%3B/b", want: "/a/..;/.%3B/b"},
		{name: "lower-case escape", in: "/caf%c3%a9", want: "/caf%C3%A9"},
		{name: "raw UTF-8", in: "/café", want: "/caf%C3%A9"},
		{name: "not UTF-8", in: "/\xff%fe", want: "/%FF%FE"},
		{name: "bytes that stand in no path", in: "/a b?c#d\"<>^`{|}", want: "/a%20b%3Fc%23d%22%3C%3E%5E%60%7B%7C%7D"},
		{name: "escaped control character", in: "/%0a%7f", want: "/%0A%7F"},

		{name: "empty", in: "", err: "does not start with '/'"},
		{name: "relative", in: "a/b", err: "does not start with '/'"},
		{name: "asterisk form", in: "*", err: "does not start with '/'"},
		{name: "absolute form", in: "http://a/b", err: "does not start with '/'"},
		{name: "not hexadecimal", in: "/a%zz/b", err: `"%zz"`},
		{name: "escape cut by the end", in: "/a%2", err: `"%2"`},
		{name: "escape cut by a slash", in: "/a%2/f", err: `"%2"`},
		{name: "bare percent", in: "/100%", err: `"%"`},
		{name: "raw NUL", in: "/a\x00", err: "NUL"},
		{name: "escaped NUL", in: "/a%00", err: "NUL"},
		{name: "raw line feed", in: "/a\nb", err: "0x0a"},
		{name: "raw DEL", in: "/a\x7f", err: "0x7f"},
		{name: "bad escape in a segment that dots remove", in: "/%zz/..", err: `"%zz"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := route.Clean(tt.in)
			if got != tt.want || !says(err, tt.err) {
				t.Errorf("Clean(%q) = %q, %v; want %q, error %q", tt.in, got, err, tt.want, tt.err)
			}
		})
	}
}

func TestCleanReturnsACleanPathWithoutAllocation(t *testing.T) {
	path := "/.well-known/..a/.../caf%C3%A9/a%2Fb/" + strings.Repeat("x/", 100)
	if n := testing.AllocsPerRun(100, func() { route.Clean(path) }); n != 0 {
		t.Errorf("Clean(%q) allocates %v times; want 0", path, n)
	}
}

// says reports whether the text of err has want in it; for an empty want, whether err is nil.
func says(err error, want string) bool {
	if want == "" || err == nil {
		return want == "" && err == nil
	}
	return strings.Contains(err.Error(), want)
}

// segments splits a path, then decodes and resolves its segments one by one: slow and plain. It fails
// for the paths that Clean has to refuse.
func segments(escaped string) ([]string, bool) {
	if !strings.HasPrefix(escaped, "/") || strings.ContainsFunc(escaped, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, false
	}
	var stack []string
	all := strings.Split(escaped[1:], "/")
	for i, s := range all {
		s, err := url.PathUnescape(s)
		if err != nil || strings.Contains(s, "\x00") {
			return nil, false
		}
		dots := s == "." || s == ".."
		if s == ".." && len(stack) > 0 {
			stack = stack[:len(stack)-1]
		}
		if !dots {
			stack = append(stack, s)
		} else if i == len(all)-1 {
			stack = append(stack, "")
		}
	}
	return stack, true
}

// delimiters are the reserved characters that may stand in a segment.
const delimiters = "!$&'()*+,;=:@[]"

func FuzzClean(f *testing.F) {
	for _, seed := range []string{"/", "/a/../b", "//%2e%2E/.", "/a;b%3Bc/..;/%2a*", "/..%2f%5C\\/%00", "/%7e%c3%A9é/%25", "/a//..//.", "*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		want, ok := segments(in)
		out, err := route.Clean(in)
		if ok != (err == nil) {
			t.Fatalf("Clean(%q) = %q, %v; the reference says %q, %v", in, out, err, want, ok)
		}
		if err != nil {
			return
		}
		var got []string
		for _, s := range strings.Split(out[1:], "/") {
			s, err := url.PathUnescape(s)
			if err != nil || s == "." || s == ".." {
				t.Fatalf("Clean(%q) = %q with segment %q, %v", in, out, s, err)
			}
			got = append(got, s)
		}
		if !slices.Equal(got, want) {
			t.Errorf("Clean(%q) = %q with segments %q; want %q", in, out, got, want)
		}
		if again, err := route.Clean(out); again != out || err != nil {
			t.Errorf("Clean(%q) = %q, and of that %q, %v", in, out, again, err)
		}
		// To escape a character makes another path if the character is reserved, and only then.
		var b strings.Builder
		for rest := out; rest != ""; {
			n := 1
			switch c := rest[0]; {
			case c == '%':
				n = len("%XX")
				b.WriteString(strings.ToLower(rest[:n]))
			case c == '/' || strings.IndexByte(delimiters, c) >= 0:
				b.WriteByte(c)
			default:
				fmt.Fprintf(&b, "%%%02x", c)
			}
			rest = rest[n:]
		}
		if other, err := route.Clean(b.String()); other != out || err != nil {
			t.Errorf("Clean(%q) = %q, %v; want %q as of %q", b.String(), other, err, out, in)
		}
		// Dot segments may remove reserved characters; nothing else may change them.
		for _, c := range delimiters {
			escaped := fmt.Sprintf("%%%02X", c)
			if bare, of := strings.Count(out, string(c)), strings.Count(in, string(c)); bare > of {
				t.Errorf("Clean(%q) = %q has %d bare %q, of %d", in, out, bare, c, of)
			}
			if n, of := strings.Count(out, escaped), strings.Count(strings.ToUpper(in), escaped); n > of {
				t.Errorf("Clean(%q) = %q has %d escaped %q, of %d", in, out, n, c, of)
			}
		}
	})
}
