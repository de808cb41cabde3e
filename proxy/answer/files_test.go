package answer

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/message"
)

const secret = "SECRET"

// tree makes a directory with a secret beside it, hidden names and links in it.
func tree(t testing.TB) string {
	t.Helper()
	top := t.TempDir()
	for name, text := range map[string]string{
		"secret.txt":                secret,
		"root/index.html":           "root index",
		"root/a.txt":                "0123456789",
		"root/app.html":             "the app",
		"root/docs/index.html":      "docs index",
		"root/docs/a b.txt":         "space",
		"root/empty/x.txt":          "x",
		"root/odd/index.html/x":     "x",
		"root/.env":                 secret,
		"root/.git/config":          secret,
		"root/.well-known/x.txt":    "well known",
		"root/.well-known/acme/a":   "token",
		"root/.well-known/.secret":  secret,
		"root/.well-known/a/.b/c":   secret,
		"root/docs/.well-known/x":   secret,
		"root/.well-known2/x":       secret,
		"root/docs/.htpasswd":       secret,
		"root/..2024/mounted.txt":   "mounted",
		"root/releases/1/index.htm": "release",
		"root/100%.txt":             "percent",
		"root/no extension":         "<html><script>",
	} {
		file := filepath.Join(top, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"out.txt":         "../secret.txt",
		"absolute.txt":    filepath.Join(top, "secret.txt"),
		"up":              "..",
		"env.txt":         ".env",
		"git":             ".git",
		"twice.txt":       "docs/../env.txt",
		"htpasswd.txt":    "docs/.htpasswd",
		"through":         "current/../../.git",
		"current":         "releases/1",
		"here":            ".",
		"alias.txt":       "current/../../a.txt",
		"loop.txt":        "loop.txt",
		"dangling.txt":    "nothing",
		"..data":          "..2024",
		"mounted.txt":     "..data/mounted.txt",
		"docs/parent.txt": "../a.txt",

		".well-known/app.txt":    "../a.txt",
		".well-known/env.txt":    "../.env",
		".well-known/out.txt":    "../../secret.txt",
		".well-known/hidden.txt": ".secret",
		"known.txt":              ".well-known/x.txt",
		"docs/known.txt":         ".well-known/x",
	} {
		if err := os.Symlink(target, filepath.Join(top, "root", filepath.FromSlash(name))); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(top, "root")
}

func newFiles(t testing.TB, root, index, fallback string) *Files {
	t.Helper()
	f, err := NewFiles(root, index, fallback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// get serves name to a request whose public path is name too.
func get(f *Files, name string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.Serve(w, asMessage(&http.Request{Method: "GET", URL: publicURL(name), Header: http.Header{}}), "id", name)
	return w
}

func publicURL(escaped string) *url.URL {
	u := &url.URL{Path: escaped}
	if plain, err := url.PathUnescape(escaped); err == nil {
		u.Path, u.RawPath = plain, escaped
	}
	return u
}

func TestFiles(t *testing.T) {
	f := newFiles(t, tree(t), "index.html", "")
	tests := []struct {
		name, path string
		status     int    // 0 means 200
		want       string // body, or Location
	}{
		{name: "root", path: "/", want: "root index"},
		{name: "nothing left after a prefix", path: "", want: "root index"},
		{name: "file", path: "/a.txt", want: "0123456789"},
		{name: "index", path: "/docs/", want: "docs index"},
		{name: "index by its name", path: "/docs/index.html", want: "docs index"},
		{name: "escaped space", path: "/docs/a%20b.txt", want: "space"},
		{name: "escaped percent", path: "/100%25.txt", want: "percent"},
		{name: "escaped letters", path: "/%61.txt", want: "0123456789"},
		{name: "directory without its slash", path: "/docs", status: 301, want: "/docs/"},
		{name: "link to a directory without its slash", path: "/current", status: 301, want: "/current/"},
		{name: "link in the tree", path: "/alias.txt", want: "0123456789"},
		{name: "link to a directory", path: "/here/docs/", want: "docs index"},
		{name: "link upwards in the tree", path: "/docs/parent.txt", want: "0123456789"},
		{name: "volume of Kubernetes", path: "/mounted.txt", want: "mounted"},

		{name: "missing", path: "/b.txt", status: 404},
		{name: "missing below a file", path: "/a.txt/b", status: 404},
		{name: "file with a slash", path: "/a.txt/", status: 404},
		{name: "directory without an index", path: "/empty/", status: 404},
		{name: "index that is a directory", path: "/odd/", status: 404},
		{name: "dangling link", path: "/dangling.txt", status: 404},
		{name: "link to itself", path: "/loop.txt", status: 404},
		{name: "name too long", path: "/" + strings.Repeat("a", 5000), status: 404},

		{name: "dot file", path: "/.env", status: 404},
		{name: "escaped dot file", path: "/%2eenv", status: 404},
		{name: "dot file below", path: "/docs/.htpasswd", status: 404},
		{name: "dot directory", path: "/.git/config", status: 404},
		{name: "dot directory itself", path: "/.git", status: 404},
		{name: "well-known", path: "/.well-known/x.txt", want: "well known"},
		{name: "well-known below", path: "/.well-known/acme/a", want: "token"},
		{name: "well-known, escaped", path: "/%2Ewell-known/x.txt", want: "well known"},
		{name: "well-known, a link", path: "/.well-known/app.txt", want: "0123456789"},
		{name: "well-known, through a link", path: "/known.txt", want: "well known"},
		{name: "well-known, no such file", path: "/.well-known/y.txt", status: 404},
		{name: "well-known, no index", path: "/.well-known/", status: 404},
		{name: "well-known, dot file below", path: "/.well-known/.secret", status: 404},
		{name: "well-known, dot directory below", path: "/.well-known/a/.b/c", status: 404},
		{name: "well-known, twice", path: "/.well-known/.well-known/x.txt", status: 404},
		{name: "well-known, a link to a dot file", path: "/.well-known/env.txt", status: 404},
		{name: "well-known, a link to a dot file beside it", path: "/.well-known/hidden.txt", status: 404},
		{name: "well-known, a link out", path: "/.well-known/out.txt", status: 404},
		{name: "well-known, not at the top", path: "/docs/.well-known/x", status: 404},
		{name: "well-known, not at the top, through a link", path: "/docs/known.txt", status: 404},
		{name: "well-known, not at the top, through a link to it", path: "/here/.well-known/x.txt", status: 404},
		{name: "well-known, only nearly", path: "/.well-known2/x", status: 404},
		{name: "volume of Kubernetes by its name", path: "/..data/mounted.txt", status: 404},
		{name: "link to a dot file", path: "/env.txt", status: 404},
		{name: "link to a link to a dot file", path: "/twice.txt", status: 404},
		{name: "link to a dot file below", path: "/htpasswd.txt", status: 404},
		{name: "link to a dot directory", path: "/git/config", status: 404},
		{name: "link through a link to a dot directory", path: "/through/config", status: 404},
		{name: "link out", path: "/out.txt", status: 404},
		{name: "link out by an absolute path", path: "/absolute.txt", status: 404},
		{name: "directory link out", path: "/up/secret.txt", status: 404},
		{name: "dots", path: "/../secret.txt", status: 404},
		{name: "escaped dots", path: "/%2e%2e/secret.txt", status: 404},
		{name: "dots inside", path: "/docs/../../secret.txt", status: 404},
		{name: "escaped slash", path: "/docs%2Findex.html", status: 404},
		{name: "escaped slash with dots", path: "/..%2Fsecret.txt", status: 404},
		{name: "escaped backslash with dots", path: "/docs%5C..%5C..%5Csecret.txt", status: 404},
		{name: "NUL", path: "/a.txt%00", status: 404},
		{name: "NUL before an extension", path: "/.env%00.txt", status: 404},
		{name: "drive", path: "/C:/secret.txt", status: 404},
		{name: "stream", path: "/a.txt::$DATA", status: 404},
		{name: "double slash", path: "/docs//index.html", status: 404},
		{name: "leading double slash", path: "//docs", status: 404},
		{name: "malformed escape", path: "/%zz", status: 404},
		{name: "escaped twice", path: "/%252e%252e/secret.txt", status: 404},
		{name: "overlong dots", path: "/%c0%ae%c0%ae/secret.txt", status: 404},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.status == 0 {
				tt.status = 200
			}
			w := get(f, tt.path)
			got := w.Body.String()
			if w.Code == http.StatusMovedPermanently {
				got = w.Header().Get("Location")
			}
			if w.Code != tt.status || (tt.status != 404 && got != tt.want) || strings.Contains(got, secret) {
				t.Errorf("Serve(%q) = %d %q, want %d %q", tt.path, w.Code, got, tt.status, tt.want)
			}
		})
	}
}

func TestFallbackServesWhatIsMissingButNothingHidden(t *testing.T) {
	root := tree(t)
	f := newFiles(t, root, "", "app.html")
	tests := []struct {
		path string
		want string // "" means 404
	}{
		{path: "/a.txt", want: "0123456789"},
		{path: "/items/7", want: "the app"},
		{path: "/items/", want: "the app"},
		{path: "/items/a%2Fb", want: "the app"},
		{path: "/", want: "the app"},
		{path: "/docs/", want: "the app"},
		{path: "/out.txt", want: "the app"},
		{path: "/.well-known/x.txt", want: "well known"},
		{path: "/.well-known/security.txt"},
		{path: "/.well-known/"},
		{path: "/.well-known/x.txt/y"},
		{path: "/.env"},
		{path: "/.git/config"},
		{path: "/env.txt"},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			w := get(f, tt.path)
			if found := w.Code == 200; found != (tt.want != "") || found && w.Body.String() != tt.want {
				t.Errorf("Serve(%q) = %d %q, want %q", tt.path, w.Code, w.Body, tt.want)
			}
		})
	}
	t.Run("missing itself", func(t *testing.T) {
		if w := get(newFiles(t, root, "", "gone.html"), "/x"); w.Code != 404 {
			t.Errorf("got %d, want 404", w.Code)
		}
	})
}

