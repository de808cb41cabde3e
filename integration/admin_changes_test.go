//go:build unix

package integration

import (
	"fmt"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// endpoint is what tests read of an endpoint as operators see it.
type operatedEndpoint struct {
	Endpoint, State, Error string
	Sessions, Requests     int
}

// endpointOf returns the only endpoint of a backend.
func endpointOf(t *testing.T, g *gateway, backend string) operatedEndpoint {
	t.Helper()
	for _, b := range operatedAs[[]struct {
		Backend   string
		Endpoints []operatedEndpoint
	}](t, g, "backends") {
		if b.Backend == backend {
			return b.Endpoints[0]
		}
	}
	t.Fatalf("there is no backend %s", backend)
	panic("unreachable")
}

// An endpoint that is drained gets no new work and loses its sessions; undrain gives it work again.
func TestDrainMovesTheWork(t *testing.T) {
	a, b := wstest.NewBackend(t, nil), wstest.NewBackend(t, nil)
	g := operated(t, fmt.Sprintf(`
backends: { app: { endpoints: [%q, %q], drain_time: 0s } }
routes: [{ path: /*, backend: app }]
`, a.Address, b.Address))
	// Two sessions are one at each endpoint.
	var clients []wstest.Peer
	for range 2 {
		c := wstest.Dial(t, g.http)
		c.WriteString(wstest.Handshake("/"))
		clients = append(clients, c)
	}
	atA, atB := a.Next(t), b.Next(t)
	for _, p := range []wstest.Peer{atA, atB} {
		if err := p.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range clients {
		c.Opened(wstest.Handshake("/"))
	}
	output := g.operate(t, "drain", "app", a.Address)
	if !strings.Contains(output, "draining") || !strings.Contains(output, b.Address) {
		t.Errorf("drain prints\n%s", output)
	}
	atA.ExpectClose(1001)
	atA.ExpectEnd()
	var left []wstest.Peer
	for _, s := range operatedAs[[]session](t, g, "sessions") {
		if s.Ending == "" && s.Endpoint != b.Address {
			t.Errorf("a session at %s is not ending", s.Endpoint)
		}
	}
	for range 4 {
		c, s := wstest.Pair(t, g.http, b, wstest.Handshake("/"))
		left = append(left, c, s)
	}
	// The drain outlives a reload.
	g.reload("configuration reloaded", "", "")
	c, s := wstest.Pair(t, g.http, b, wstest.Handshake("/"))
	left = append(left, c, s)

	g.operate(t, "undrain", "app", a.Address)
	c, s = wstest.Pair(t, g.http, a, wstest.Handshake("/"))
	left = append(left, c, s)
	var done []string
	for _, r := range g.log() {
		if r.name() == "operator" {
			done = append(done, r.text("action")+" "+r.text("target"))
		}
	}
	if got, want := strings.Join(done, ", "), "drain app "+a.Address+", undrain app "+a.Address; got != want {
		t.Errorf("the log has the actions %q, want %q", got, want)
	}
	g.refuse(t, "backend none", "drain", "none", a.Address)
	g.refuse(t, "127.0.0.1:1", "drain", "app", "127.0.0.1:1")
	for _, p := range append(left, append(clients, atB)...) {
		p.Close()
	}
}

func TestReloadByCommand(t *testing.T) {
	g := operated(t, "routes: [{ path: /say, respond: { body: before } }]")
	says := func(want string) {
		t.Helper()
		if _, body := wstest.Ask(t, g.http, get("/say")); body != want {
			t.Errorf("/say says %q, want %q", body, want)
		}
	}
	text := read(t, g.config)
	write(t, g.config, strings.Replace(text, "before", "after", 1))
	if output := g.operate(t, "reload"); !strings.HasPrefix(output, "reloaded in ") {
		t.Errorf("reload says %q", output)
	}
	says("after")
	write(t, g.config, text+"\nnonsense: 1\n")
	output := g.refuse(t, "nonsense", "reload")
	if line := strings.Count(text, "\n") + 2; !strings.Contains(output, fmt.Sprintf("%s:%d:", g.config, line)) || strings.Contains(output, "reloaded") {
		t.Errorf("reload with mistakes says\n%s", output)
	}
	says("after")
	last := operatedAs[struct {
		LastReload struct {
			OK       bool
			Mistakes []string
		} `json:"last_reload"`
	}](t, g, "status").LastReload
	if last.OK || len(last.Mistakes) == 0 {
		t.Errorf("status of the last reload: %+v", last)
	}

	// Every mistake is printed, each on its line.
	write(t, g.config, "listeners: [127.0.0.1:0]\nroutes:\n  - { path: a, respond: {} }\n  - { path: /b, backend: nowhere }\nlog: { level: loud }\n")
	output = g.refuse(t, "", "reload")
	for _, want := range []string{":3:", ":4:", ":5:"} {
		if !strings.Contains(output, g.config+want) {
			t.Errorf("no mistake of the line %s in\n%s", want, output)
		}
	}
	if n := strings.Count(output, "\n"); n != 3 {
		t.Errorf("%d lines of mistakes, want 3:\n%s", n, output)
	}
	if err := removeFile(g.config); err != nil {
		t.Fatal(err)
	}
	if output, code := sluice(t, "reload", "--admin", g.operators("unix").Address); code != 1 || !strings.Contains(output, g.config) {
		t.Errorf("reload without a file: exit code %d, %s", code, output)
	}
	n := 0
	for _, r := range g.log() {
		if r.name() == "operator" && r.text("action") == "reload" {
			n++
			if refused := n > 1; refused != (r.text("error") != "") {
				t.Errorf("reload %d is told as %s", n, r.text("text"))
			}
		}
	}
	if n != 4 {
		t.Errorf("%d reloads by an operator are in the log, want 4", n)
	}
}

func TestLogLevelByCommand(t *testing.T) {
	g := operated(t, "routes: [{ path: /*, respond: { body: x } }]")
	logged := func(path string) bool {
		t.Helper()
		wstest.Ask(t, g.http, get(path))
		g.operate(t, "loglevel", "info") // is logged whatever the level, behind the request
		g.wait("operator", func(r record) bool { return r.text("target") == "info" })
		for _, r := range g.log() {
			if r.name() == "request" && r.text("uri") == path {
				return true
			}
		}
		return false
	}
	if got := g.operate(t, "loglevel", "error"); !strings.Contains(got, "error") {
		t.Errorf("loglevel says %q", got)
	}
	expect(t, g.wait("operator", nil), record{"action": "log level", "target": "error"})
	if !strings.Contains(g.operate(t, "status"), "error") {
		t.Error("status does not tell the level")
	}
	if logged("/quiet") {
		t.Error("a request is logged at the level error")
	}
	g.refuse(t, "debug, info, warn or error", "loglevel", "loud")
	g.operate(t, "loglevel", "error")
	g.signalReload(t)
	wstest.Ask(t, g.http, get("/loud"))
	g.request("/loud") // the reload has brought the level of the file back
}

// signalReload reloads by a signal, whose outcome an operator can read.
func (g *gateway) signalReload(t *testing.T) {
	t.Helper()
	type status struct {
		LastReload struct{ Time string } `json:"last_reload"`
	}
	before := operatedAs[status](t, g, "status")
	g.signal(reloadSignal)
	eventually(t, "the reload is done", func() bool { return operatedAs[status](t, g, "status") != before })
}

// A link to the file that leads elsewhere, as Kubernetes replaces files, is no obstacle.
func TestReloadThroughALink(t *testing.T) {
	g := operatedByLink(t, "listeners: [127.0.0.1:0]\nlog: { format: json }\nroutes: [{ path: /say, respond: { body: before } }]\n")
	g.operate(t, "status")
	g.relink(t, "listeners: [127.0.0.1:0]\nlog: { format: json }\nroutes: [{ path: /say, respond: { body: after } }]\n")
	g.operate(t, "reload")
	g.operate(t, "status")
	if _, body := wstest.Ask(t, wstest.Target{Address: g.listener(false)}, get("/say")); body != "after" {
		t.Errorf("/say says %q", body)
	}
}
