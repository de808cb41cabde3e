//go:build unix

package integration

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"sluice/internal/wstest"
)

const (
	recipesDir = "../docs/recipes/"
	firstLine  = "# yaml-language-server: $schema=sluice.schema.json\n" // of a configuration
)

// recipe is a page of docs/recipes.
type recipe struct {
	config string              // the configuration that it shows
	blocks map[string][]string // all its blocks by language
}

var fenced = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

func readRecipe(t testing.TB, name string) (r recipe) {
	t.Helper()
	r.blocks = make(map[string][]string)
	for _, m := range fenced.FindAllStringSubmatch(read(t, recipesDir+name+".md"), -1) {
		r.blocks[m[1]] = append(r.blocks[m[1]], m[2])
		if strings.HasPrefix(m[2], firstLine) {
			r.config = m[2]
		}
	}
	if r.config == "" {
		t.Fatalf("%s.md has no block of YAML that begins with %s", name, firstLine)
	}
	return r
}

// Each page is short, has no long lines but those of tables, is in the list, has its configuration in
// the form of "sluice fmt", and a test runs it.
func TestRecipes(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(recipesDir + "*.md")
	if err != nil || len(pages) < 15 {
		t.Fatalf("%d pages, %v; want 15 at least", len(pages), err)
	}
	list := read(t, recipesDir+"README.md")
	tests, err := filepath.Glob("recipes*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, file := range tests {
		code.WriteString(read(t, file))
	}
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		if name == "README" {
			continue
		}
		lines := strings.Split(read(t, page), "\n")
		if len(lines) > 85 {
			t.Errorf("%s has %d lines, want 85 at most", page, len(lines))
		}
		for i, line := range lines {
			if len(line) > 124 && !strings.HasPrefix(line, "|") {
				t.Errorf("%s:%d: the line has %d characters, want 124 at most", page, i+1, len(line))
			}
		}
		if !strings.Contains(list, "]("+name+".md)") {
			t.Errorf("README.md does not list %s", page)
		}
		if !strings.Contains(code.String(), fmt.Sprintf("serve(t, %q,", name)) {
			t.Errorf("no test runs %s", page)
		}
		f := file(t, readRecipe(t, name).config)
		if output, code := sluice(t, "fmt", "--check", "--diff", f); code != 0 {
			t.Errorf("the configuration of %s is not in its form:\n%s", page, output)
		}
	}
}

// recipeGateway is a gateway with the configuration of a page.
type recipeGateway struct {
	*gateway
	roots *x509.CertPool // that verify it
}

// serve runs the binary with the configuration of a page as it stands, but with what table has in
// place of each address, network and file in it. Where the page orders certificates the hosts have one
// already, and where it leaves out the listeners they are the default ones on other ports.
func serve(t *testing.T, page string, table map[string]string) recipeGateway {
	t.Helper()
	ca, config := wstest.NewCA(t), readRecipe(t, page).config
	cert, key := ca.Issue(t, hostsOf(t, config)...)
	table = maps.Clone(table)
	if strings.Contains(config, "certs/example.com.pem") {
		table["certs/example.com.pem"], table["certs/example.com.key"] = cert, key
	}
	config = substitute(t, page, config, table)
	if strings.Contains(config, "\n  acme: ") {
		config = strings.Replace(config, "\ntls:\n", fmt.Sprintf("\ntls:\n  certificates: [{ cert: %q, key: %q }]\n", cert, key), 1)
	}
	for section, text := range map[string]string{
		"listeners": `[{ address: "127.0.0.1:0", redirect_https: true }, { address: "127.0.0.1:0", tls: true }]`,
		"log":       "{ format: json }",
		"state_dir": strconv.Quote(t.TempDir()),
	} {
		if !strings.Contains(config, "\n"+section+": ") && !strings.Contains(config, "\n"+section+":\n") {
			config += section + ": " + text + "\n"
		}
	}
	return recipeGateway{startFile(t, config), ca.Client("").RootCAs}
}

// hostsOf returns the hosts of a configuration.
func hostsOf(t testing.TB, config string) (hosts []string) {
	t.Helper()
	scalars(t, config, func(path []string, n *yaml.Node) {
		if i := slices.Index(path, "host"); i == len(path)-1 && i >= 0 {
			hosts = append(hosts, n.Value)
		}
	})
	if len(hosts) == 0 {
		t.Fatalf("no host in\n%s", config)
	}
	return hosts
}

// scalars calls visit with each value of a configuration and its keys, the last one first.
func scalars(t testing.TB, config string, visit func(path []string, n *yaml.Node)) {
	t.Helper()
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(config), &root); err != nil {
		t.Fatalf("%v in\n%s", err, config)
	}
	var walk func(path []string, n *yaml.Node)
	walk = func(path []string, n *yaml.Node) {
		switch n.Kind {
		case yaml.ScalarNode:
			visit(path, n)
		case yaml.MappingNode:
			for i := len(n.Content) - 2; i >= 0; i -= 2 {
				walk(append(slices.Clone(path), n.Content[i].Value), n.Content[i+1])
			}
		default:
			for _, c := range slices.Backward(n.Content) {
				walk(path, c)
			}
		}
	}
	walk(nil, &root)
}

