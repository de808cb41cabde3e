//go:build unix

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// reloaded runs "sluice reload" with another text in the file, and returns what it says that the sessions do. Before
// it asks "sluice check --against running", which has to say the same, and after it the log and the status.
func (g *gateway) reloaded(t *testing.T, from, to string) string {
	t.Helper()
	old := read(t, g.config)
	if !strings.Contains(old, from) {
		t.Fatalf("%q is not in the configuration", from)
	}
	write(t, g.config, strings.Replace(old, from, to, 1))
	checked, code := sluice(t, "check", g.config, "--against", "running")
	_, before, _ := strings.Cut(checked, ".sock: ")
	if code != 0 {
		t.Errorf("check --against running: exit code %d\n%s", code, checked)
	}
	records := len(g.log())
	output, code := sluice(t, "reload", "--config", g.config)
	_, report, _ := strings.Cut(strings.TrimSpace(output), " ms: ")
	if code != 0 || report == "" {
		t.Errorf("reload: exit code %d\n%s", code, output)
	}
	if strings.TrimSpace(before) != report {
		t.Errorf("check --against running says %q, and then the reload %q", before, report)
	}
	if r := g.waitFrom(records, "configuration reloaded", nil); r.text("report") != report {
		t.Errorf("the log says %q, and the reload %q", r.text("report"), report)
	}
	if status, _ := sluice(t, "status", "--config", g.config); !strings.Contains(status, report) {
		t.Errorf("the status does not say %q:\n%s", report, status)
	}
	return report
}

// A reload says exactly which sessions end and why, everywhere and before it the same.
func TestReloadReport(t *testing.T) {
	t.Parallel()
	a, b, c := wstest.NewBackend(t, nil), wstest.NewBackend(t, nil), wstest.NewBackend(t, nil)
	g := start(t, fmt.Sprintf(`
backends:
  main: { endpoints: [%[1]s] }
  spare: { endpoints: [%[2]s] }
  named: { endpoints: [%[3]s], drain_time: 0s }
routes:
  - { name: kept, path: /kept, backend: main }
  - { path: /old/*, host: chat.example.com, backend: main }
  - { name: page, path: /page, backend: main }
  - { name: spare, path: /spare, backend: spare }
  - { name: named, path: /named, backend: named }
`, a.Address, b.Address, c.Address))
	type session struct {
		client, backend wstest.Peer
		uri             string
	}
	open := func(n int, b *wstest.Backend, path string, lines ...string) (all []session) {
		for i := range n {
			uri := fmt.Sprintf("%s?%d", path, i)
			client, backend := wstest.Pair(t, g.http, b, wstest.Handshake(uri, lines...))
			all = append(all, session{client, backend, uri})
		}
		return all
	}
	kept := open(2, a, "/kept")
	tests := []struct {
		name     string
		ends     []session
		from, to string
		want     string
	}{
		{"nothing changes", nil, "", "", "kept 8 sessions; ending 0"},
		{"a route goes", open(1, a, "/old/1", "Host: chat.example.com"), "  - { path: /old/*, host: chat.example.com, backend: main }\n", "", "kept 7 sessions; ending 1: route chat.example.com/old/* removed"},
		{"a route has no backend any more", open(2, a, "/page"), "path: /page, backend: main", "path: /page, respond: {}", "kept 5 sessions; ending 2: route page has no backend any more"},
		{"an endpoint goes", open(1, b, "/spare"), "spare: { endpoints: [" + b.Address, "spare: { endpoints: [" + a.Address, "kept 4 sessions; ending 1: endpoint " + b.Address + " of backend spare removed"},
		{"an endpoint drains", open(2, c, "/named"), "endpoints: [" + c.Address + "]", "endpoints: [{ address: " + c.Address + ", drain: true }]", "kept 2 sessions; ending 2: endpoint " + c.Address + " of backend named drains"},
		{"limits change", nil, "name: kept, path: /kept,", "name: kept, path: /kept, websocket: { limits: { message_size: 1KiB } },", "kept 2 sessions; ending 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := g.reloaded(t, tt.from, tt.to); got != tt.want {
				t.Errorf("the reload says %q; want %q", got, tt.want)
			}
			for _, s := range tt.ends {
				s.client.ExpectClose(1012)
				s.backend.ExpectClose(1001)
				s.client.ExpectEnd()
				s.backend.ExpectEnd()
				g.ended(s.uri)
			}
			for _, s := range kept {
				s.client.Send(wstest.Text(tt.name))
				s.backend.Expect(wstest.Text(tt.name))
			}
		})
	}
}

