package integration

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// endlessTest is the variable that makes the test below run until it is killed.
const endlessTest = "SLUICE_TEST_ENDLESS"

// When tests are killed, as by a time-out of go test, the programs that they started die too.
func TestNothingOutlivesTheTests(t *testing.T) {
	t.Parallel()
	if os.Getenv(endlessTest) != "" {
		e := startEndpoint(t, wstest.Reserve(t), "")
		g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", e.address))
		fmt.Println("started", append(heirs(t, g), g.pid, e.cmd.Process.Pid))
		select {}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, self, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(environment(), endlessTest+"=1", "SLUICE_BINARY="+executable, "TMPDIR="+t.TempDir()) // it removes nothing
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var started []int
	for lines := bufio.NewScanner(out); started == nil && lines.Scan(); {
		if pids, ok := strings.CutPrefix(lines.Text(), "started ["); ok {
			for pid := range strings.FieldsSeq(strings.TrimSuffix(pids, "]")) {
				n, err := strconv.Atoi(pid)
				if err != nil {
					t.Fatal(err)
				}
				started = append(started, n)
			}
		}
	}
	if len(started) < 2 {
		t.Fatal("the test that is to be cut did not begin")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed: nothing to learn
	for _, pid := range started {
		for guard := time.Now().Add(wstest.Guard); lives(pid); {
			if time.Now().After(guard) {
				t.Fatalf("process %d still lives", pid)
			}
		}
	}
}

// lives reports whether a process has not ended. One that has ended is a zombie until its new
// parent asks.
func lives(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !strings.Contains(string(status), "State:\tZ")
}
