//go:build unix

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sluice/internal/wstest"
)

// operated runs a gateway whose Unix socket for operators is in a directory of the test.
func operated(t *testing.T, body string) *gateway {
	t.Helper()
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	return start(t, body)
}

// operate runs a command for the gateway, which has to succeed, and returns what it printed.
func (g *gateway) operate(t *testing.T, args ...string) string {
	t.Helper()
	output, code := sluice(t, append(args, "--config", g.config)...)
	if code != 0 {
		t.Fatalf("sluice %q: exit code %d: %s", args, code, output)
	}
	return output
}

// refuse runs a command for the gateway, which has to fail and to say so.
func (g *gateway) refuse(t *testing.T, want string, args ...string) string {
	t.Helper()
	output, code := sluice(t, append(args, "--config", g.config)...)
	if code != 1 || !strings.Contains(output, want) {
		t.Errorf("sluice %q: exit code %d, want 1; %q should be in:\n%s", args, code, want, output)
	}
	return output
}

// operatedAs is operate for what prints JSON.
func operatedAs[T any](t *testing.T, g *gateway, args ...string) (v T) {
	t.Helper()
	output := g.operate(t, append(args, "--json")...)
	if err := json.Unmarshal([]byte(output), &v); err != nil {
		t.Fatalf("sluice %q --json: %v in\n%s", args, err, output)
	}
	return v
}

// operators returns where a kind of the admin interface is: unix, tcp or health.
func (g *gateway) operators(kind string) wstest.Target {
	g.t.Helper()
	address := g.wait("admin interface", func(r record) bool { return r.text("kind") == kind }).text("address")
	if kind == "unix" {
		address = "unix:" + address
	}
	return wstest.Target{Address: address}
}

