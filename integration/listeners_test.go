package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sluice/internal/wstest"
)

// freePort returns a port that nothing listens on.
func freePort(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(wstest.Reserve(t))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// onAddress is a configuration with one plain listener.
func onAddress(t *testing.T, address, body string) string {
	return fmt.Sprintf("listeners: [%q]\nlog: { format: json, access: false }\nstate_dir: %q\nshutdown_timeout: 15s\n%s", address, t.TempDir(), body)
}

// A reload from one address to another one with the same port works for every pair of
// addresses, and loses no connection that comes meanwhile.
func TestReloadToAnotherAddressOfTheSamePort(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems cannot hand a port over without a gap")
	}
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	port := freePort(t)
	hosts := []string{"", "127.0.0.1", "0.0.0.0", "127.0.0.1", "", "0.0.0.0", "[::]", "localhost", ""}
	g := startFile(t, onAddress(t, hosts[0]+":"+port, fmt.Sprintf("routes: [{ path: /ws, backend: %s }, { path: /, respond: 204 }]", b.Address)))
	target := wstest.Target{Address: "127.0.0.1:" + port}
	sessions := []*wstest.Peer{}
	open := func() { p := wstest.Open(t, target, wstest.Handshake("/ws")); sessions = append(sessions, &p) }

	var clients sync.WaitGroup
	var done atomic.Bool
	var served atomic.Int64
	defer clients.Wait()
	defer done.Store(true)
	for range 4 {
		clients.Go(func() {
			c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: wstest.Guard}
			for !done.Load() {
				res, err := c.Get("http://" + target.Address + "/")
				if err != nil {
					t.Errorf("after %d requests: %v", served.Load(), err)
					return
				}
				res.Body.Close()
				served.Add(1)
			}
		})
	}
	open()
	for i, host := range hosts[1:] {
		before := served.Load()
		g.reload("configuration reloaded", fmt.Sprintf("listeners: [%q]", hosts[i]+":"+port), fmt.Sprintf("listeners: [%q]", host+":"+port))
		for served.Load() < before+50 && !t.Failed() {
			runtime.Gosched()
		}
		open()
	}
	done.Store(true)
	clients.Wait()
	for _, p := range sessions {
		p.Send(wstest.Text("still here"))
		p.Expect(wstest.Text("still here"))
		goodbye(*p)
	}
}

// If an address cannot be opened, nothing changes, and the listener that was to be replaced
// goes on.
func TestReloadToAnAddressOfAnother(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	g := startFile(t, onAddress(t, "127.0.0.1:"+port, "routes: [{ respond: 204 }]"))
	answers := func() {
		t.Helper()
		if r, _ := wstest.Ask(t, wstest.Target{Address: "127.0.0.1:" + port}, get("/")); r.StatusCode != 204 {
			t.Errorf("status %d, want 204", r.StatusCode)
		}
	}
	old := fmt.Sprintf("listeners: [%q]", "127.0.0.1:"+port)
	last := old
	for _, tt := range []struct{ name, listeners, want string }{
		{"a port of another program", fmt.Sprintf("[':%s', %q]", port, taken.Addr()), "in use: another program listens there"},
		{"both at once", fmt.Sprintf("['127.0.0.1:%[1]s', ':%[1]s']", port), "address :" + port + " is in use by the listener 127.0.0.1:" + port + " of this file"},
		{"both at once, new", fmt.Sprintf("['0.0.0.0:%[1]s', ':%[1]s']", port), "is in use by the listener"},
	} {
		r := g.reload("configuration refused", last, "listeners: "+tt.listeners)
		last = "listeners: " + tt.listeners
		if !strings.Contains(r.text("error"), tt.want) {
			t.Errorf("%s: error = %q, want %q", tt.name, r.text("error"), tt.want)
		}
		answers()
	}
	g.reload("configuration reloaded", last, old)
	answers()
}