func TestDirectoryRedirectsToThePublicPath(t *testing.T) {
	f := newFiles(t, tree(t), "index.html", "")
	tests := []struct {
		name, public, query, path string
		want                      string // Location; "" means the index
	}{
		{name: "stripped prefix", public: "/site/docs", path: "/docs", want: "/site/docs/"},
		{name: "query", public: "/site/docs", query: "a=1", path: "/docs", want: "/site/docs/?a=1"},
		{name: "escapes stay", public: "/s%2Fite/docs", path: "/docs", want: "/s%2Fite/docs/"},
		{name: "no other host", public: "//evil.test/docs", path: "/docs", want: "/evil.test/docs/"},
		{name: "no other host by a backslash", public: "/%5Cevil.test/docs", path: "/docs", want: "/%5Cevil.test/docs/"},
		{name: "rewritten from a path with a slash", public: "/any/", path: "/docs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := publicURL(tt.public)
			u.RawQuery = tt.query
			w := httptest.NewRecorder()
			f.Serve(w, asMessage(&http.Request{Method: "GET", URL: u, Header: http.Header{}}), "", tt.path)
			if got := w.Header().Get("Location"); got != tt.want || (tt.want == "" && w.Body.String() != "docs index") {
				t.Errorf("Serve(%q) for %q = %d, Location %q, want %q", tt.path, tt.public, w.Code, got, tt.want)
			}
		})
	}
}

