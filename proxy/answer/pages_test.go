package answer

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sluice/internal/header"
	"sluice/internal/message"
)

// pageFiles writes files and returns the directory they are in.
func pageFiles(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func newPages(t testing.TB, dir string, files map[string]string) *Pages {
	t.Helper()
	files = maps.Clone(files)
	for key, name := range files {
		files[key] = filepath.Join(dir, name)
	}
	p, err := NewPages(files)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPages(t *testing.T) {
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	const id, detail = "id<1>", "No \"route\"\n& no <b>."
	dir := pageFiles(t, map[string]string{
		"404.html": `<title>{{status}} {{title}}</title>{{detail}} {{id}} {{id}} {{other}} {{ id }}`,
		"4xx.json": `{"code":{{status}},"why":"{{title}}: {{detail}}","id":"{{id}}"}`,
		"5xx.txt":  "{{status}}{{title}}",
		"503.HTM":  "closed",
	})
	pages := newPages(t, dir, map[string]string{"404": "404.html", "4xx": "4xx.json", "5xx": "5xx.txt", "503": "503.HTM"})
	own := `<title>404 Not Found</title>No &#34;route&#34;` + "\n" + `&amp; no &lt;b&gt;. id&lt;1&gt; id&lt;1&gt; {{other}} {{ id }}`
	tests := []struct {
		name   string
		status int
		accept string
		kind   string
		want   string // the body, or "" for a built-in one
	}{
		{name: "a browser", status: 404, accept: browser, kind: typeHTML, want: own},
		{name: "curl", status: 404, accept: "*/*", kind: typeHTML, want: own},
		{name: "no Accept", status: 404, kind: typeHTML, want: own},
		{name: "JSON from the class", status: 404, accept: "application/json", kind: "application/json",
			want: `{"code":404,"why":"Not Found: No \"route\"\n\u0026 no \u003cb\u003e.","id":"id\u003c1\u003e"}`},
		{name: "JSON before the rest", status: 503, accept: "application/json, */*", kind: typeJSON},
		{name: "text has no page", status: 404, accept: "text/plain", kind: typeText},
		{name: "anything refused", status: 404, accept: "image/png, */*;q=0", kind: typeText},
		{name: "a type that no page has", status: 404, accept: "image/png", kind: typeText},
		{name: "the class for another status", status: 403, accept: "*/*", kind: "application/json",
			want: `{"code":403,"why":"Forbidden: No \"route\"\n\u0026 no \u003cb\u003e.","id":"id\u003c1\u003e"}`},
		{name: "a browser and the class's JSON", status: 403, accept: browser, kind: typeHTML},
		{name: "text", status: 502, accept: "text/plain", kind: typeText, want: "502Bad Gateway"},
		{name: "status before class", status: 503, accept: browser, kind: typeHTML, want: "closed"},
		{name: "then the class", status: 503, accept: "text/plain", kind: typeText, want: "503Service Unavailable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := &message.Request{Method: "GET", Header: header.FromHTTP(http.Header{})}
			if tt.accept != "" {
				r.Header.Set(header.Accept, tt.accept)
			}
			pages.Error(w, r, tt.status, id, detail)
			if tt.want == "" {
				builtin := httptest.NewRecorder()
				(*Pages)(nil).Error(builtin, r, tt.status, id, detail)
				tt.want = builtin.Body.String()
			}
			if h := w.Header(); w.Code != tt.status || w.Body.String() != tt.want || h.Get("Content-Type") != tt.kind || h.Get("Cache-Control") != "no-store" {
				t.Errorf("got %d %v %q, want %s %q", w.Code, h, w.Body, tt.kind, tt.want)
			}
		})
	}
}

func TestNewPagesRefuses(t *testing.T) {
	dir := pageFiles(t, map[string]string{
		"a.html":     "a",
		"a.png":      "a",
		"large.html": strings.Repeat("a", maxPage+1),
		"latin.txt":  "caf\xe9",
		"bad.json":   `{"id":{{id}}}`,
	})
	if err := os.Mkdir(filepath.Join(dir, "dir.html"), 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, key, file, want string }{
		{name: "a success", key: "200", file: "a.html", want: `error page "200": neither`},
		{name: "beyond the errors", key: "600", file: "a.html", want: "neither"},
		{name: "one digit", key: "4", file: "a.html", want: "neither"},
		{name: "two digits", key: "4x", file: "a.html", want: "neither"},
		{name: "a sign", key: "4+1", file: "a.html", want: "neither"},
		{name: "another class", key: "3xx", file: "a.html", want: "neither"},
		{name: "no file", key: "404", file: "b.html", want: "error page 404: "},
		{name: "a directory", key: "404", file: "dir.html", want: "not a regular file"},
		{name: "another type", key: "404", file: "a.png", want: "ends in none of"},
		{name: "too large", key: "404", file: "large.html", want: "larger than 256 KiB"},
		{name: "another charset", key: "404", file: "latin.txt", want: "not in UTF-8"},
		{name: "JSON that is none", key: "5xx", file: "bad.json", want: "not JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := NewPages(map[string]string{tt.key: filepath.Join(dir, tt.file)}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewPages(%q: %q) = %v, want %q in it", tt.key, tt.file, err, tt.want)
			}
		})
	}
}

