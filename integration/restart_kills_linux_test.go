//go:build !portable

package integration

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"sluice/internal/admin"
	"sluice/internal/wstest"
)

// childOf waits until a process has a child, and returns that.
func childOf(t *testing.T, pid int) (child int) {
	t.Helper()
	eventually(t, "the process has a child", func() bool {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, f := range files {
			b, _ := os.ReadFile(f) // the thread may have ended
			if fields := strings.Fields(string(b)); len(fields) > 0 {
				child, _ = strconv.Atoi(fields[0])
				return child > 0
			}
		}
		return false
	})
	return child
}

// running reports whether a process runs.
func running(pid int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	return err == nil && !zombie(pid)
}

// sockets returns the sockets that a process has open, by inode; none if it does not run.
func sockets(pid int) map[string]bool {
	all := make(map[string]bool)
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if to, err := os.Readlink(filepath.Join(dir, f.Name())); err == nil && strings.HasPrefix(to, "socket:[") {
			all[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
		}
	}
	return all
}

// accepted returns the inodes of the sockets at the other ends of TCP connections, by the ports of this end and of that one.
func accepted(t *testing.T) map[[2]int]string {
	t.Helper()
	all := make(map[[2]int]string)
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // there is no IPv6
		}
		for line := range strings.Lines(string(b)) {
			fields := strings.Fields(line) // number, local and remote address:port in hexadecimal digits, state, ..., inode
			if len(fields) < 10 || !strings.Contains(fields[1], ":") {
				continue
			}
			port := func(address string) int {
				n, err := strconv.ParseUint(address[strings.LastIndex(address, ":")+1:], 16, 16)
				if err != nil {
					t.Fatalf("%s: %q", file, line)
				}
				return int(n)
			}
			all[[2]int{port(fields[2]), port(fields[1])}] = fields[9]
		}
	}
	return all
}

// owner is which processes have a session's socket.
type owner struct{ victim, heir bool }

// owners stops two processes, and returns which of them has each connection's other end. The older one stands still before the newer
// one is stopped: it cannot while it starts that.
func owners(t *testing.T, victim, heir, newer int, all []wstest.Peer) []owner {
	t.Helper()
	for _, pid := range []int{victim + heir - newer, newer} {
		syscall.Kill(pid, syscall.SIGSTOP)
		eventually(t, "the process stands still", func() bool {
			files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
			for _, f := range files {
				b, _ := os.ReadFile(f)
				if _, after, _ := strings.Cut(string(b), ") "); after != "" && !strings.ContainsRune("TtZX", rune(after[0])) {
					return false
				}
			}
			return true
		})
	}
	inodes, of := accepted(t), [2]map[string]bool{sockets(victim), sockets(heir)}
	found := make([]owner, len(all))
	for i, p := range all {
		port := func(a net.Addr) int { return a.(*net.TCPAddr).Port }
		inode := inodes[[2]int{port(p.Conn.LocalAddr()), port(p.Conn.RemoteAddr())}]
		found[i] = owner{of[0][inode], of[1][inode]}
	}
	return found
}

// survives kills one of two processes, of which the other one goes on, at the moment when the new one has so many descriptors. It
// checks that the sessions that only the one had have ended, that those that only the other one had have not, and that the other one
// has no others. It returns how many live.
func survives(t *testing.T, victim, heir, newer, descriptors int, all []wstest.Peer) (alive int) {
	t.Helper()
	for running(victim) && running(heir) {
		if open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", newer)); err != nil || len(open) >= descriptors {
			break
		}
	}
	had := owners(t, victim, heir, newer, all)
	syscall.Kill(victim, syscall.SIGKILL)
	syscall.Kill(heir, syscall.SIGCONT)
	var only [2]int
	for i, c := range all {
		text := fmt.Sprint("after ", i)
		lives := false
		if c.Conn.Send(wstest.Text(text)) == nil {
			f, err := c.Next()
			if lives = err == nil; lives && string(f.Payload) != text {
				t.Errorf("session %d: got %v %q", i, f.Header.OpCode, f.Payload)
			}
		}
		if lives {
			alive++
		}
		switch had[i] {
		case owner{victim: true}:
			if only[0]++; lives {
				t.Errorf("session %d lives, of which the killed process had the sockets", i)
			}
		case owner{heir: true}:
			if only[1]++; !lives {
				t.Errorf("session %d has ended, of which the other process had the sockets", i)
			}
		}
	}
	t.Logf("the killed process had %d sessions alone, and the other one %d; %d live", only[0], only[1], alive)
	return alive
}

// status returns what a gateway says of itself, if it does.
func (g *gateway) status(t *testing.T) (s admin.Status, ok bool) {
	t.Helper()
	out, code := sluice(t, "status", "--json", "--config", g.config)
	return s, code == 0 && json.Unmarshal([]byte(out), &s) == nil
}

// SIGKILL of either process in the middle of a restart ends the sessions that it had at that moment, and no others: the other
// process has all of those that live, and no more.
func TestKillsDuringARestart(t *testing.T) {
	const sessions = 300 // three batches
	b := wstest.NewBackend(t, wstest.Echo)
	for _, victim := range []string{"new", "old"} {
		for _, descriptors := range []int{0, 15, 25, 100, 260, 500, 600} { // that the new process has when it is done
			t.Run(fmt.Sprintf("the %s process, when the new one has %d descriptors", victim, descriptors), func(t *testing.T) {
				g := operated(t, fmt.Sprintf("routes: [{ path: /*, backend: %q }]", b.Address))
				var all []wstest.Peer
				defer func() {
					for _, c := range all {
						c.Close()
					}
					if victim == "old" {
						g.exit() // the output ends with the last process
					}
				}()
				for i := range sessions {
					target := g.http
					if i%2 == 1 && len(g.movable()) > 1 {
						target = g.https
					}
					c := wstest.Open(t, target, wstest.Handshake("/"))
					c.Send(wstest.Text("before"))
					c.Expect(wstest.Text("before"))
					all = append(all, c)
				}
				restarted := make(chan struct{})
				go func() {
					defer close(restarted)
					sluice(t, "restart", "--config", g.config) // what it says depends on who is killed when
				}()
				defer func() { <-restarted }()
				child := childOf(t, g.pid)
				dead, heir := child, g.pid
				if victim == "old" {
					dead, heir = g.pid, child
				}
				alive := survives(t, dead, heir, child, descriptors, all)
				<-restarted
				if victim == "new" && descriptors == 0 && alive != sessions {
					t.Errorf("%d sessions live; want all %d, as none had gone over", alive, sessions)
				}
				if alive == 0 && victim == "old" { // the new one had not begun
					eventually(t, "the new process has ended too, or serves", func() bool {
						_, serves := g.status(t)
						return serves || !running(heir)
					})
				}
				if !running(heir) {
					if alive > 0 {
						t.Errorf("no process runs, and %d sessions are alive", alive)
					}
					return
				}
				g.pid = heir
				eventually(t, "the other process has the sessions that are alive", func() bool {
					s, ok := g.status(t)
					return ok && s.PID == heir && int(s.Sessions.Used) == alive
				})
				c := wstest.Open(t, g.http, wstest.Handshake("/"))
				c.Send(wstest.Text("late"))
				c.Expect(wstest.Text("late"))
				g.signal(syscall.SIGTERM)
				c.ExpectClose(1001)
			})
		}
	}
}
