//go:build unix

package integration

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// passed is a socket that the gateway gets as systemd passes it.
func passed(t *testing.T, network, address string) (net.Listener, *os.File) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(); l.Close() })
	return l, f
}

// activate runs the gateway with sockets.
func activate(t *testing.T, config string, files ...*os.File) *gateway {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, file, withEngine(config))
	cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf(`export LISTEN_PID=$$ LISTEN_FDS=%d; exec "$0" run --config "$1"`, len(files)), executable, file)
	cmd.ExtraFiles = files
	g := launchAs(t, cmd)
	g.config = file
	return g
}

// Sockets are found by their names too, whatever their addresses are.
func TestSocketsByTheirNames(t *testing.T) {
	_, first := passed(t, "tcp", "127.0.0.1:0")
	web, second := passed(t, "tcp", "127.0.0.1:0")
	path := filepath.Join(t.TempDir(), "s")
	_, third := passed(t, "unix", path)
	t.Setenv("LISTEN_FDNAMES", "other:web:file")
	config := "listeners: ['systemd:web']\nlog: { format: json }\nroutes: [{ path: /*, respond: 204 }]\n"
	g := activate(t, config, first, second, third)
	g.started()
	if r, _ := wstest.Ask(t, wstest.Target{Address: web.Addr().String()}, get("/")); r.StatusCode != 204 {
		t.Errorf("status %d, want 204", r.StatusCode)
	}
	g.wait("no listener has the address of this socket, which the service manager has opened", func(r record) bool {
		return strings.HasSuffix(r.text("socket"), "(other)")
	})
	for listeners, want := range map[string]string{
		"'systemd:api'": "listeners[0]: cannot listen on systemd:api: the service manager has passed no socket of the name api: write FileDescriptorName=api in its socket unit; passed: ",
		fmt.Sprintf("'systemd:web', %q", web.Addr()):   "in use by the listener systemd:web of this file",
		fmt.Sprintf("'systemd:file', 'unix:%s'", path): "in use by the listener systemd:file of this file",
	} {
		if r := g.reload("configuration refused", "'systemd:web'", listeners); !strings.Contains(r.text("text"), want) {
			t.Errorf("%s\nwant %q", r.text("text"), want)
		}
		g.reload("configuration reloaded", listeners, "'systemd:web'")
	}

	t.Setenv("LISTEN_FDNAMES", "web:web")
	g = activate(t, config, first, second)
	if code := g.exit(); code != 1 || !strings.Contains(g.stderr.String(), "has passed 2 sockets of the name web: give each a socket unit of its own") {
		t.Errorf("exit code %d: %s", code, &g.stderr)
	}
}

// Clients that come before the gateway runs are served, by listeners on the sockets that
// it is given. The addresses of the others it opens itself.
func TestSocketsOfTheServiceManager(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	tcp, first := passed(t, "tcp", "127.0.0.1:0")
	path := filepath.Join(t.TempDir(), "s")
	local, second := passed(t, "unix", path)
	early := wstest.Dial(t, wstest.Target{Address: tcp.Addr().String()})
	early.WriteString(wstest.Handshake("/ws"))
	config := onAddress(t, tcp.Addr().String(), "routes: [{ path: /ws, backend: "+b.Address+" }, { path: /*, respond: 204 }]")
	config = strings.Replace(config, "listeners: [", fmt.Sprintf("listeners: [127.0.0.1:0, %q, ", "unix:"+path), 1)
	g := activate(t, config, first, second)
	g.started()
	early.ReadHead()
	early.Send(wstest.Text("early"))
	early.Expect(wstest.Text("early"))
	if r, _ := wstest.Ask(t, wstest.Target{Address: "unix:" + local.Addr().String()}, get("/")); r.StatusCode != 204 {
		t.Errorf("status %d over the unix socket, want 204", r.StatusCode)
	}
	other := wstest.Target{Address: g.listener(false)}
	if r, _ := wstest.Ask(t, other, get("/")); r.StatusCode != 204 {
		t.Errorf("status %d at an address of its own, want 204", r.StatusCode)
	}

	// A listener that goes leaves its socket, whose clients wait until it comes again.
	without := fmt.Sprintf("%q]", tcp.Addr().String())
	g.reload("configuration reloaded", ", "+without, "]")
	g.wait("no listener has the address of this socket, which the service manager has opened", func(r record) bool {
		return strings.HasPrefix(r.text("socket"), tcp.Addr().String())
	})
	waiting := wstest.Dial(t, wstest.Target{Address: tcp.Addr().String()})
	waiting.WriteString(wstest.Handshake("/ws"))
	early.Send(wstest.Text("still there"))
	early.Expect(wstest.Text("still there"))
	g.reload("configuration reloaded", fmt.Sprintf("%q]", "unix:"+path), fmt.Sprintf("%q, %s", "unix:"+path, without))
	waiting.ReadHead()
	waiting.Send(wstest.Text("served"))
	waiting.Expect(wstest.Text("served"))

	// The socket is not changed for an address that overlaps it.
	_, port, _ := net.SplitHostPort(tcp.Addr().String())
	r := g.reload("configuration refused", without, fmt.Sprintf("%q]", ":"+port))
	if want := "the service manager has opened " + tcp.Addr().String(); !strings.Contains(r.text("text"), want) {
		t.Errorf("%s\nwant %q", r.text("text"), want)
	}
}

// Only a socket that an address overlaps keeps others from listening there.
func TestAnotherProgramHasThePortOfASocketOfTheServiceManager(t *testing.T) {
	t.Parallel()
	tcp, file := passed(t, "tcp", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(tcp.Addr().String())
	other, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Skip(err) // that address is the machine's on Linux alone, and the port may be in use
	}
	defer other.Close()
	g := activate(t, onAddress(t, other.Addr().String(), "routes: [{ path: /*, respond: 204 }]"), file)
	want := "address " + other.Addr().String() + " is in use: another program listens there"
	if code := g.exit(); code != 1 || !strings.Contains(g.stderr.String(), want) {
		t.Errorf("exit code %d, want 1 and %q\n%s", code, want, &g.stderr)
	}
}

// A socket's mode is for its unit to say.
func TestModeOfASocketOfTheServiceManager(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	_, file := passed(t, "unix", path)
	config := strings.Replace(onAddress(t, "x", "routes: [{ path: /*, respond: 204 }]"), `["x"]`, fmt.Sprintf("[{ address: %q, mode: \"0660\" }]", "unix:"+path), 1)
	g := activate(t, config, file)
	if code := g.exit(); code != 1 || !strings.Contains(g.stderr.String(), "write SocketMode= in its socket unit, not 'mode'") {
		t.Errorf("exit code %d, want 1 and what to write instead\n%s", code, &g.stderr)
	}
}