// With nothing configured about it, the gateway can be asked on the same machine.
func TestStatusOfAFreshInstall(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("RUNTIME_DIRECTORY", filepath.Join(dir, "sluice"))
	g := startFile(t, "listeners: [127.0.0.1:0]\nlog: { format: json }\nroutes: [{ respond: {} }]\n")
	output := g.operate(t, "status")
	for _, want := range []string{"running", fmt.Sprint(g.pid), g.config, g.listener(false), "sessions:", "descriptors:"} {
		if !strings.Contains(output, want) {
			t.Errorf("%q is not in\n%s", want, output)
		}
	}
	s := operatedAs[struct {
		PID    int
		State  string
		Config struct{ File, SHA256 string }
	}](t, g, "status")
	if s.PID != g.pid || s.State != "running" || s.Config.File != g.config || len(s.Config.SHA256) != 64 {
		t.Errorf("status: %+v", s)
	}
	if others, _ := filepath.Glob("/run/sluice/*.sock"); len(others) == 0 {
		if output, code := sluice(t, "status"); code != 0 || !strings.Contains(output, g.config) {
			t.Errorf("sluice status of the only gateway: exit code %d\n%s", code, output)
		}
	}
	all, err := os.ReadDir(filepath.Join(dir, "sluice"))
	if err != nil || len(all) != 2 {
		t.Errorf("in the runtime directory: %v, %v; want the socket and its lock", all, err)
	}
	info, err := os.Stat(strings.TrimPrefix(g.operators("unix").Address, "unix:"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	g.end()
	if all, err := os.ReadDir(filepath.Join(dir, "sluice")); err != nil || len(all) != 0 {
		t.Errorf("after the end there are %v, %v", all, err)
	}
	g.refuse(t, g.config, "status")
}

func TestReady(t *testing.T) {
	g := operated(t, "routes: [{ respond: {} }]")
	if output := g.operate(t, "status", "--ready"); output != "ready\n" {
		t.Errorf("status --ready says %q", output)
	}
	if r, body := wstest.Ask(t, g.operators("unix"), get("/readyz")); r.StatusCode != 200 || strings.TrimSpace(body) != `{"ready":true,"reasons":[],"notes":[]}` {
		t.Errorf("/readyz: %d %s", r.StatusCode, body)
	}
	other := file(t, "routes: [{ respond: {} }]")
	if output, code := sluice(t, "status", "--ready", "--config", other); code != 1 || !strings.Contains(output, other) {
		t.Errorf("status --ready of a gateway that does not run: exit code %d, %s", code, output)
	}
}

// All commands say what to do when there is no gateway.
func TestCommandsWithoutAGateway(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	f := file(t, "routes: [{ respond: {} }]")
	for _, args := range [][]string{
		{"status"}, {"sessions"}, {"kill", "--all"}, {"routes"}, {"backends"}, {"drain", "a", "b"}, {"undrain", "a", "b"}, {"certificates"}, {"reload"}, {"loglevel", "info"},
	} {
		output, code := sluice(t, append(args, "--config", f)...)
		if code != 1 || !strings.Contains(output, f) || !strings.Contains(output, "admin: off") || strings.Count(output, "\n") != 1 {
			t.Errorf("sluice %q: exit code %d, %s", args, code, output)
		}
	}
}

func TestAdminOff(t *testing.T) {
	g := operated(t, "admin: off\nroutes: [{ respond: {} }]")
	if all, err := os.ReadDir(os.Getenv("RUNTIME_DIRECTORY")); err != nil || len(all) != 0 {
		t.Errorf("in the runtime directory: %v, %v", all, err)
	}
	g.refuse(t, "admin: off", "status")
	g.reload("configuration reloaded", "admin: off\n", "")
	g.operators("unix")
	g.operate(t, "status")
	g.reload("configuration reloaded", "routes:", "admin: off\nroutes:")
	g.refuse(t, "admin: off", "status")
}

func TestTwoGateways(t *testing.T) {
	first := operated(t, "routes: [{ name: first, respond: {} }]")
	second := start(t, "routes: [{ name: second, respond: {} }]")
	for _, g := range []*gateway{first, second} {
		if output := g.operate(t, "status"); !strings.Contains(output, fmt.Sprintf("process %d\n", g.pid)) {
			t.Errorf("another gateway has answered for %s:\n%s", g.config, output)
		}
	}
	output, code := sluice(t, "status")
	if code != 1 || !strings.Contains(output, "--config") {
		t.Errorf("status without a word of which: exit code %d\n%s", code, output)
	}
	for _, g := range []*gateway{first, second} {
		socket := g.operators("unix").Address
		if !strings.Contains(output, strings.TrimPrefix(socket, "unix:")) {
			t.Errorf("%s is not named in\n%s", socket, output)
		}
		if output, code := sluice(t, "status", "--admin", socket); code != 0 || !strings.Contains(output, g.config) {
			t.Errorf("--admin %s: exit code %d\n%s", socket, code, output)
		}
	}
}

// A second gateway with the configuration of one that runs takes nothing away from it.
func TestASecondGatewayOfOneFile(t *testing.T) {
	g := operated(t, "routes: [{ respond: {} }]")
	second := launch(t, "run", "--config", g.config)
	second.started()
	r := second.wait("the Unix socket of the admin interface is missing or not as configured", nil)
	if !strings.Contains(r.text("error"), "another gateway") || r.text("level") != "warn" {
		t.Errorf("the second one says %s", r.text("text"))
	}
	if output := g.operate(t, "status"); !strings.Contains(output, fmt.Sprintf("process %d\n", g.pid)) {
		t.Errorf("status:\n%s", output)
	}
	second.end()
	g.operate(t, "status")
}

func TestAdminOutlivesReloads(t *testing.T) {
	address := wstest.Reserve(t)
	g := operated(t, "admin: { health: '"+address+"' }\nroutes: [{ respond: {} }]")
	kept := wstest.Dial(t, g.operators("unix"))
	ask := func(step string) {
		t.Helper()
		kept.WriteString("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if r, body := kept.Answer("GET"); r.StatusCode != 200 {
			t.Errorf("%s: %d %s", step, r.StatusCode, body)
		}
	}
	ask("at first")
	g.reload("configuration reloaded", "", "")
	ask("after a reload that changes nothing")
	g.reload("configuration refused", "routes:", "rutes:")
	ask("after a refused reload")
	other := wstest.Reserve(t)
	g.reload("configuration reloaded", "rutes:", "routes:")
	g.reload("configuration reloaded", address, other)
	ask("after a reload that changes another address")
	if r, body := wstest.Ask(t, wstest.Target{Address: other}, get("/healthz")); r.StatusCode != 200 {
		t.Errorf("at the new address: %d %s", r.StatusCode, body)
	}
	eventually(t, "the old address is closed", func() bool { return refusesConnections(address) })
	if n := len(g.operate(t, "status")); n == 0 {
		t.Error("no status")
	}
}

// The interface answers until the last session has ended.
func TestAdminAnswersWhileDraining(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	health := wstest.Reserve(t)
	g := operated(t, "admin: { health: '"+health+"' }\nroutes: [{ path: /ws, backend: '"+b.Address+"' }]")
	client, backend := wstest.Pair(t, g.http, b, wstest.Handshake("/ws"))
	g.signal(syscall.SIGTERM)
	g.wait("shutting down", nil)
	eventually(t, "the gateway says that it drains", func() bool { return strings.Contains(g.operate(t, "status"), "draining") })
	g.refuse(t, "not ready: the gateway is draining", "status", "--ready")
	if r, body := wstest.Ask(t, wstest.Target{Address: health}, get("/readyz")); r.StatusCode != 503 || !strings.Contains(body, "draining") {
		t.Errorf("/readyz: %d %s", r.StatusCode, body)
	}
	if r, body := wstest.Ask(t, wstest.Target{Address: health}, get("/healthz")); r.StatusCode != 200 {
		t.Errorf("/healthz: %d %s", r.StatusCode, body)
	}
	all := operatedAs[[]session](t, g, "sessions")
	if len(all) != 1 || all[0].Ending == "" {
		t.Errorf("the session that ends: %+v", all)
	}
	client.Close()
	backend.Close()
	if code := g.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// When the side of traffic has used up what it may have, operators are served.
func TestAdminAnswersWhenTheGatewayIsFull(t *testing.T) {
	for name, limits := range map[string]struct{ descriptors, listener string }{
		"connections":            {"1000", "{ address: '127.0.0.1:0', max_connections: 2 }"},
		"descriptors by default": {"200", "'127.0.0.1:0'"},
		"few descriptors":        {"100", "{ address: '127.0.0.1:0', max_connections: 100000, timeouts: { header: 10m } }"},
		"descriptors":            {"200", "{ address: '127.0.0.1:0', max_connections: 100000, timeouts: { header: 10m } }"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
			wrapper, whole := filepath.Join(t.TempDir(), "sluice"), executable
			write(t, wrapper, "#!/bin/sh\nulimit -n "+limits.descriptors+"\nexec '"+whole+"' \"$@\"\n")
			if err := os.Chmod(wrapper, 0o700); err != nil {
				t.Fatal(err)
			}
			executable = wrapper
			defer func() { executable = whole }()
			tcp, metrics := wstest.Reserve(t), wstest.Reserve(t)
			g := startFile(t, "listeners: ["+limits.listener+"]\nadmin: { health: '"+tcp+"', metrics: '"+metrics+"' }\nlog: { format: json }\nroutes: [{ respond: {} }]\n")
			for range 400 {
				wstest.Dial(t, wstest.Target{Address: g.listener(false)})
			}
			for range 60 { // who has no token takes nothing from operators
				wstest.Dial(t, wstest.Target{Address: metrics})
				wstest.Dial(t, wstest.Target{Address: tcp})
			}
			for range 25 { // more often than there are descriptors for operators
				g.operate(t, "status", "--ready")
				if r, body := wstest.Ask(t, wstest.Target{Address: tcp}, get("/readyz")); r.StatusCode != 200 {
					t.Errorf("/readyz: %d %s", r.StatusCode, body)
				}
			}
		})
	}
}