func TestFilesOverHTTP(t *testing.T) {
	root := tree(t)
	past := time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)
	if err := os.Chtimes(filepath.Join(root, "a.txt"), past, past); err != nil {
		t.Fatal(err)
	}
	f := newFiles(t, root, "index.html", "")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.Serve(w, asMessage(r), "id", r.URL.EscapedPath())
	}))
	defer server.Close()
	response, _ := request(t, server, "GET", "/a.txt", nil)
	tag, modified := response.Header.Get("ETag"), "Mon, 06 May 2024 07:08:09 GMT"
	if response.Header.Get("Last-Modified") != modified || !strings.HasPrefix(tag, `"`) || response.Header.Get("Accept-Ranges") != "bytes" {
		t.Fatalf("headers are %v", response.Header)
	}
	tests := []struct {
		name, method, path string
		header             http.Header
		status             int
		body               string
		check              http.Header // to find in the answer
	}{
		{name: "HEAD", method: "HEAD", status: 200, check: http.Header{"Content-Length": {"10"}, "Etag": {tag}}},
		{name: "POST", method: "POST", status: 405, body: "*", check: http.Header{"Allow": {"GET, HEAD"}}},
		{name: "OPTIONS", method: "OPTIONS", status: 405, body: "*", check: http.Header{"Allow": {"GET, HEAD"}}},
		{name: "known tag", header: http.Header{"If-None-Match": {tag}}, status: 304, check: http.Header{"Etag": {tag}}},
		{name: "known tag in a list", header: http.Header{"If-None-Match": {`"x", W/` + tag}}, status: 304},
		{name: "other tag", header: http.Header{"If-None-Match": {`"x"`}}, status: 200, body: "0123456789"},
		{name: "not modified", header: http.Header{"If-Modified-Since": {modified}}, status: 304},
		{name: "modified", header: http.Header{"If-Modified-Since": {"Mon, 06 May 2024 07:08:08 GMT"}}, status: 200, body: "0123456789"},
		{name: "precondition", header: http.Header{"If-Match": {`"x"`}}, status: 412, body: "*"},
		{name: "range", header: http.Header{"Range": {"bytes=2-4"}}, status: 206, body: "234", check: http.Header{"Content-Range": {"bytes 2-4/10"}}},
		{name: "last bytes", header: http.Header{"Range": {"bytes=-3"}}, status: 206, body: "789"},
		{name: "range past the end", header: http.Header{"Range": {"bytes=10-"}}, status: 416, body: "*", check: http.Header{"Content-Range": {"bytes */10"}}},
		{name: "resumed", header: http.Header{"Range": {"bytes=8-"}, "If-Range": {tag}}, status: 206, body: "89"},
		{name: "resumed after a change", header: http.Header{"Range": {"bytes=8-"}, "If-Range": {`"x"`}}, status: 200, body: "0123456789"},
		{name: "missing", path: "/none", status: 404, body: "404 Not Found\nThere is no such file.\nRequest: id\n", check: http.Header{"Cache-Control": {"no-store"}}},
		{name: "text that looks like a page", path: "/no%20extension", status: 200, body: "*", check: http.Header{"Content-Type": {"application/octet-stream"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.method == "" {
				tt.method = "GET"
			}
			if tt.path == "" {
				tt.path = "/a.txt"
			}
			response, body := request(t, server, tt.method, tt.path, tt.header)
			if response.StatusCode != tt.status || (tt.body != "*" && body != tt.body) {
				t.Errorf("%s %s %v = %d %q, want %d %q", tt.method, tt.path, tt.header, response.StatusCode, body, tt.status, tt.body)
			}
			for name := range tt.check {
				if got := response.Header.Get(name); got != tt.check.Get(name) {
					t.Errorf("%s is %q, want %q", name, got, tt.check.Get(name))
				}
			}
		})
	}
}

