//go:build unix

package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// follow starts a command for the gateway that goes on, and returns the lines that it prints. The
// channel is closed when it has ended.
func (g *gateway) follow(t *testing.T, args ...string) <-chan string {
	t.Helper()
	cmd := wstest.DieWithParent(exec.Command(executable, append(args, "--config", g.config)...))
	cmd.Env = environment()
	return follow(t, cmd)
}

// follow starts a program that goes on, and returns the lines that it prints. The channel is closed when
// it has ended.
func follow(t *testing.T, cmd *exec.Cmd) <-chan string {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, ended := make(chan string, 1000), make(chan struct{})
	go func() {
		defer close(ended)
		defer close(lines)
		for all := bufio.NewScanner(out); all.Scan(); {
			lines <- all.Text()
		}
		_ = cmd.Wait() // it is killed, or its last lines say how it went
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	return lines
}

// expectLine waits for a line with all of some texts in it, and returns it.
func expectLine(t *testing.T, lines <-chan string, texts ...string) string {
	t.Helper()
	timeout := time.After(wstest.Guard)
	var seen []string
next:
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("the command has ended without a line with %q:\n%s", texts, strings.Join(seen, "\n"))
			}
			seen = append(seen, line)
			for _, text := range texts {
				if !strings.Contains(line, text) {
					continue next
				}
			}
			return line
		case <-timeout:
			t.Fatalf("no line with %q:\n%s", texts, strings.Join(seen, "\n"))
		}
	}
}

// followEvents is follow for the events of a gateway. It returns when they come.
func (g *gateway) followEvents(t *testing.T, args ...string) <-chan string {
	t.Helper()
	lines := g.follow(t, append([]string{"events"}, args...)...)
	eventually(t, "events come", func() bool {
		g.operate(t, "loglevel", "warn")
		select {
		case <-lines:
			return true
		default:
			return false
		}
	})
	return lines
}

// count returns how many records of a name are in the log.
func (g *gateway) count(name string) (n int) {
	for _, r := range g.log() {
		if r.name() == name {
			n++
		}
	}
	return n
}

// Events tell of sessions and requests though the log does not, and only of what is asked for. The log
// stays as it was.
func TestEventsWithoutAnAccessLog(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := operated(t, fmt.Sprintf("routes: [{ name: chat, path: /ws, backend: %q }, { path: /page, respond: 204 }]\n", b.Address))
	g.reload("configuration reloaded", "log: { format: json }", "log: { format: json, access: false, redact: [token] }")
	all := g.followEvents(t, "--json")
	some := g.followEvents(t, "--name", "session ended,operator")

	client, backend := wstest.Pair(t, g.http, b, wstest.Handshake("/ws?token=secret"))
	opened := expectLine(t, all, `"message":"session opened"`, `"route":"chat"`, "REDACTED")
	if strings.Contains(opened, "secret") {
		t.Errorf("a secret is in the event %s", opened)
	}
	if r, _ := wstest.Ask(t, g.http, get("/page")); r.StatusCode != 204 {
		t.Fatalf("status %d", r.StatusCode)
	}
	expectLine(t, all, `"message":"request"`, `"uri":"/page"`)
	client.Send(wstest.Close(1000, "done"))
	backend.ExpectClose(1000)
	client.Expect(wstest.Close(1000, ""))
	ended := expectLine(t, all, `"message":"session ended"`)
	var of, at struct{ Session string }
	if json.Unmarshal([]byte(opened), &at) != nil || json.Unmarshal([]byte(ended), &of) != nil || of != at || len(of.Session) != 16 {
		t.Errorf("the events are of the sessions %q and %q", at.Session, of.Session)
	}
	for line := ""; !strings.Contains(line, "session ended"); {
		if line = expectLine(t, some); !strings.Contains(line, "session ended") && !strings.Contains(line, "operator") {
			t.Errorf("an event that was not asked for: %s", line)
		}
	}
	for _, name := range []string{"session opened", "session ended", "request"} {
		if n := g.count(name); n != 0 {
			t.Errorf("%d records %q in the log, want none", n, name)
		}
	}
}

