//go:build !portable

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sluice/internal/wstest"
)

// A gateway that starts in another container gets the sessions of the one that offers them, and offers them in its turn. One with
// another configuration gets nothing, and says so.
func TestTakeOverBetweenContainers(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	dir := t.TempDir()
	socket := filepath.Join(dir, "takeover", "sluice.sock")
	file := filepath.Join(dir, "sluice.yaml")
	config := withEngine(fmt.Sprintf("listeners: [{ address: '127.0.0.1:0', timeouts: { header: 10m, idle: 10m } }]\nlog: { format: json }\ntakeover: %q\nroutes: [{ path: /*, backend: %q }]\n", socket, b.Address))
	write(t, file, config)
	container := func(file string) *gateway { // each has its own runtime directory
		cmd := exec.Command(executable, "run", "--config", file)
		cmd.Env = []string{"RUNTIME_DIRECTORY=" + t.TempDir()}
		g := launchAs(t, cmd)
		g.config = file
		g.started()
		return g
	}
	blue := container(file)
	target := wstest.Target{Address: blue.listener(false)}
	c, s := wstest.Pair(t, target, b, wstest.Handshake("/"))
	waiting := wstest.Dial(t, target)
	waiting.WriteString("GET /late HTTP/1.1\r\nHost: gateway.test\r\n")
	speak := func(text string) {
		t.Helper()
		c.Send(wstest.Text(text))
		s.Expect(wstest.Text(text))
		s.Send(wstest.Text(text + "!"))
		c.Expect(wstest.Text(text + "!"))
	}
	speak("one")

	other := filepath.Join(dir, "other.yaml")
	write(t, other, config+"max_sessions: 10\n")
	stranger := container(other)
	stranger.wait("this process does not take over", func(r record) bool {
		return strings.Contains(r.text("error"), "the old process gave up: it runs another configuration")
	})
	stranger.wait("this gateway offers its sessions to no other container", nil)
	blue.wait("a process has asked to take over, and does not", nil)
	speak("two")

	connections := 1
	if httpEngine() == "go" {
		connections = 0
	}
	for _, text := range []string{"three", "four"} {
		green := container(file)
		green.wait("taken over from the process before", func(r record) bool { return r.number("sessions") == 1 && r.number("connections") == connections })
		if code := blue.exit(); code != 0 {
			t.Errorf("the old process ended with %d", code)
		}
		speak(text)
		operators := green.wait("admin interface", func(r record) bool { return r.text("kind") == "unix" }).text("address")
		if out, code := sluice(t, "status", "--admin", "unix:"+operators); code != 0 || !strings.Contains(out, fmt.Sprint("process ", green.pid)) {
			t.Errorf("the new process, %d, says:\n%s", green.pid, out)
		}
		blue = green
	}
	late, lateBackend := wstest.Pair(t, target, b, wstest.Handshake("/"))
	late.Send(wstest.Text("late"))
	lateBackend.Expect(wstest.Text("late"))
	blue.signal(syscall.SIGTERM)
	c.ExpectClose(1001)
	if code := blue.exit(); code != 0 {
		t.Errorf("the last process ended with %d", code)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is there at the end: %v", err)
	}
}

// Where a gateway dies that has asked, the one that it asked goes on with all that had not gone over, whoever accepts.
func TestKillsOfWhoHasAsked(t *testing.T) {
	const sessions = 150 // two batches
	b := wstest.NewBackend(t, wstest.Echo)
	for _, descriptors := range []int{0, 12, 20, 100, 270} {
		t.Run(fmt.Sprint(descriptors, " descriptors"), func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "sluice.yaml")
			write(t, file, withEngine(fmt.Sprintf("listeners: ['127.0.0.1:0']\nlog: { format: json }\ntakeover: %q\nroutes: [{ path: /*, backend: %q }]\n", filepath.Join(dir, "takeover", "s"), b.Address)))
			t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
			blue := launch(t, "run", "--config", file)
			blue.config = file
			blue.started()
			target := wstest.Target{Address: blue.listener(false)}
			var all []wstest.Peer
			for range sessions {
				all = append(all, wstest.Open(t, target, wstest.Handshake("/")))
			}
			cmd := exec.Command(executable, "run", "--config", file)
			cmd.Env = append(environment(), "RUNTIME_DIRECTORY="+t.TempDir())
			if err := wstest.DieWithParent(cmd).Start(); err != nil {
				t.Fatal(err)
			}
			alive := survives(t, cmd.Process.Pid, blue.pid, cmd.Process.Pid, descriptors, all)
			cmd.Wait()
			if descriptors == 0 && alive != sessions {
				t.Errorf("%d sessions live; want all %d, as none had gone over", alive, sessions)
			}
			eventually(t, "the old process has ended, or has the sessions that are alive", func() bool {
				s, ok := blue.status(t)
				return !running(blue.pid) || ok && int(s.Sessions.Used) == alive
			})
			if !running(blue.pid) {
				if alive > 0 {
					t.Errorf("no process runs, and %d sessions are alive", alive)
				}
				return
			}
			c := wstest.Open(t, target, wstest.Handshake("/"))
			c.Send(wstest.Text("late"))
			c.Expect(wstest.Text("late"))
		})
	}
}

// The directory of the socket has to be its user's alone.
func TestTakeOverSocketsArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "takeover")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, file, fmt.Sprintf("listeners: ['127.0.0.1:0']\ntakeover: %q\nroutes: [{ path: /*, respond: 204 }]\n", filepath.Join(dir, "s")))
	out, code := sluice(t, "run", "--config", file)
	if code != 1 || !strings.Contains(out, "sluice.yaml:2:11: takeover.socket: others may enter "+dir) || !strings.Contains(out, "use chmod 700") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}