func TestETag(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	changed := time.Unix(1_700_000_000, 500)
	tag := func(text string, changed time.Time, age time.Duration) string {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, changed, changed); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return etag(info, changed.Add(age))
	}
	rest, fresh := tag("abc", changed, time.Minute), tag("abc", changed, time.Second)
	tests := []struct {
		name, got string
		same      bool // as rest
	}{
		{name: "same file later", got: tag("abc", changed, time.Hour), same: true},
		{name: "other size", got: tag("abcd", changed, time.Minute)},
		{name: "other time", got: tag("abc", changed.Add(time.Microsecond), time.Minute)},
		{name: "just changed", got: strings.TrimPrefix(fresh, "W/")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if (tt.got == rest) != tt.same {
				t.Errorf("tag %s and %s: same should be %v", tt.got, rest, tt.same)
			}
		})
	}
	for age, weak := range map[time.Duration]bool{-time.Hour: true, 0: true, settled - 1: true, settled: false} {
		if got := tag("abc", changed, age); strings.HasPrefix(got, "W/") != weak {
			t.Errorf("%v after the change the tag is %s; weak should be %v", age, got, weak)
		}
	}
}

func TestContentTypes(t *testing.T) {
	tests := []struct{ file, want string }{
		{"a.html", "text/html; charset=utf-8"},
		{"a.css", "text/css; charset=utf-8"},
		{"a.js", "text/javascript; charset=utf-8"},
		{"a.JSON", "application/json"},
		{"a.svg", "image/svg+xml"},
		{"a.wasm", "application/wasm"},
		{"a.woff2", "font/woff2"},
		{"a.webmanifest", "application/manifest+json"},
		{"a.js.map", "application/json"},
		{"README", "application/octet-stream"},
		{"a.unheard-of", "application/octet-stream"},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			if got := contentType(tt.file); got != tt.want {
				t.Errorf("contentType(%q) = %q, want %q", tt.file, got, tt.want)
			}
		})
	}
}

