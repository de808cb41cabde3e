package integration

import (
	"bufio"
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// python is Debian's own interpreter, because the packages are Debian's.
const python = "/usr/bin/python3"

// command is a program that ends with the test at the latest.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	return wstest.DieWithParent(exec.CommandContext(t.Context(), name, args...))
}

// foreign skips a test of a program that is not part of sluice if the run is short.
func foreign(t *testing.T, name string) {
	t.Helper()
	if testing.Short() {
		t.Skipf("it needs %s, which make test installs", name)
	}
}

// need fails a test whose tool is missing, which it must not quietly do without.
func need(t *testing.T, name string, args ...string) {
	t.Helper()
	foreign(t, name)
	if out, err := command(t, name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s\nrun integration/install.sh (make test does)", name, strings.Join(args, " "), err, out)
	}
}

// needCommands is need for programs that cannot be asked what they are.
func needCommands(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		foreign(t, name)
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%v\nrun integration/install.sh (make test does)", err)
		}
	}
}

func needPython(t *testing.T, module string) {
	t.Helper()
	need(t, python, "-c", "import "+module)
}

func needNode(t *testing.T, module string) {
	t.Helper()
	need(t, "node", "--input-type=module", "-e", "import '"+module+"'")
}

// tool runs a program to its end, which must be a good one, and returns its
// standard output.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	return toolReading(t, nil, name, args...)
}

// toolReading is tool for a program that reads its standard input.
func toolReading(t *testing.T, in []byte, name string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := command(t, name, args...)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", name, err, out, &stderr)
	}
	return string(out)
}

// server starts a program that writes its address to standard output, and
// returns that. The program is killed when the test ends.
func server(t *testing.T, name string, args ...string) string {
	t.Helper()
	foreign(t, name)
	var stderr bytes.Buffer
	cmd := wstest.DieWithParent(exec.Command(name, args...))
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; run integration/install.sh (make test does)", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed: nothing to learn
		if t.Failed() {
			t.Logf("%s %s wrote:\n%s", name, strings.Join(args, " "), &stderr)
		}
	})
	first := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		first <- strings.TrimSpace(line)
	}()
	select {
	case address := <-first:
		if address == "" {
			t.Fatalf("%s ended without telling its address", name)
		}
		return address
	case <-time.After(wstest.Guard):
		t.Fatalf("%s did not tell its address within %v", name, wstest.Guard)
		panic("unreachable")
	}
}

func testdata(name string) string { return filepath.Join("testdata", name) }