// With the same address, TLS begins and ends with the reload.
func TestReloadTurnsTLSOnAndOff(t *testing.T) {
	t.Parallel()
	ca := wstest.NewCA(t)
	cert, key := ca.Issue(t, "gateway.test")
	port := freePort(t)
	g := startFile(t, onAddress(t, "127.0.0.1:"+port, fmt.Sprintf("tls: { certificates: [{ cert: %q, key: %q }] }\nroutes: [{ respond: 204 }]", cert, key)))
	plain := wstest.Target{Address: "127.0.0.1:" + port}
	secure := wstest.Target{Address: plain.Address, TLS: ca.Client("gateway.test")}
	before, after := fmt.Sprintf("[%q]", plain.Address), fmt.Sprintf("[{ address: %q, tls: true }]", plain.Address)
	other := fmt.Sprintf("[{ address: ':%s', tls: true }]", port)
	for _, step := range []struct {
		from, to string
		target   wstest.Target
	}{{"", "", plain}, {before, after, secure}, {after, before, plain}, {before, other, secure}, {other, before, plain}} {
		if step.to != "" {
			g.reload("configuration reloaded", step.from, step.to)
		}
		if r, _ := wstest.Ask(t, step.target, get("/")); r.StatusCode != 204 {
			t.Errorf("listeners %s: status %d, want 204", step.to, r.StatusCode)
		}
	}
}

func TestUnixSocketsOverReloads(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	dir := t.TempDir()
	path, other := filepath.Join(dir, "s"), filepath.Join(dir, "t")
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	at := func(address, mode string) string {
		return fmt.Sprintf("listeners: [{ address: %q%s }]", "unix:"+address, mode)
	}
	last := at(path, `, mode: "0600"`)
	config := strings.Replace(onAddress(t, "x", fmt.Sprintf("routes: [{ path: /ws, backend: %s }, { path: /, respond: 204 }]", b.Address)), `listeners: ["x"]`, last, 1)
	g := startFile(t, config)
	check := func(step, socket string, mode os.FileMode) {
		t.Helper()
		info, err := os.Stat(socket)
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s: mode %03o, want %03o", step, info.Mode().Perm(), mode)
		}
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, get("/")); err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		if answer, err := io.ReadAll(c); !strings.HasPrefix(string(answer), "HTTP/1.1 204") {
			t.Errorf("%s: answer %q, %v", step, answer, err)
		}
	}
	usual := os.FileMode(0o777)
	if probe, err := os.OpenFile(filepath.Join(dir, "probe"), os.O_CREATE|os.O_WRONLY, 0o777); err != nil {
		t.Fatal(err)
	} else if info, err := probe.Stat(); err != nil {
		t.Fatal(err)
	} else {
		usual = info.Mode().Perm() // what the umask leaves, which the gateway has too
		probe.Close()
	}
	reload := func(outcome, to string) record {
		t.Helper()
		r := g.reload(outcome, last, to)
		last = to
		return r
	}
	check("at start", path, 0o600)
	reload("configuration reloaded", at(path, `, mode: "0660"`))
	check("another mode", path, 0o660)
	reload("configuration refused", fmt.Sprintf("listeners: [{ address: %q, mode: '0666' }, { address: %q }]", "unix:"+path, "unix:"+filepath.Join(dir, "none", "s")))
	check("a mode that came with a mistake", path, 0o660)
	reload("configuration reloaded", at(path, `, mode: "0660"`))
	if err := os.Chmod(path, 0o606); err != nil {
		t.Fatal(err)
	}
	reload("configuration reloaded", at(dir+"/../"+filepath.Base(dir)+"/s", `, mode: "0660"`))
	check("another spelling, and a mode that somebody else set", path, 0o606)
	reload("configuration reloaded", at(filepath.Join(dir, "link", "s"), `, mode: "0600"`))
	check("by way of a link", path, 0o600)
	reload("configuration reloaded", at(path, ""))
	check("no mode", path, usual)
	reload("configuration reloaded", at(other, `, mode: "0622"`))
	check("another socket", other, 0o622)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket that is configured no more is still there: %v", err)
	}
}
