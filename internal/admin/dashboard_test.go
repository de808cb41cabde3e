package admin

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboardNames returns the names of the files of the dashboard.
func dashboardNames(t *testing.T) []string {
	t.Helper()
	entries, err := fs.ReadDir(dashboardFiles, "dashboard")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func dashboardText(t *testing.T, name string) string {
	t.Helper()
	text, err := fs.ReadFile(dashboardFiles, "dashboard/"+name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The policy of the page forbids all of this: a browser would leave it out without a word. What is
// made of text, which may be hostile, is forbidden here alone.
func TestTheDashboardHasNothingInlineAndNamesNoOtherHost(t *testing.T) {
	forbidden := map[string]*regexp.Regexp{
		"an inline script":         regexp.MustCompile(`(?i)<script(>|[^>]*[^>]>\s*[^<\s])`),
		"an inline style":          regexp.MustCompile(`(?i)<style|<[^>]*\sstyle\s*=|setAttribute\('style'`),
		"an inline event handler":  regexp.MustCompile(`(?i)<[a-z][^>]*\son[a-z]+\s*=`),
		"markup made of text":      regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc`),
		"code made of text":        regexp.MustCompile(`\beval\(|new Function|setTimeout\('|javascript:`),
		"the address of a host":    regexp.MustCompile(`(?i)(https?:|wss?:)?//[a-z0-9.-]+\.[a-z]`),
		"an import of other files": regexp.MustCompile(`(?m)@import|^import [^;]*from '[^.]`),
	}
	for _, name := range dashboardNames(t) {
		text := strings.ReplaceAll(dashboardText(t, name), `xmlns="http://www.w3.org/2000/svg"`, "")
		for what, pattern := range forbidden {
			if found := pattern.FindString(text); found != "" {
				t.Errorf("%s has %s: %.80q", name, what, found)
			}
		}
		if lines := strings.Count(text, "\n"); lines >= 400 {
			t.Errorf("%s has %d lines, want fewer than 400", name, lines)
		}
	}
}

// What the page and its files name is there, and all that is there is named.
func TestTheDashboardIsComplete(t *testing.T) {
	names := dashboardNames(t)
	used := map[string]bool{"index.html": true}
	use := func(by, name string) {
		used[name] = true
		if !slices.Contains(names, name) {
			t.Errorf("%s names %s, which is not there", by, name)
		}
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(dashboardText(t, "index.html"), -1) {
		name, ok := strings.CutPrefix(m[1], "dashboard/")
		if !ok {
			t.Errorf("index.html names %s, which is not below dashboard/", m[1])
		}
		use("index.html", name)
	}
	for _, by := range names {
		if path.Ext(by) == ".js" {
			for _, m := range regexp.MustCompile(`from '\./([^']+)'`).FindAllStringSubmatch(dashboardText(t, by), -1) {
				use(by, m[1])
			}
		}
	}
	for _, name := range names {
		if !used[name] {
			t.Errorf("nothing uses %s", name)
		}
		if dashboardType(name) == "" {
			t.Errorf("%s is not served: its type is not known", name)
		}
	}
}

func TestTheDashboardIsServed(t *testing.T) {
	socket := newSocketServer(t, newFakeGateway())
	targets := map[string]string{"/dashboard": "text/html; charset=utf-8"}
	for _, name := range dashboardNames(t) {
		targets["/dashboard/"+name] = dashboardType(name)
	}
	for target, kind := range targets {
		r, body := ask(t, "unix", socket, request("GET", target))
		tag := r.Header.Get("ETag")
		if r.StatusCode != 200 || body == "" || r.Header.Get("Content-Type") != kind || tag == "" {
			t.Errorf("GET %s: %d, %d bytes, %v; want 200, text, %s and an ETag", target, r.StatusCode, len(body), r.Header, kind)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": dashboardPolicy, "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache",
		} {
			if got := r.Header.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("GET %s: %s is %q, want %q", target, name, got, want)
			}
		}
		if r, again := ask(t, "unix", socket, request("GET", target, "If-None-Match: "+tag)); r.StatusCode != 304 || again != "" {
			t.Errorf("GET %s with its ETag: %d, %d bytes; want 304", target, r.StatusCode, len(again))
		}
		if r, head := ask(t, "unix", socket, request("HEAD", target)); r.StatusCode != 200 || head != "" || r.ContentLength != int64(len(body)) {
			t.Errorf("HEAD %s: %d, length %d, want 200 and %d", target, r.StatusCode, r.ContentLength, len(body))
		}
	}
	for _, target := range []string{"/dashboard/none.js", "/dashboard/..", "/dashboard/%2e%2e%2fdashboard.go", "/dashboard/", "/dashboard/main.js/x", "/dashboard/%00", "/dashboard/.js"} {
		if r, body := ask(t, "unix", socket, request("GET", target)); r.StatusCode != 404 && r.StatusCode != 400 || failed(t, r, body) == "" {
			t.Errorf("GET %s: %d %.80s, want an error", target, r.StatusCode, body)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE"} {
		if r, _ := ask(t, "unix", socket, request(method, "/dashboard")); r.StatusCode != 405 {
			t.Errorf("%s /dashboard: %d, want 405", method, r.StatusCode)
		}
	}
}

// The page itself is refused like everything else where a token is missing.
func TestTheDashboardNeedsTheToken(t *testing.T) {
	s := newTestServer(t, newFakeGateway(), Options{Address: "127.0.0.1:0", Token: testToken})
	address := s.Addresses()["tcp"]
	for _, target := range []string{"/dashboard", "/dashboard/main.js", "/history"} {
		if r, _ := ask(t, "tcp", address, request("GET", target)); r.StatusCode != 401 {
			t.Errorf("GET %s without a token: %d, want 401", target, r.StatusCode)
		}
		if r, _ := ask(t, "tcp", address, request("GET", target, "Authorization: Bearer "+testToken)); r.StatusCode != 200 {
			t.Errorf("GET %s with it: %d, want 200", target, r.StatusCode)
		}
	}
}
