package integration

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/internal/wstest"
)

var (
	executable string         // path of the sluice that is tested; set by TestMain before any test
	covers     string         // directory for the coverage of its runs
	groups     io.WriteCloser // of the process groups of gateways: see startReaper
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if address := os.Getenv(endpointAddress); address != "" {
		return endpointMain(address, os.Getenv(endpointMode))
	}
	if os.Getenv(reaperOf) != "" {
		return reaperMain()
	}
	if err := wstest.FollowParent(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "sluice-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv("RUNTIME_DIRECTORY", filepath.Join(dir, "run")) // for the sockets of operators
	if covers = os.Getenv("GOCOVERDIR"); covers == "" {
		covers = dir
	}
	if executable = os.Getenv("SLUICE_BINARY"); executable == "" {
		executable = filepath.Join(dir, "sluice")
		if err := compile(executable); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if groups, err = startReaper(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer groups.Close()
	return m.Run()
}

// compile builds the binary with coverage and, as the tests were built, with the
// race detector, whose finds then fail them through the exit code, and with
// build tags.
func compile(out string) error {
	args := []string{"build", "-cover", "-coverpkg=sluice/...", "-o", out}
	if built("-race") == "true" {
		args = append(args, "-race")
	}
	if tags := built("-tags"); tags != "" {
		args = append(args, "-tags="+tags)
	}
	cmd := exec.Command("go", append(args, "sluice/cmd/sluice")...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, text)
	}
	return nil
}

// built returns a setting that the tests themselves were built with.
func built(key string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == key {
				return s.Value
			}
		}
	}
	return ""
}

// sluice runs a command of the binary to its end and returns what it wrote to
// both outputs, and its exit code.
func sluice(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	cmd := command(t, executable, args...)
	cmd.Env = environment()
	b, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// environment is what the binary runs in. The race detector would wait a second
// at each exit.
func environment() []string {
	return append(os.Environ(), "GOCOVERDIR="+covers, "GORACE=atexit_sleep_ms=0")
}

// record is one line of the log.
type record map[string]any

func (r record) text(key string) string { s, _ := r[key].(string); return s }

// name is the message up to its colon: behind it stands what that means.
func (r record) name() string {
	name, _, _ := strings.Cut(r.text("message"), ":")
	return name
}

func (r record) number(key string) int { f, _ := r[key].(float64); return int(f) }

// gateway is a running process of the binary.
type gateway struct {
	config string // its file
	http   wstest.Target
	https  wstest.Target
	ca     string // PEM file of the authority of its certificate
	pid    int    // of its last process

	t      testing.TB
	cmd    *exec.Cmd
	stderr bytes.Buffer  // to be read after exited
	exited chan struct{} // closed when the process is gone and its log is read

	mu      sync.Mutex
	records []record
	changed chan struct{} // closed and replaced at each record
	sink    func(record)  // takes the records in place of records, unless it is nil
}

// shutdownTimeout is how long servers that stop wait for what is left.
const shutdownTimeout = 15 * time.Second

// start runs the gateway with a plain and a TLS listener for gateway.test and
// what body adds to the file, and waits until it is ready. It is told to end
// when the test does, and must then exit with 0.
func start(t testing.TB, body string) *gateway {
	t.Helper()
	ca := wstest.NewCA(t)
	cert, key := ca.Issue(t, "gateway.test", "127.0.0.1", "::1")
	g := startFile(t, fmt.Sprintf(`
listeners:
  - 127.0.0.1:0
  - { address: "localhost:0", tls: true }
tls:
  certificates: [{ cert: %q, key: %q }]
log: { format: json }
state_dir: %q
shutdown_timeout: %v
%s`, cert, key, t.TempDir(), shutdownTimeout, body))
	g.ca = ca.File
	g.http = wstest.Target{Address: g.listener(false)}
	g.https = wstest.Target{Address: g.listener(true), TLS: ca.Client("gateway.test")}
	return g
}

// startFile runs the gateway with a whole configuration and waits until it is
// ready.
func startFile(t testing.TB, config string) *gateway {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, file, withEngine(withRecords(config)))
	g := launch(t, "run", "--config", file)
	g.config = file
	g.started()
	return g
}

