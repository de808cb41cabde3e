package answer

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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

// The links of a page start at the path of the client, not at the name that the route has made of it.
func TestListingOfRewrittenPaths(t *testing.T) {
	f := browsing(t, tree(t), "app.html")
	tests := []struct {
		name, public, path string
		want               []string // links; nil where the answer is no list
		to                 string   // Location
		body               string
	}{
		{name: "the client names no slash", public: "/lf", path: "/empty/", to: "/lf/?a=1"},
		{name: "neither does the file", public: "/lf", path: "/empty", to: "/lf/?a=1"},
		{name: "the route cuts the slash off", public: "/lf/", path: "/empty", want: []string{"./x.txt"}},
		{name: "the directory has another name", public: "/lf/", path: "/empty/", want: []string{"./x.txt"}},
		{name: "at the top", public: "/", path: "/releases/1/", want: []string{"./index.htm"}},
		{name: "below a stripped prefix", public: "/site/empty/", path: "/empty/", want: []string{"../", "./x.txt"}},
		{name: "escaped in another way", public: "/site/%65mpty/", path: "/empty/", want: []string{"../", "./x.txt"}},
		{name: "an index without a slash", public: "/lf", path: "/docs/", body: "docs index"},
		{name: "no directory, but a fallback", public: "/lf", path: "/nothing/", body: "the app"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := publicURL(tt.public)
			u.RawQuery = "a=1"
			w := httptest.NewRecorder()
			f.Serve(w, asMessage(&http.Request{Method: "GET", URL: u, Header: http.Header{}}), "", tt.path)
			body := w.Body.String()
			if to := w.Header().Get("Location"); to != tt.to || !slices.Equal(links(body), tt.want) || tt.body != "" && body != tt.body {
				t.Errorf("Serve(%q) for %q = %d, Location %q, links %q, want %q, %q and %q\n%s",
					tt.path, tt.public, w.Code, to, links(body), tt.to, tt.want, tt.body, body)
			}
		})
	}
}

// The top of a stripped prefix has nothing above it, whatever the client calls it.
func TestListingOfTheTopOfAStrippedPrefix(t *testing.T) {
	f := newFiles(t, tree(t), "", "")
	f.Browse = true
	w := httptest.NewRecorder()
	f.Serve(w, asMessage(&http.Request{Method: "GET", URL: publicURL("/site/"), Header: http.Header{}}), "", "/")
	if all := links(w.Body.String()); len(all) == 0 || slices.Contains(all, "../") {
		t.Errorf("the links are %q, want some and none upwards", all)
	}
}

// What is listed is what is served, through links too. Only ".well-known" is served and not listed.
func TestListingAgreesWithWhatIsServed(t *testing.T) {
	root := tree(t)
	f := newFiles(t, root, "", "")
	f.Browse = true
	var walk func(at string, depth int)
	walk = func(at string, depth int) {
		all := links(get(f, at).Body.String())
		there, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(at)))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range there {
			link := "./" + url.PathEscape(e.Name())
			file, directory := slices.Contains(all, link), slices.Contains(all, link+"/")
			status := get(f, at+link[2:]).Code
			if file != (status == 200) || directory != (status == 301) {
				if e.Name() != wellKnown {
					t.Errorf("%s%s: listed as a file: %t, as a directory: %t, but served with status %d", at, e.Name(), file, directory, status)
				}
			}
			if directory && depth > 0 {
				walk(at+e.Name()+"/", depth-1)
			}
		}
	}
	walk("/", 3)
}