// ofMachine is what the value of a configuration looks like that belongs to a machine: an address, a
// network, or a file.
var ofMachine = regexp.MustCompile(`^((\w+://)?[\w.-]*:\d+|unix:/.+|\d+\.\d+\.\d+\.\d+(/\d+)?|.+\.(pem|key|crt)|/(var|srv|run)/.+)$`)

// substitute puts the values of table in place of those of a configuration. Each address has to be in
// table, and all of table in the configuration.
func substitute(t testing.TB, page, config string, table map[string]string) string {
	t.Helper()
	lines, used := strings.Split(config, "\n"), make(map[string]bool)
	scalars(t, config, func(path []string, n *yaml.Node) {
		to, ok := table[n.Value]
		if !ok {
			if ofMachine.MatchString(n.Value) && !slices.Contains(path, "path") {
				t.Errorf("the test of %s has nothing in place of %s", page, n.Value)
			}
			return
		}
		used[n.Value] = true
		from := n.Value
		if n.Style == yaml.DoubleQuotedStyle {
			from = `"` + from + `"`
		}
		line, column := &lines[n.Line-1], n.Column-1
		rest, ok := strings.CutPrefix((*line)[column:], from)
		if !ok {
			t.Fatalf("%s: %q is not at column %d of %q", page, from, n.Column, *line)
		}
		*line = (*line)[:column] + to + rest
	})
	for from := range table {
		if !used[from] {
			t.Errorf("%s.md has no %s any more", page, from)
		}
	}
	return strings.Join(lines, "\n")
}

// at is the TLS listener for a client that asks for host.
func (s recipeGateway) at(host string) wstest.Target {
	s.t.Helper()
	return wstest.Target{Address: s.listener(true), TLS: &tls.Config{RootCAs: s.roots, ServerName: host}}
}

// get asks for a path of a host over TLS.
func (s recipeGateway) get(t *testing.T, host, path string, lines ...string) (*http.Response, string) {
	t.Helper()
	return s.send(t, host, get(path, lines...))
}

// send sends a request for gateway.test to another host.
func (s recipeGateway) send(t *testing.T, host, request string) (*http.Response, string) {
	t.Helper()
	return wstest.Ask(t, s.at(host), strings.Replace(request, "gateway.test", host, 1))
}

// handshake returns the status of the answer to a handshake.
func (s recipeGateway) handshake(t *testing.T, host, path string, lines ...string) int {
	t.Helper()
	r, _ := s.send(t, host, wstest.Handshake(path, lines...))
	return r.StatusCode
}

// echoes opens a session as a page of the host does, and has a message come back.
func (s recipeGateway) echoes(t *testing.T, host, path string, lines ...string) wstest.Peer {
	t.Helper()
	return echoes(t, s.at(host), host, path, append([]string{"Origin: https://" + host}, lines...)...)
}

func echoes(t *testing.T, target wstest.Target, host, path string, lines ...string) wstest.Peer {
	t.Helper()
	p := wstest.Open(t, target, wstest.Handshake(path, append([]string{"Host: " + host}, lines...)...))
	p.Send(wstest.Text("hello"))
	p.Expect(wstest.Text("hello"))
	return p
}

// home returns the endpoint that the answer came from and the cookie by which a client stays there.
func home(t *testing.T, r *http.Response, name string) (endpoint, cookie string) {
	t.Helper()
	cookie, _, _ = strings.Cut(r.Header.Get("Set-Cookie"), ";")
	if !strings.HasPrefix(cookie, name+"=") {
		t.Fatalf("Set-Cookie is %q, want %s", r.Header.Get("Set-Cookie"), name)
	}
	return r.Header.Get("X-Served-By"), cookie
}

// application is a backend as the recipes have one: it answers a request with the first line that has
// arrived, and accepts a handshake, with the first subprotocol that is offered, and echoes.
func application(t testing.TB) *wstest.Backend {
	return wstest.NewBackend(t, func(c *wstest.Conn) {
		served := "X-Served-By: " + c.LocalAddr().String()
		if c.Head.Get("Upgrade") != "" {
			lines := []string{served}
			if offered, _, _ := strings.Cut(c.Head.Get("Sec-WebSocket-Protocol"), ","); offered != "" {
				lines = append(lines, "Sec-WebSocket-Protocol: "+offered)
			}
			wstest.Accepting(wstest.EchoFrames, lines...)(c)
			return
		}
		length, _ := strconv.ParseInt(c.Head.Get("Content-Length"), 10, 64)
		_, _ = io.CopyN(io.Discard, c, length)
		body := c.Head.Start
		wstest.Answering(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n%s\r\n\r\n%s", len(body), served, body))(c)
	})
}

// arrived returns the newest head for a path at the first of the backends that has one.
func arrived(t *testing.T, path string, backends ...*wstest.Backend) wstest.Head {
	t.Helper()
	for _, b := range backends {
		for _, h := range slices.Backward(b.Seen()) {
			if strings.Split(h.Start, " ")[1] == path {
				return h
			}
		}
	}
	t.Fatalf("no request for %s has arrived", path)
	panic("unreachable")
}

// place makes a directory with files in it.
func place(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}
