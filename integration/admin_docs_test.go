//go:build unix

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// askOperators sends a GET request to the admin interface of a gateway, over its Unix socket, and
// returns the answer, which must be a good one.
func askOperators(t *testing.T, g *gateway, path string) string {
	t.Helper()
	socket := g.wait("admin interface", func(r record) bool { return r.text("kind") == "unix" }).text("address")
	client := http.Client{Timeout: wstest.Guard, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	res, err := client.Get("http://localhost" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v\n%s", path, res.Status, err, text)
	}
	return string(text)
}

// operation is a method of a path of the OpenAPI document.
type operation struct {
	Parameters []struct{ Name, In string }
}

// operations returns what the OpenAPI document of a gateway describes, by method and path.
func operations(t *testing.T, g *gateway) map[string]operation {
	t.Helper()
	var document struct {
		Paths map[string]map[string]operation
	}
	if err := json.Unmarshal([]byte(askOperators(t, g, "/openapi.json")), &document); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]operation)
	for path, methods := range document.Paths {
		for method, o := range methods {
			all[strings.ToUpper(method)+" "+path] = o
		}
	}
	if len(all) < 15 {
		t.Fatalf("/openapi.json has %d operations, want 15 at least", len(all))
	}
	return all
}

// rows returns the cells of the rows of tables whose first cell matches.
func rows(page, first string) (all [][]string) {
	for _, line := range regexp.MustCompile(`(?m)^\| `+first+` \|.*$`).FindAllString(page, -1) {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		all = append(all, cells)
	}
	return all
}

// The table of endpoints in admin.md is what the gateway serves, and the page names every parameter.
func TestAdminPageHasEveryEndpoint(t *testing.T) {
	t.Parallel()
	page := read(t, "../docs/admin.md")
	g := startFile(t, "listeners: [127.0.0.1:0]\nroutes: [{ respond: {} }]\n")
	served := operations(t, g)

	listed := make(map[string]bool)
	for _, cells := range rows(page, "(?:GET|POST|PUT|PATCH|DELETE)") {
		name := cells[0] + " " + cells[1]
		if listed[name] {
			t.Errorf("docs/admin.md lists %s twice", name)
		}
		listed[name] = true
		if _, ok := served[name]; !ok {
			t.Errorf("docs/admin.md lists %s, which the gateway does not serve", name)
		}
		if changes := cells[2] == "yes"; changes != (cells[0] != http.MethodGet && cells[1] != "/outlook") {
			t.Errorf("docs/admin.md says %q in the column 'Changes' of %s", cells[2], name)
		}
	}
	for name, o := range served {
		if !listed[name] {
			t.Errorf("docs/admin.md does not list %s", name)
		}
		for _, p := range o.Parameters {
			if p.In == "query" && !strings.Contains(page, "`"+p.Name+"`") {
				t.Errorf("docs/admin.md does not name the parameter `%s` of %s", p.Name, name)
			}
		}
	}
}

// Every request that admin.md shows is for something that the gateway serves, with parameters that it
// knows.
func TestAdminPageShowsRequestsThatAreServed(t *testing.T) {
	t.Parallel()
	g := startFile(t, "listeners: [127.0.0.1:0]\nroutes: [{ respond: {} }]\n")
	served := operations(t, g)
	part := regexp.MustCompile(`\\\{\w+\\\}`)
	shown := regexp.MustCompile(`(?m)^\$ curl (.*)--unix-socket \$S '?http://localhost(/[^?'\s]*)\??([^'\s]*)'?$`).
		FindAllStringSubmatch(read(t, "../docs/admin.md"), -1)
	used := make(map[string]bool)
	for _, m := range shown {
		method := http.MethodGet
		if _, after, ok := strings.Cut(m[1], "-X "); ok {
			method, _, _ = strings.Cut(after, " ")
		}
		name := ""
		for candidate := range served {
			pattern := "^" + part.ReplaceAllString(regexp.QuoteMeta(candidate), "[^/]+") + "$"
			if regexp.MustCompile(pattern).MatchString(method+" "+m[2]) && (name == "" || !strings.Contains(candidate, "{")) {
				name = candidate
			}
		}
		if name == "" {
			t.Errorf("docs/admin.md shows %s %s, which the gateway does not serve", method, m[2])
			continue
		}
		used[name] = true
		for pair := range strings.SplitSeq(m[3], "&") {
			key, _, _ := strings.Cut(pair, "=")
			known := slices.ContainsFunc(served[name].Parameters, func(p struct{ Name, In string }) bool { return p.In == "query" && p.Name == key })
			if key != "" && key != "colour" && !known { // an example of a mistake
				t.Errorf("docs/admin.md shows %s, whose parameter %s the gateway does not know", m[0], key)
			}
		}
	}
	for name := range served {
		if !used[name] && !strings.HasPrefix(name, "GET /dashboard") {
			t.Errorf("docs/admin.md has no example for %s", name)
		}
	}
}

// Every command for a gateway that runs is in the table of admin.md, and there is no other in it.
func TestAdminPageHasEveryCommand(t *testing.T) {
	t.Parallel()
	help, code := sluice(t, "help")
	_, group, ok := strings.Cut(help, "Commands for a gateway that runs:\n")
	if code != 0 || !ok {
		t.Fatalf("sluice help: exit code %d, no commands for a gateway that runs in\n%s", code, help)
	}
	group, _, _ = strings.Cut(group, "\n\n")
	var want, got []string
	for line := range strings.Lines(group) {
		want = append(want, strings.Fields(line)[0])
	}
	for _, cells := range rows(read(t, "../docs/admin.md"), "`sluice [a-z]+`") {
		got = append(got, strings.TrimPrefix(strings.Trim(cells[0], "`"), "sluice "))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("docs/admin.md has the commands\n%q\nand sluice help\n%q", got, want)
	}
}

