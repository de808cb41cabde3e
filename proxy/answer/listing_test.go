package answer

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func browsing(t *testing.T, root, fallback string) *Files {
	t.Helper()
	f := newFiles(t, root, "index.html", fallback)
	f.Browse = true
	return f
}

// links returns where the links of a page lead.
func links(page string) (all []string) {
	for _, m := range regexp.MustCompile(`<a href="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		all = append(all, html.UnescapeString(m[1]))
	}
	return all
}

// A directory without an index is listed: what would be served from it, and nothing else.
func TestListing(t *testing.T) {
	f := browsing(t, tree(t), "app.html")
	tests := []struct {
		name, path string
		want       []string // links; nil where the answer is no list
		body       string   // of that answer
		status     int      // 0 means 200
	}{
		{name: "a directory", path: "/empty/", want: []string{"../", "./x.txt"}},
		{name: "an index that is a directory", path: "/odd/", want: []string{"../", "./index.html/"}},
		{name: "a link to a directory", path: "/current/", want: []string{"../", "./index.htm"}},
		{name: "directories first", path: "/releases/", want: []string{"../", "./1/"}},
		{name: "an index", path: "/docs/", body: "docs index"},
		{name: "the slash is missing", path: "/empty", status: 301},
		{name: "no directory, but a fallback", path: "/nothing/", body: "the app"},
		{name: "a file with a slash", path: "/a.txt/", body: "the app"},
		{name: "hidden", path: "/.git/", status: 404},
		{name: "hidden, escaped", path: "/%2egit/", status: 404},
		{name: "well-known", path: "/.well-known/", status: 404},
		{name: "below well-known", path: "/.well-known/acme/", status: 404},
		{name: "a link to what is hidden", path: "/git/", status: 404},
		{name: "a link out", path: "/up/", body: "the app"},
		{name: "dots", path: "/../", status: 404},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := get(f, tt.path)
			body := w.Body.String()
			if strings.Contains(body, secret) {
				t.Fatalf("the secret was served: %q", body)
			}
			if status := max(tt.status, 200); w.Code != status || tt.body != "" && body != tt.body {
				t.Errorf("status %d with %q, want %d with %q", w.Code, body, status, tt.body)
			}
			if got := links(body); tt.want != nil && !slices.Equal(got, tt.want) {
				t.Errorf("links %q, want %q\n%s", got, tt.want, body)
			}
		})
	}
}

// The top has no link upwards, hides what is hidden, and leads nowhere else.
func TestListingOfTheTop(t *testing.T) {
	root := tree(t)
	if err := os.Remove(filepath.Join(root, "index.html")); err != nil {
		t.Fatal(err)
	}
	w := get(browsing(t, root, ""), "/")
	all := links(w.Body.String())
	for _, name := range []string{"../", "./.git/", "./.env", "./.well-known/", "./out.txt", "./absolute.txt", "./up/", "./env.txt", "./git/", "./loop.txt", "./dangling.txt", "./..data/"} {
		if slices.Contains(all, name) {
			t.Errorf("it lists %s", name)
		}
	}
	for _, name := range []string{"./docs/", "./a.txt", "./100%25.txt", "./no%20extension", "./alias.txt", "./current/"} {
		if !slices.Contains(all, name) {
			t.Errorf("it does not list %s: %q", name, all)
		}
	}
	if first := slices.Index(all, "./a.txt"); first < slices.Index(all, "./releases/") {
		t.Error("files come before directories")
	}
	if got := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'") {
		t.Errorf("Content-Security-Policy is %q", got)
	}
}

// What is in a name stays text.
func TestListingOfHostileNames(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such names there")
	}
	root := t.TempDir()
	names := []string{`<script>alert(1)<`, `"onclick="x`, "javascript:alert(1)", "a?b#c", "line\nbreak", "&amp;"}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o644); err != nil {
			t.Skip(err) // a file system that wants UTF-8
		}
	}
	if err := os.WriteFile(filepath.Join(root, "\xff"), nil, 0o644); err != nil {
		t.Logf("a name that is no UTF-8, which is never served, cannot be made here: %v", err)
	}
	f := browsing(t, root, "")
	page := get(f, "/").Body.String()
	if strings.Contains(page, "<script") || strings.Contains(page, `"onclick=`) {
		t.Errorf("a name became markup:\n%s", page)
	}
	all := links(page)
	if len(all) != len(names) {
		t.Fatalf("%d links, want %d:\n%s", len(all), len(names), page)
	}
	for _, link := range all {
		if w := get(f, strings.TrimPrefix(link, ".")); w.Code != 200 {
			t.Errorf("the link %s leads to status %d", link, w.Code)
		}
	}
}

func TestListingIsBounded(t *testing.T) {
	root := t.TempDir()
	for i := range maxListed + 1 {
		if err := os.WriteFile(filepath.Join(root, fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page := get(browsing(t, root, ""), "/").Body.String()
	if n := len(links(page)); n != maxListed || !strings.Contains(page, "only some are listed") {
		t.Errorf("%d links, want %d and that there are more", n, maxListed)
	}
}

// An index that may not be read is not a directory without an index.
func TestListingHidesNoIndexThatMayNotBeRead(t *testing.T) {
	if os.Getuid() <= 0 {
		t.Skip("root may read everything, and Windows has no such mode")
	}
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "index.html"), nil, 0); err != nil {
		t.Fatal(err)
	}
	if w := get(browsing(t, root, ""), "/"); w.Code != 404 {
		t.Errorf("status %d, want 404\n%s", w.Code, w.Body)
	}
}

func TestListingForHEAD(t *testing.T) {
	f := browsing(t, tree(t), "")
	w := httptest.NewRecorder()
	f.Serve(w, asMessage(&http.Request{Method: "HEAD", URL: publicURL("/empty/"), Header: http.Header{}}), "id", "/empty/")
	if w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Content-Length") == "" {
		t.Errorf("status %d, Content-Length %q, body %q; want 200, some, none", w.Code, w.Header().Get("Content-Length"), w.Body)
	}
}

func TestSizesForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1 << 20: "1.0 MiB", 5 << 30: "5.0 GiB", 1 << 62: "4.0 EiB"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
}
