//go:build unix

package integration

import (
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// serviceManager is what the gateway reports to.
type serviceManager struct {
	socket   string
	messages chan string // all that have come, in their order
}

func newServiceManager(t *testing.T) *serviceManager {
	t.Helper()
	m := &serviceManager{filepath.Join(t.TempDir(), "notify"), make(chan string, 100_000)}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			m.messages <- string(b[:n])
		}
	}()
	return m
}

// start runs the gateway as a service with variables, which are NAME=value.
func (m *serviceManager) start(t *testing.T, config string, variables ...string) *gateway {
	t.Helper()
	cmd := exec.Command(executable, "run", "--config", config)
	cmd.Env = append(variables, "NOTIFY_SOCKET="+m.socket)
	g := launchAs(t, cmd)
	g.config = config
	return g
}

// fed is what feeds the watchdog.
const fed = `WATCHDOG=1\nSTATUS=.*`

// expect waits for the next message. One that feeds the watchdog is passed over, unless it is awaited.
func (m *serviceManager) expect(t *testing.T, pattern string) {
	t.Helper()
	guard := time.After(wstest.Guard)
	for {
		select {
		case got := <-m.messages:
			if regexp.MustCompile(`\A` + pattern + `\z`).MatchString(got) {
				return
			}
			if !regexp.MustCompile(`\A` + fed + `\z`).MatchString(got) {
				t.Fatalf("the service manager got %q, want what matches %q", got, pattern)
			}
		case <-guard:
			t.Fatalf("the service manager got nothing else, want what matches %q", pattern)
		}
	}
}

// The service manager hears when the gateway serves, of each reload from its beginning to its end, and
// that it stops. Its watchdog is fed until the last session has ended.
func TestServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	m := newServiceManager(t)
	listener := "unix:" + filepath.Join(t.TempDir(), "s")
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, file, withEngine(onAddress(t, listener, "routes: [{ path: /ws, backend: "+b.Address+" }, { path: /*, respond: 204 }]")))
	g := m.start(t, file, "WATCHDOG_USEC=100000")

	m.expect(t, `READY=1\nSTATUS=running, sessions: 0`)
	if r, _ := wstest.Ask(t, wstest.Target{Address: listener}, get("/")); r.StatusCode != 204 {
		t.Errorf("status %d once the gateway is ready, want 204", r.StatusCode)
	}
	p := wstest.Open(t, wstest.Target{Address: listener}, wstest.Handshake("/ws"))
	m.expect(t, `WATCHDOG=1\nSTATUS=running, sessions: 1`)

	reloading := `RELOADING=1`
	if runtime.GOOS == "linux" {
		reloading += `\nMONOTONIC_USEC=\d+`
	}
	const at = `STATUS=running, sessions: 1; reload at [-\d]+ [:\d]+ \S+`
	g.reload("configuration reloaded", "", "")
	m.expect(t, reloading)
	m.expect(t, `READY=1\n`+at+`: kept 1 session; ending 0`)
	g.reload("configuration refused", "respond", "rspond")
	m.expect(t, reloading)
	m.expect(t, `READY=1\n`+at+` refused, mistakes: \d+ \(see the log\)`)

	// The manager has heard of the end of a reload when the command ends that it waits for.
	g.refuse(t, `"rspond"`, "reload")
	for _, pattern := range []string{reloading, `READY=1\n` + at + ` refused, mistakes: \d+ \(see the log\)`} {
		m.expect(t, pattern)
	}

	g.signal(syscall.SIGTERM)
	m.expect(t, `STOPPING=1\nSTATUS=draining`)
	p.ExpectClose(1001) // without the answer, for which the gateway waits
	m.expect(t, fed)
	p.Conn.Close()
	if code := g.exit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// A start that fails is no start: the manager does not hear that the gateway is ready.
func TestServiceManagerIsNotToldOfAFailedStart(t *testing.T) {
	t.Parallel()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	m := newServiceManager(t)
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, file, onAddress(t, other.Addr().String(), "routes: [{ path: /*, respond: 204 }]"))
	g := m.start(t, file)
	if code := g.exit(); code != 1 {
		t.Errorf("exit code %d, want 1\n%s", code, &g.stderr)
	}
	c, err := net.Dial("unixgram", m.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("the first"))
	m.expect(t, "the first")
}

// A manager that cannot be reached is a warning, and nothing else.
func TestServiceManagerIsGone(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, file, onAddress(t, "127.0.0.1:0", "routes: [{ path: /*, respond: 204 }]"))
	m := &serviceManager{socket: filepath.Join(t.TempDir(), "none")}
	g := m.start(t, file)
	g.wait("ready", nil)
	if r := g.wait("the service manager cannot be told what the gateway does", nil); !strings.Contains(r.text("error"), "NOTIFY_SOCKET="+m.socket) {
		t.Errorf("%s\nwant the socket in the error", r.text("text"))
	}
	g.reload("configuration reloaded", "", "")
	if r, _ := wstest.Ask(t, wstest.Target{Address: g.listener(false)}, get("/")); r.StatusCode != 204 {
		t.Errorf("status %d, want 204", r.StatusCode)
	}
}
