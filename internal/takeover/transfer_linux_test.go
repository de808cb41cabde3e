package takeover

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A transfer is an old and a new process, and the clients of the old one's sessions.
type transfer struct {
	t        *testing.T
	sides    map[string]*side
	clients  []*net.UnixConn
	listener net.Listener
}

// A side is a process as the test sees it.
type side struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Reader
	kill  func()
}

// startTransfer starts both sides. shared is for both of them; stop is a side and the
// step at which it stops, "" for none.
func startTransfer(t *testing.T, shared part, stop string) *transfer {
	t.Helper()
	h := &transfer{t: t, sides: map[string]*side{}}
	var err error
	if h.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.listener.Close() })
	file, err := h.listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	ends := socketpair(t)
	old := []*os.File{ends[0], file}
	for range shared.Sessions {
		s := socketpair(t)
		client, err := net.FileConn(s[0])
		if err != nil {
			t.Fatal(err)
		}
		s[0].Close()
		t.Cleanup(func() { client.Close() })
		h.clients = append(h.clients, client.(*net.UnixConn))
		old = append(old, s[1])
	}
	for name, files := range map[string][]*os.File{"old": old, "new": {ends[1]}} {
		p := shared
		p.Side = name
		if side, step, _ := strings.Cut(stop, " "); side == name {
			p.Stop = step
			p.Step = time.Minute // the other side gives up
		}
		h.sides[name] = startSide(t, p, files)
	}
	for name := range h.sides { // what one waits for the other does not begin while that is started
		h.line(name, "up")
	}
	for name := range h.sides {
		h.say(name)
	}
	return h
}

// startSide starts a process with files as its descriptors 3 and up, and closes them here.
func startSide(t *testing.T, p part, files []*os.File) *side {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	s := &side{cmd: exec.Command(os.Args[0])}
	s.cmd.Env = append(os.Environ(), partVariable+"="+string(text))
	s.cmd.ExtraFiles = files
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		f.Close()
	}
	s.lines = bufio.NewReader(out)
	s.kill = sync.OnceFunc(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	})
	t.Cleanup(s.kill)
	return s
}

// line returns the next line of a side, without its first word, which has to be want.
func (h *transfer) line(name, want string) string {
	h.t.Helper()
	text, err := h.sides[name].lines.ReadString('\n')
	word, rest, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
	if word != want {
		h.t.Fatalf("the %s process says %q, %v; want a line that begins with %q", name, text, err, want)
	}
	return rest
}

func (h *transfer) say(name string) {
	h.t.Helper()
	if _, err := io.WriteString(h.sides[name].in, "\n"); err != nil {
		h.t.Fatalf("telling the %s process to go on: %v", name, err)
	}
}

// owners asks each session who answers: o for the old process, n for the new one, x for none.
func (h *transfer) owners() string {
	h.t.Helper()
	var got strings.Builder
	for i, c := range h.clients {
		answer := []byte("x")
		c.SetDeadline(time.Now().Add(time.Minute))
		_, err := c.Write([]byte("?"))
		if err == nil {
			_, err = c.Read(answer)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			h.t.Fatalf("session %d is open and gives no answer", i)
		}
		got.Write(answer)
	}
	return got.String()
}

// checkFiles compares how many descriptors a side has more than before the take-over.
func (h *transfer) checkFiles(name string, want int) {
	h.t.Helper()
	h.say(name)
	if got := h.line(name, "files"); got != fmt.Sprint(want) {
		h.t.Errorf("the %s process has %s descriptors more than before; want %d", name, got, want)
	}
}

func socketpair(t testing.TB) [2]*os.File {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	return [2]*os.File{os.NewFile(uintptr(fds[0]), "a"), os.NewFile(uintptr(fds[1]), "b")}
}
