package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// view is what Linux says about a process.
type view struct {
	sockets, pipes, others int // descriptors
	threads, resident      int // resident: bytes
}

// look returns what the gateway uses now.
func (g *gateway) look() (v view) {
	g.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", g.pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, fd := range fds {
		switch to, err := os.Readlink(filepath.Join(dir, fd.Name())); {
		case err != nil: // it was closed meanwhile
		case strings.HasPrefix(to, "socket:"):
			v.sockets++
		case strings.HasPrefix(to, "pipe:"):
			v.pipes++
		default:
			v.others++
		}
	}
	for line := range strings.Lines(read(g.t, fmt.Sprintf("/proc/%d/status", g.pid))) {
		var n int
		if k, _ := fmt.Sscanf(line, "VmRSS: %d kB", &n); k == 1 {
			v.resident = n << 10
		} else if k, _ := fmt.Sscanf(line, "Threads: %d", &n); k == 1 {
			v.threads = n
		}
	}
	return v
}

func (v view) String() string {
	return fmt.Sprintf("%d sockets, %d pipes, %d other descriptors, %d threads, %d MiB resident", v.sockets, v.pipes, v.others, v.threads, v.resident>>20)
}

// listenSockets returns how many sockets a gateway of start has without connections: that of the
// admin interface, one for each listener and, where there are event loops, one more, from which they
// accept.
func listenSockets() int {
	if runtime.GOOS != "linux" || portable() {
		return 1 + 2
	}
	return 1 + 4
}

// settled reports whether the gateway has only what it had before and what it keeps for the
// next sessions.
func (v view) settled(before view) bool {
	return v.released(before) &&
		v.threads <= before.threads+32 &&
		v.resident <= before.resident+generous(32<<20)
}

// released is settled for descriptors: of those that are kept each event loop has two, and 64 pipes
// with two each.
func (v view) released(before view) bool {
	loops := runtime.NumCPU()
	return v.sockets == listenSockets() &&
		v.pipes <= before.pipes+2*64*loops &&
		v.others <= before.others+2*loops
}