// A file with mistakes changes nothing: "sluice reload" and "sluice check --against running" exit with 1 and say every one.
func TestReloadSaysEveryMistake(t *testing.T) {
	t.Parallel()
	g := start(t, "routes: [{ respond: {} }]")
	write(t, g.config, read(t, g.config)+"\nvia: maybe\nbakends: {}\nmax_sessions: many\n")
	for _, args := range [][]string{{"reload", "--config", g.config}, {"check", g.config, "--against", "running"}} {
		output, code := sluice(t, args...)
		if code != 1 || strings.Count(output, g.config+":") != 3 || !strings.Contains(output, "via") || !strings.Contains(output, "bakends") || !strings.Contains(output, "max_sessions") {
			t.Errorf("%s with three mistakes: exit code %d\n%s", args[0], code, output)
		}
	}
}

// What "sluice check --against" says where there is nothing to compare with.
func TestCheckAgainst(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, file, "routes: [{ respond: {} }]\n")
	tests := []struct {
		name, against string
		admin         string
		want          string
	}{
		{"another word", "yesterday", "", "--against yesterday: only 'running'"},
		{"no gateway there", "running", filepath.Join(t.TempDir(), "none.sock"), "--against running: "},
	}
	for _, tt := range tests {
		args := []string{"check", file, "--against", tt.against}
		if tt.admin != "" {
			args = append(args, "--admin", tt.admin)
		}
		if output, code := sluice(t, args...); code != 1 || !strings.Contains(output, tt.want) {
			t.Errorf("%s: exit code %d, want 1 and %q in\n%s", tt.name, code, tt.want, output)
		}
	}
}

// With 'watch' a change of the files is a reload, the same content is none, and a mistake is said once.
func TestWatch(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"in the file", "--watch"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "sluice.yaml")
			config := withEngine("listeners: [127.0.0.1:0]\nlog: { format: json }\ninclude: conf.d/*.yaml\nroutes: [{ respond: {} }]\n")
			args := []string{"run", "--config", file}
			if how == "--watch" {
				args = append(args, "--watch")
			} else {
				config += "watch: true\n"
			}
			write(t, file, config)
			g := launch(t, args...)
			g.config = file
			g.wait("ready", nil)
			g.http = wstest.Target{Address: g.wait("listening", nil).text("address")}
			status := func(path string, want int) {
				t.Helper()
				if r, _ := wstest.Ask(t, g.http, get(path)); r.StatusCode != want {
					t.Errorf("%s: status %d; want %d", path, r.StatusCode, want)
				}
			}
			outcomes := 0
			change := func(outcome string, do func()) {
				t.Helper()
				do()
				r := g.waitFrom(outcomes, outcome, nil)
				for i, other := range g.log() {
					if i >= outcomes && other.text("text") == r.text("text") {
						outcomes = i + 1
						break
					}
				}
			}
			replace := func(file, text string) { // at once
				write(t, file+".new", text)
				if err := os.Rename(file+".new", file); err != nil {
					t.Error(err)
				}
			}
			included := filepath.Join(filepath.Dir(file), "conf.d", "a.yaml")
			change("configuration reloaded", func() {
				if err := os.MkdirAll(filepath.Dir(included), 0o700); err != nil {
					t.Fatal(err)
				}
				replace(included, "routes: [{ path: /a, respond: 204 }]\n")
			})
			status("/a", 204)
			change("configuration refused", func() { replace(included, "rutes: []\n") })
			status("/a", 204)
			change("configuration reloaded", func() { replace(included, "routes: [{ path: /a, respond: 202 }]\n") })
			status("/a", 202)
			change("configuration reloaded", func() {
				if err := os.Remove(included); err != nil {
					t.Fatal(err)
				}
			})
			status("/a", 200)
			change("configuration refused", func() {
				if err := os.Rename(file, file+".away"); err != nil {
					t.Fatal(err)
				}
			})
			change("configuration reloaded", func() {
				if err := os.Rename(file+".away", file); err != nil {
					t.Fatal(err)
				}
			})
			if how == "in the file" {
				change("configuration reloaded", func() { replace(file, strings.Replace(config, "watch: true", "watch: false", 1)) })
				g.wait("the files of the configuration are not watched any more", nil)
				g.reload("configuration reloaded", "watch: false", "watch: true")
			}
			reloads := 0
			for _, r := range g.log() {
				if strings.HasPrefix(r.name(), "configuration re") {
					reloads++
				}
			}
			want := 6
			if how == "in the file" {
				want = 8
			}
			if reloads != want {
				t.Errorf("%d reloads; want %d", reloads, want)
			}
		})
	}
}