// A listing that finds no slot waits for one, for a time, while all else is answered.
func TestListingsWaitForASlot(t *testing.T) {
	root := tree(t)
	synctest.Test(t, func(t *testing.T) {
		f := browsing(t, root, "app.html")
		f.slots = make(chan struct{}, 1)
		f.slots <- struct{}{}
		serve := func(method, name string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			f.Serve(w, asMessage((&http.Request{Method: method, URL: publicURL(name), Header: http.Header{}}).WithContext(t.Context())), "", name)
			return w
		}
		began := time.Now()
		for _, tt := range []struct{ method, path string }{{"HEAD", "/empty/"}, {"GET", "/a.txt"}, {"GET", "/docs/"}} {
			if w := serve(tt.method, tt.path); w.Code != 200 || time.Since(began) > 0 {
				t.Errorf("%s %s: status %d after %v, want 200 at once", tt.method, tt.path, w.Code, time.Since(began))
			}
		}
		if w := serve("GET", "/empty/"); w.Code != 503 || w.Header().Get("Retry-After") == "" || time.Since(began) != listingWait {
			t.Errorf("status %d with %v after %v, want 503 with Retry-After after %v", w.Code, w.Header(), time.Since(began), listingWait)
		}
		go func() {
			time.Sleep(listingWait / 2)
			<-f.slots
		}()
		for range 2 { // the slot comes back
			if w := serve("GET", "/empty/"); w.Code != 200 || len(links(w.Body.String())) != 2 {
				t.Errorf("status %d, want 200 and the list\n%s", w.Code, w.Body)
			}
		}
	})
}

// A client that leaves waits no longer.
func TestListingEndsItsWaitWithItsClient(t *testing.T) {
	root := tree(t)
	synctest.Test(t, func(t *testing.T) {
		f := browsing(t, root, "")
		f.slots = make(chan struct{})
		ctx, leave := context.WithCancel(t.Context())
		leave()
		began := time.Now()
		w := httptest.NewRecorder()
		f.Serve(w, asMessage((&http.Request{Method: "GET", URL: publicURL("/empty/"), Header: http.Header{}}).WithContext(ctx)), "", "/empty/")
		if w.Code != 503 || time.Since(began) != 0 {
			t.Errorf("status %d after %v, want 503 at once", w.Code, time.Since(began))
		}
	})
}

// An entry costs the same at any depth, as the directory is found once. HEAD costs nothing for each.
func TestListingAllocates(t *testing.T) {
	const entries, perEntry = 100, 20
	root := t.TempDir()
	deep := strings.Repeat("/d", 20) + "/"
	if err := os.MkdirAll(filepath.Join(root, filepath.FromSlash(deep)), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range entries {
		if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(deep), fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f := browsing(t, root, "")
	allocations := func(method string) int {
		r := asMessage(&http.Request{Method: method, URL: publicURL(deep), Header: http.Header{}})
		return int(testing.AllocsPerRun(5, func() { f.Serve(httptest.NewRecorder(), r, "", deep) }))
	}
	head := allocations("HEAD")
	if each := (allocations("GET") - head) / entries; each > perEntry {
		t.Errorf("GET allocates %d times for each entry, want %d at most", each, perEntry)
	}
	if head > 10*entries {
		t.Errorf("HEAD allocates %d times", head)
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
	if w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || w.Header().Get("Content-Length") != "" {
		t.Errorf("status %d with %v and %q, want 200, HTML of a length that is not known, and no body", w.Code, w.Header(), w.Body)
	}
}

func TestSizesForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1 << 20: "1.0 MiB", 5 << 30: "5.0 GiB", 1 << 62: "4.0 EiB"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
}

func BenchmarkListing(b *testing.B) {
	root := b.TempDir()
	for i := range 6000 {
		if err := os.WriteFile(filepath.Join(root, fmt.Sprintf("file-%d.txt", i)), nil, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	f := newFiles(b, root, "index.html", "")
	f.Browse = true
	for _, method := range []string{"GET", "HEAD"} {
		b.Run(method, func(b *testing.B) {
			r := asMessage(&http.Request{Method: method, URL: publicURL("/"), Header: http.Header{}})
			b.ReportAllocs()
			for b.Loop() {
				f.Serve(httptest.NewRecorder(), r, "", "/")
			}
		})
	}
}