// started waits until the gateway is ready, and returns the record that says so. With the race detector, beside other
// tests, a start takes much longer than what else is waited for.
func (g *gateway) started() record {
	g.t.Helper()
	return g.waitWithin(wstest.LongGuard, 0, "ready", nil)
}

// tlsRecords is who protects the TLS records of sessions where a test does not
// say: "sluice", or "go" with make test-records-go.
func tlsRecords() string { return cmp.Or(os.Getenv("SLUICE_TLS_RECORDS"), "sluice") }

// withRecords sets that in a configuration with TLS.
func withRecords(config string) string {
	if tlsRecords() == "sluice" || strings.Contains(config, "records: ") {
		return config
	}
	config = strings.Replace(config, "\ntls: { ", "\ntls: { records: "+tlsRecords()+", ", 1)
	return strings.Replace(config, "\ntls:\n", "\ntls:\n  records: "+tlsRecords()+"\n", 1)
}

// httpEngine is what speaks HTTP/1.1 with clients where a test does not say: "loops", or "go" with
// make test-http-go and where there are no loops.
func httpEngine() string {
	if runtime.GOOS != "linux" || portable() {
		return "go"
	}
	return cmp.Or(os.Getenv("SLUICE_HTTP_ENGINE"), "loops")
}

// onLoops reports whether the loops speak HTTP/1.1 with the clients of a target: not where they do not
// over TLS, because its records are left to crypto/tls (make test-records-go).
func onLoops(t wstest.Target) bool {
	return httpEngine() == "loops" && (t.TLS == nil || tlsRecords() == "sluice")
}

// withEngine sets that in a configuration.
func withEngine(config string) string {
	if httpEngine() == "loops" || strings.Contains(config, "\nhttp:") {
		return config
	}
	return config + "\nhttp: { engine: " + httpEngine() + " }\n"
}

// launch starts a command of the binary that logs.
func launch(t testing.TB, args ...string) *gateway {
	t.Helper()
	return launchAs(t, exec.Command(executable, args...))
}

// launchAs starts a command that becomes the binary, with the variables of the command besides its own.
func launchAs(t testing.TB, cmd *exec.Cmd) *gateway {
	t.Helper()
	g := &gateway{
		t:       t,
		cmd:     wstest.DieWithParent(cmd),
		exited:  make(chan struct{}),
		changed: make(chan struct{}),
	}
	g.cmd.Env = append(environment(), cmd.Env...)
	g.cmd.Stderr = &g.stderr
	inOwnGroup(g.cmd)
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g.pid = g.cmd.Process.Pid
	fmt.Fprintln(groups, g.pid)
	go func() {
		defer close(g.exited)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			r := record{"text": lines.Text()}
			_ = json.Unmarshal(lines.Bytes(), &r)
			g.keep(r)
		}
		_ = g.cmd.Wait() // its result is the exit code, which exit checks
		fmt.Fprintln(groups, -g.cmd.Process.Pid)
	}()
	t.Cleanup(g.end)
	return g
}

func (g *gateway) keep(r record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sink != nil {
		g.sink(r)
		return
	}
	g.records = append(g.records, r)
	close(g.changed)
	g.changed = make(chan struct{})
}

// divert has sink called with each record from now on, one at a time. They are
// not kept: for logs that grow long.
func (g *gateway) divert(sink func(record)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sink = sink
}

// end stops a gateway that still runs and checks how it went.
func (g *gateway) end() {
	select {
	case <-g.exited:
	default:
		g.signal(syscall.SIGTERM)
		if code := g.exit(); code != 0 {
			g.t.Errorf("exit code %d after SIGTERM, want 0", code)
		}
	}
	if s := g.stderr.String(); strings.Contains(s, "DATA RACE") || strings.Contains(s, "panic: ") {
		g.t.Errorf("the gateway wrote:\n%s", s)
	}
	if g.t.Failed() {
		var text strings.Builder
		for _, r := range g.log() {
			text.WriteString(r.text("text") + "\n")
		}
		g.t.Logf("log of the gateway:\n%s%s", &text, &g.stderr)
	}
}

// exit waits for the process to end and returns its exit code.
func (g *gateway) exit() int {
	g.t.Helper()
	select {
	case <-g.exited:
	case <-time.After(2 * wstest.Guard):
		killGroup(g.cmd.Process.Pid)
		<-g.exited
		g.t.Errorf("the gateway still ran after %v and was killed", 2*wstest.Guard)
	}
	return g.cmd.ProcessState.ExitCode()
}