// A tap shows the headers of frames both ways while they pass, and those of the gateway, and no
// payload.
func TestTapOfASession(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := operated(t, fmt.Sprintf("routes: [{ path: /ws, backend: %q }]\n", b.Address))
	for name, target := range map[string]wstest.Target{"ws": g.http, "wss": g.https} {
		client, backend := wstest.Pair(t, target, b, wstest.Handshake("/ws"))
		session := operatedAs[[]session](t, g, "sessions", "--max-messages", "0")[0].Session
		lines := g.follow(t, "tap", session)
		seen := false
		eventually(t, name+": frames are shown", func() bool { // the tap may begin after some
			client.Send(wstest.Ping("hello"))
			backend.Expect(wstest.Ping("hello"))
			select {
			case line := <-lines:
				seen = strings.Contains(line, "client  -> backend") && strings.Contains(line, "ping") && strings.Contains(line, "5 bytes")
				return true
			default:
				return false
			}
		})
		if !seen {
			t.Errorf("%s: the first line is not that of the ping", name)
		}
		g.refuse(t, "somebody else taps this session", "tap", session)
		client.Send(wstest.Part(1, "secret"), wstest.Last(strings.Repeat("x", 70000)))
		backend.Expect(wstest.Part(1, "secret"), wstest.Last(strings.Repeat("x", 70000)))
		backend.Send(wstest.Text(""))
		client.Expect(wstest.Text(""))
		if line := expectLine(t, lines, "text", "6 bytes, more follows"); strings.Contains(line, "secret") {
			t.Errorf("%s: the payload is shown: %s", name, line)
		}
		expectLine(t, lines, "client  -> backend", "continuation", "70000 bytes")
		expectLine(t, lines, "backend -> client", "text", "0 bytes")
		g.operate(t, "kill", session, "--code", "4001", "--reason", "enough")
		expectLine(t, lines, "gateway -> client", "close", "8 bytes")
		client.Expect(wstest.Close(4001, "enough"))
		client.Send(wstest.Close(4001, ""))
		backend.ExpectClose(1001)
		backend.Send(wstest.Close(1001, ""))
		expectLine(t, lines, "the session has ended")
		if _, more := <-lines; more {
			t.Errorf("%s: a line after the end", name)
		}
	}
	g.refuse(t, "there is no open session", "tap", "0123456789abcdef")
	if n := g.count("operator"); n < 4 {
		t.Errorf("%d records of an operator, want one for each tap and each kill", n)
	}
}

// Profiles and the configuration show nothing that they should not.
func TestProfilesAndTheConfiguration(t *testing.T) {
	g := operated(t, "routes: [{ path: /, respond: 200, response: { set_headers: { X-Key: secret-in-the-file } } }]\n")
	if r, body := wstest.Ask(t, g.operators("unix"), get("/debug/pprof/heap")); r.StatusCode != 403 || !strings.Contains(body, "'pprof' of 'admin' is not set") {
		t.Errorf("a profile: %d %s; want 403 and what to set", r.StatusCode, body)
	}
	g.reload("configuration reloaded", "routes: [", "admin: { pprof: true }\nroutes: [")
	if heap := askOperators(t, g, "/debug/pprof/heap"); !strings.HasPrefix(heap, "\x1f\x8b") { // gzip, as pprof reads it
		t.Errorf("the heap is %.20q", heap)
	}
	if r, body := wstest.Ask(t, g.operators("unix"), get("/debug/pprof/nothing")); r.StatusCode != 404 || !strings.Contains(body, "goroutine") {
		t.Errorf("a profile that is none: %d %s; want 404 and the names there are", r.StatusCode, body)
	}
	g.wait("operator", func(r record) bool { return r.text("action") == "profile" && r.text("target") == "heap" })
	config := askOperators(t, g, "/config")
	if strings.Contains(config, "secret-in-the-file") || !strings.Contains(config, `"X-Key":"REDACTED"`) || !strings.Contains(config, `"pprof":true`) {
		t.Errorf("the configuration is shown as %s", config)
	}
}