// family is a family of metrics.
type family struct {
	kind   string
	labels []string // in order; nil without a series
}

// families returns the families in an answer to a scrape.
func families(t *testing.T, text string) map[string]family {
	t.Helper()
	label := regexp.MustCompile(`(\w+)="(?:[^"\\]|\\.)*"`)
	all := make(map[string]family)
	for line := range strings.Lines(text) {
		if kind, ok := strings.CutPrefix(line, "# TYPE "); ok {
			words := strings.Fields(kind)
			all[words[0]] = family{kind: words[1]}
			continue
		}
		name := regexp.MustCompile(`^\w+`).FindString(line)
		if name == "" {
			continue // a comment
		}
		f, ok := all[name]
		for _, end := range []string{"_bucket", "_sum", "_count"} {
			if base := strings.TrimSuffix(name, end); !ok && all[base].kind != "" {
				name, f, ok = base, all[base], true
			}
		}
		if !ok {
			t.Fatalf("a series without a type: %s", line)
		}
		labels := []string{}
		for _, m := range label.FindAllStringSubmatch(line, -1) {
			if m[1] != "le" && m[1] != "quantile" {
				labels = append(labels, m[1])
			}
		}
		slices.Sort(labels)
		if f.labels != nil && !slices.Equal(f.labels, labels) {
			t.Errorf("%s has series with the labels %q and %q", name, f.labels, labels)
		}
		f.labels = labels
		all[name] = f
	}
	return all
}

// documentedFamilies returns the families of sluice that metrics.md lists, and the names of others.
func documentedFamilies(t *testing.T) (own map[string]family, others []string) {
	t.Helper()
	code := regexp.MustCompile("`([^`]+)`")
	own = make(map[string]family)
	page := read(t, "../docs/metrics.md")
	for _, cells := range rows(page, "`sluice_[a-z_]+`") {
		name := strings.Trim(cells[0], "`")
		if own[name].kind != "" {
			t.Errorf("docs/metrics.md lists %s twice", name)
		}
		f := family{kind: cells[1], labels: []string{}}
		for _, m := range code.FindAllStringSubmatch(cells[2], -1) {
			f.labels = append(f.labels, m[1])
		}
		slices.Sort(f.labels)
		own[name] = f
	}
	for _, cells := range rows(page, "`(?:go|process)_[^|]*`") {
		for _, m := range code.FindAllStringSubmatch(cells[0], -1) {
			others = append(others, m[1])
		}
	}
	return own, others
}

// The table of families in metrics.md is what a gateway has that has met a bit of everything.
func TestMetricsPageHasEveryFamily(t *testing.T) {
	t.Parallel()
	ca := wstest.NewCA(t)
	cert, key := ca.Issue(t, "gateway.test")
	b := wstest.NewBackend(t, wstest.Echo)
	g := startFile(t, fmt.Sprintf(`
listeners:
  - 127.0.0.1:0
  - { address: "localhost:0", tls: true, connections_per_ip: 1 }
tls:
  certificates: [{ cert: %q, key: %q }]
log: { format: json }
state_dir: %q
backends: { chat: { endpoints: [%s] } }
routes:
  - { name: chat, path: /ws, backend: chat, websocket: { limits: { sessions: 1 } } }
  - { name: web, path: /web, respond: {} }
`, cert, key, t.TempDir(), b.Address))
	g.http = wstest.Target{Address: g.listener(false)}
	g.https = wstest.Target{Address: g.listener(true), TLS: ca.Client("gateway.test")}
	p := wstest.Open(t, g.https, wstest.Handshake("/ws"))
	wstest.Dial(t, wstest.Target{Address: g.https.Address}).ExpectEnd() // one connection too many
	if res, _ := wstest.Ask(t, g.http, wstest.Handshake("/ws")); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a second session: status %d, want 503", res.StatusCode)
	}
	p.Send(wstest.Close(1000, ""))
	p.ExpectClose(1000)
	g.ended("/ws")

	got := families(t, askOperators(t, g, "/metrics"))
	documented, others := documentedFamilies(t)
	for name, f := range got {
		want, ok := documented[name]
		switch {
		case !strings.HasPrefix(name, "sluice_"):
		case !ok:
			t.Errorf("docs/metrics.md does not list %s", name)
		case f.labels == nil:
			t.Errorf("%s has no series after all this", name)
		case f.kind != want.kind || !slices.Equal(f.labels, want.labels):
			t.Errorf("docs/metrics.md says that %s is a %s with the labels %q; it is a %s with %q", name, want.kind, want.labels, f.kind, f.labels)
		}
	}
	for name := range documented {
		if _, ok := got[name]; !ok && (runtime.GOOS == "linux" && !portable() || !strings.HasPrefix(name, "sluice_loop_")) {
			t.Errorf("docs/metrics.md lists %s, which the gateway does not have", name)
		}
	}
	for _, name := range others {
		if _, ok := got[name]; !ok && !strings.HasPrefix(name, "process_") { // which differ by system
			t.Errorf("docs/metrics.md lists %s, which the gateway does not have; it has %q", name, slices.Sorted(maps.Keys(got)))
		}
	}
}