func (g *gateway) signal(s os.Signal) {
	g.t.Helper()
	if err := g.kill(s); err != nil {
		g.t.Error(err)
	}
}

// kill sends a signal to the process that is the gateway now.
func (g *gateway) kill(s os.Signal) error {
	p, err := os.FindProcess(g.pid)
	if err != nil {
		return err
	}
	return p.Signal(s)
}

// reload replaces the configuration and returns the record of its outcome.
func (g *gateway) reload(outcome, from, to string) record {
	g.t.Helper()
	old := read(g.t, g.config)
	if from != "" && !strings.Contains(old, from) {
		g.t.Fatalf("%q is not in the configuration", from)
	}
	write(g.t, g.config, strings.Replace(old, from, to, 1))
	before := len(g.log())
	g.signal(syscall.SIGHUP)
	return g.waitFrom(before, outcome, nil)
}

// reloadDiverted is reload to a whole configuration where the records are diverted: those of
// reloads come from outcomes. It reports whether there was one.
func (g *gateway) reloadDiverted(outcome, config string, outcomes <-chan record) bool {
	g.t.Helper()
	write(g.t, g.config, withEngine(config))
	g.signal(syscall.SIGHUP)
	select {
	case r := <-outcomes:
		if r.name() != outcome {
			g.t.Errorf("want %q: %s for\n%s", outcome, r.text("text"), config)
		}
		return true
	case <-time.After(wstest.LongGuard):
		g.t.Errorf("no outcome of a reload within %v", wstest.LongGuard)
		return false
	}
}

// listener returns the address the plain or the TLS listener got.
func (g *gateway) listener(tls bool) string {
	g.t.Helper()
	return g.wait("listening", func(r record) bool { return r["tls"] == tls }).text("address")
}

// log returns the records so far.
func (g *gateway) log() []record {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.records)
}

// wait returns the first record of a name that matches, which may be nil.
func (g *gateway) wait(name string, match func(record) bool) record {
	g.t.Helper()
	return g.waitFrom(0, name, match)
}

func (g *gateway) waitFrom(first int, name string, match func(record) bool) record {
	g.t.Helper()
	return g.waitWithin(wstest.Guard, first, name, match)
}

// waitWithin waits for as long as it is told to.
func (g *gateway) waitWithin(longest time.Duration, first int, name string, match func(record) bool) record {
	g.t.Helper()
	guard := time.After(longest)
	for next := first; ; {
		g.mu.Lock()
		records, changed := g.records, g.changed
		g.mu.Unlock()
		for ; next < len(records); next++ {
			if r := records[next]; r.name() == name && (match == nil || match(r)) {
				return r
			}
		}
		select {
		case <-changed:
		case <-g.exited:
			if next == len(g.log()) {
				g.t.Fatalf("the gateway ended without a matching %q in its log", name)
			}
		case <-guard:
			g.t.Fatalf("no matching %q in the log after %v", name, longest)
		}
	}
}

// ended returns the record of the end of the session that was opened for uri.
func (g *gateway) ended(uri string) record {
	g.t.Helper()
	return g.wait("session ended", func(r record) bool { return r.text("uri") == uri })
}

// request returns the record of the request for uri.
func (g *gateway) request(uri string) record {
	g.t.Helper()
	return g.wait("request", func(r record) bool { return r.text("uri") == uri })
}

// expect compares some values of a record.
func expect(t *testing.T, r record, want record) {
	t.Helper()
	for key, w := range want {
		if n, ok := w.(int); ok {
			w = float64(n)
		}
		if r[key] != w {
			t.Errorf("%s = %v, want %v in %s", key, r[key], w, r.text("text"))
		}
	}
}

// schemes are both ways to the gateway, by name.
func (g *gateway) schemes() map[string]wstest.Target {
	return map[string]wstest.Target{"ws": g.http, "wss": g.https}
}

func read(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// refusesConnections reports whether nothing listens at an address.
func refusesConnections(address string) bool {
	c, err := net.Dial("tcp", address)
	if err == nil {
		c.Close()
	}
	return err != nil
}