func TestNewFilesRefuses(t *testing.T) {
	root := tree(t)
	tests := []struct{ name, root, index, fallback string }{
		{name: "missing root", root: filepath.Join(root, "none")},
		{name: "root is a file", root: filepath.Join(root, "a.txt")},
		{name: "index out of the root", root: root, index: "../secret.txt"},
		{name: "absolute fallback", root: root, fallback: "/etc/passwd"},
		{name: "hidden fallback", root: root, fallback: "docs/.htpasswd"},
		{name: "hidden index", root: root, index: ".env"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if f, err := NewFiles(tt.root, tt.index, tt.fallback); err == nil {
				f.Close()
				t.Error("no error")
			} else if !strings.HasPrefix(err.Error(), "files "+tt.root+": ") {
				t.Errorf("the error does not name the root: %v", err)
			}
		})
	}
}

func TestClosedFilesAreUnavailable(t *testing.T) {
	f := newFiles(t, tree(t), "index.html", "app.html")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if w := get(f, "/a.txt"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("got %d %q, want 503", w.Code, w.Body)
	}
}

// FuzzFiles: no path shows a byte of a hidden file or of a file outside the root, or lists a hidden name.
func FuzzFiles(f *testing.F) {
	for _, seed := range []string{
		"/", "/a.txt", "/docs/", "/.env", "/%2eenv", "/../secret.txt", "/..%2fsecret.txt", "/up/secret.txt", "/git/config",
		"/here/here/.env", "/docs/..%5c..%5csecret.txt", "/env.txt", "/twice.txt", "/through/config", "/out.txt", "/absolute.txt", "/a%00", "//", "/%", "/..data/x",
		"/.well-known/x.txt", "/.well-known/.secret", "/.well-known/env.txt", "/docs/.well-known/x",
	} {
		f.Add(seed)
	}
	files := newFiles(f, tree(f), "", "app.html")
	files.Browse = true
	f.Fuzz(func(t *testing.T, name string) {
		if w := get(files, name); strings.Contains(w.Body.String(), secret) || strings.Contains(w.Body.String(), `href="./.`) {
			t.Fatalf("Serve(%q) shows a secret\n%s", name, w.Body)
		} else if to := w.Header().Get("Location"); strings.HasPrefix(to, "//") {
			t.Fatalf("Serve(%q) redirects to %q", name, to)
		}
	})
}

func BenchmarkFiles(b *testing.B) {
	f := newFiles(b, tree(b), "index.html", "")
	r := asMessage(&http.Request{Method: "GET", URL: publicURL("/docs/index.html"), Header: http.Header{}})
	b.ReportAllocs()
	for b.Loop() {
		f.Serve(httptest.NewRecorder(), r, "", "/docs/index.html")
	}
}

// asMessage returns r as policies see it.
func asMessage(r *http.Request) *message.Request {
	m := message.FromHTTP(r, netip.AddrPort{})
	return &m
}
