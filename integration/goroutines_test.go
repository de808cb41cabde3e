package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sluice/internal/wstest"
)

// goroutines ends the gateway, and returns how many goroutines it had at that moment, without
// those of the Go runtime and those that wait for TLS handshakes, of which there is a bounded
// number; and the list of all.
func (g *gateway) goroutines() (n int, list string) {
	g.t.Helper()
	list = g.dump()
	n = strings.Count(list, "\ngoroutine ") - strings.Count(list, "\ncreated by runtime.") -
		strings.Count(list, "listen.(*handshakes).another(")
	return n, list
}

// pumps ends the gateway, and returns how many goroutines served its sessions at that moment:
// none on the event loops, where TLS sessions are only if their records were taken over; two
// for each session elsewhere.
func (g *gateway) pumps() int {
	g.t.Helper()
	return strings.Count(g.dump(), "portable.(*session).pump(")
}

// dump ends the gateway with SIGQUIT, which has the Go runtime list all goroutines.
func (g *gateway) dump() string {
	g.t.Helper()
	g.idle() // the stacks of goroutines that run would be missing
	g.signal(syscall.SIGQUIT)
	if code := g.exit(); code != 2 {
		g.t.Errorf("exit code %d after SIGQUIT, want 2", code)
	}
	list := g.stderr.String()
	if !strings.Contains(list, "goroutine 1 ") {
		g.t.Errorf("no goroutines in\n%.1000s", list)
	}
	g.stderr.Reset()
	return list
}

// idle waits until the gateway has no more work: between two looks none of its threads ran,
// and none waits for a processor.
func (g *gateway) idle() {
	g.t.Helper()
	before := ""
	for guard := time.Now().Add(wstest.Guard); time.Now().Before(guard); {
		now := g.threads()
		if now == before && !strings.Contains(now, "State:\tR") {
			return
		}
		before = now
	}
	g.t.Errorf("the gateway still works after %v", wstest.Guard)
}

// threads is what Linux says about each thread: its state, and how often it ran.
func (g *gateway) threads() string {
	g.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", g.pid))
	if err != nil || len(files) == 0 {
		g.t.Fatalf("no threads of process %d: %v", g.pid, err)
	}
	var all strings.Builder
	for _, f := range files {
		status, _ := os.ReadFile(f) // nothing of a thread that has just ended
		all.Write(status)
	}
	return all.String()
}
