package integration

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sluice/internal/wstest"
)

// sluice top shows the sessions of a gateway, ends one as it is told, and leaves the terminal as it was.
func TestTop(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := operated(t, fmt.Sprintf("routes: [{ name: chat, path: /ws, backend: %q }]\n", b.Address))
	client, backend := wstest.Pair(t, g.http, b, wstest.Handshake("/ws"))
	name := operatedAs[[]session](t, g, "sessions")[0].Session

	v := openTerminal(t, "xterm-256color", "top", "--config", g.config, "--interval", "200ms")
	before := v.settings()
	v.expect("running for", "sessions 1", name, "127.0.0.1", "chat", "q quit")
	if _, alternate := v.look(); !alternate {
		t.Error("the view is on the screen of the shell")
	}
	v.keys("\x1bOB")
	v.keys("/colour=red\r")
	v.expect(`there is no parameter "colour"`, name)
	v.keys("\x15route=chat\r")
	v.expect("1 of 1 session", "filter route=chat", name)
	v.keys("\x1bOB\r")
	v.expect("Frames of session " + name)
	eventually(t, "frames are shown", func() bool { // the tap may begin after some
		client.Send(wstest.Text("hello"))
		backend.Expect(wstest.Text("hello"))
		screen, _ := v.look()
		return strings.Contains(screen, "client  -> backend text         5 bytes")
	})
	v.keys("q")
	v.expect("1 of 1 session")
	v.keys("k")
	v.expect("End session "+name+" (127.0.0.1, route chat)", "code: 1008")
	v.keys("\x154001\r")
	v.expect("reason: ended by operator")
	v.keys("\x15please log in again\r")
	v.expect(`with 4001 "please log in again"? (y/n)`)
	v.keys("y")
	client.Expect(wstest.Close(4001, "please log in again"))
	backend.ExpectClose(1001)
	v.expect("ended session " + name)
	client.Send(wstest.Close(4001, ""))
	client.ExpectEnd()
	backend.ExpectEnd()
	v.expect("no session matches the filter")

	v.keys("q")
	if code := v.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	v.expectRestored(before)
	expect(t, g.wait("operator", func(r record) bool { return r.text("action") == "end session" }), record{"target": name, "sessions": 1})
}

// A gateway that goes away is said to be gone, one that cannot be changed says so, and a signal ends the
// view as a key does.
func TestTopOfAGatewayThatGoesAway(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := operated(t, fmt.Sprintf("admin: { read_only: true }\nroutes: [{ name: chat, path: /ws, backend: %q }]\n", b.Address))
	v := openTerminal(t, "vt100", "top", "--config", g.config)
	before := v.settings()
	v.expect("no session is open")
	v.keys("2")
	v.expect(b.Address)
	v.keys("\x1bOBd")
	v.expect("this gateway's interface is read-only")
	g.end()
	v.expect("No answer for", b.Address)
	v.signal(syscall.SIGTERM)
	if code := v.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	v.expectRestored(before)
}

// Input that waits does not keep the view from ending.
func TestTopEndsWithInputThatWaits(t *testing.T) {
	g := operated(t, "routes: [{ respond: {} }]\n")
	v := openTerminal(t, "xterm-256color", "top", "--config", g.config)
	before := v.settings()
	v.expect("no session is open")
	typed := make(chan error, 1)
	go func() { // a terminal takes no more than it has room for
		_, err := v.master.WriteString("q" + strings.Repeat("x", 64<<10))
		typed <- err
	}()
	if code := v.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	v.expectRestored(before)
	eventually(t, "the rest of the input is dropped", func() bool {
		unix.IoctlSetInt(int(v.slave.Fd()), unix.TCFLSH, unix.TCIFLUSH)
		select {
		case <-typed:
			return true
		default:
			return false
		}
	})
}

// A terminal that takes no output does not keep a signal from ending the view.
func TestTopEndsOnATerminalThatTakesNoOutput(t *testing.T) {
	g := operated(t, "routes: [{ respond: {} }]\n")
	v := openTerminal(t, "xterm-256color", "top", "--config", g.config, "--interval", "200ms")
	before := v.settings()
	v.expect("no session is open")
	v.full.Lock()
	v.awaitBlocked("\x0c") // draws everything anew
	v.signal(syscall.SIGTERM)
	v.end()
	v.full.Unlock()
	v.expectRestored(before)
}

// Ctrl-Z and the signal for it give the terminal back until the view goes on.
func TestTopStopsAndGoesOn(t *testing.T) {
	g := operated(t, "routes: [{ respond: {} }]\n")
	v := openTerminal(t, "xterm-256color", "top", "--config", g.config)
	before := v.settings()
	for _, stop := range []func(){func() { v.keys("\x1a") }, func() { v.signal(syscall.SIGTSTP) }} {
		v.expect("no session is open")
		stop()
		v.awaitStopped()
		v.expectRestored(before)
		v.signal(syscall.SIGCONT)
		v.expect("no session is open")
		v.keys("2")
		v.expect("no backend is configured")
		v.keys("1")
	}
	v.expect("no session is open")
	v.keys("q")
	if code := v.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	v.expectRestored(before)
}

// What sluice top cannot do it says before it touches the terminal.
func TestTopRefuses(t *testing.T) {
	g := operated(t, "routes: [{ respond: {} }]\n")
	g.refuse(t, "needs a terminal", "top")
	g.refuse(t, "between 200ms and 1m", "top", "--interval", "10ms")
	g.refuse(t, "unknown flag: --json", "top", "--json")
	g.refuse(t, "name the session, as 'sluice sessions' lists it: sluice tap SESSION", "tap")
	g.refuse(t, "name the endpoint of the backend", "drain", "a")
	g.refuse(t, "one argument too many", "kill", "a", "b")
	tests := []struct{ name, kind, config, want string }{
		{"no such terminal", "no-such-terminal", g.config, `TERM is "no-such-terminal"`},
		{"no gateway", "xterm", g.config + ".none", "no gateway with the configuration"},
	}
	for _, tt := range tests {
		v := openTerminal(t, tt.kind, "top", "--config", tt.config)
		before := v.settings()
		if code := v.end(); code != 1 {
			t.Errorf("%s: exit code %d, want 1", tt.name, code)
		}
		v.expect(tt.want)
		v.expectRestored(before)
	}
}