// The error is about all bad pages at once, always in the same order.
func TestNewPagesTellsAllMistakes(t *testing.T) {
	_, err := NewPages(map[string]string{"5xx": "a.png", "404": "b.png", "4xx": "c.png"})
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("NewPages = %v, want several errors", err)
	}
	var got []string
	for _, err := range joined.Unwrap() {
		name, _, _ := strings.Cut(err.Error(), ": ")
		got = append(got, name)
	}
	if want := []string{"error page 404", "error page 4xx", "error page 5xx"}; !slices.Equal(got, want) {
		t.Errorf("mistakes of %q, want of %q", got, want)
	}
}

func TestAPageIsReadOnce(t *testing.T) {
	dir := pageFiles(t, map[string]string{"a.html": "once"})
	pages := newPages(t, dir, map[string]string{"404": "a.html"})
	if err := os.Remove(filepath.Join(dir, "a.html")); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	pages.Error(w, &message.Request{Method: "HEAD", Header: header.FromHTTP(http.Header{})}, 404, "", "")
	if w.Body.Len() > 0 || w.Header().Get("Content-Length") != "4" {
		t.Errorf("got %q %v", w.Body, w.Header())
	}
}

// FuzzPage: a value in a page cannot leave the element or the string that it stands in.
func FuzzPage(f *testing.F) {
	dir := pageFiles(f, map[string]string{"a.html": "<p>{{detail}}</p>", "a.json": `{"a":"{{detail}}"}`})
	pages := newPages(f, dir, map[string]string{"404": "a.html", "4xx": "a.json"})
	f.Add("<script>\"',\\\n\x00\xff{{id}}")
	f.Fuzz(func(t *testing.T, detail string) {
		for _, accept := range []string{"text/html", "application/json"} {
			w := httptest.NewRecorder()
			pages.Error(w, &message.Request{Method: "GET", Header: header.FromHTTP(http.Header{"Accept": {accept}})}, 404, "", detail)
			inner := w.Body.String()
			if accept == "text/html" {
				inner = strings.TrimSuffix(strings.TrimPrefix(inner, "<p>"), "</p>")
			} else {
				inner = strings.TrimSuffix(strings.TrimPrefix(inner, `{"a":"`), `"}`)
				inner = strings.NewReplacer(`\\`, "", `\"`, "").Replace(inner)
			}
			if strings.ContainsAny(inner, `<>"`) {
				t.Fatalf("detail %q makes %q", detail, w.Body)
			}
		}
	})
}
