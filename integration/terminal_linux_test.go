package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/wstest"
)

// terminal is a terminal of 80x24 in which a command runs.
type terminal struct {
	t      *testing.T
	master *os.File
	slave  *os.File
	cmd    *exec.Cmd
	exited chan struct{}

	mu      sync.Mutex
	display display
	full    sync.Mutex // held while the terminal takes no output
}

// openTerminal runs a command of the binary in a terminal of a kind.
func openTerminal(t *testing.T, kind string, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows24, Col: columns80})
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	cmd := wstest.DieWithParent(exec.Command(executable, args...))
	cmd.Env = append(environment(), "TERM="+kind, "LANG=C.UTF-8", "LC_ALL=", "NO_COLOR=1", "COLUMNS=", "LINES=")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v := &terminal{t: t, master: master, slave: slave, cmd: cmd, exited: make(chan struct{})}
	go v.read()
	go func() {
		defer close(v.exited)
		_ = cmd.Wait() // its result is the exit code, which end returns
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-v.exited
	})
	return v
}

func (v *terminal) read() {
	b := make([]byte, 4096)
	for {
		n, err := v.master.Read(b)
		v.full.Lock()
		v.mu.Lock()
		v.display.write(b[:n])
		v.mu.Unlock()
		v.full.Unlock()
		if err != nil {
			return
		}
	}
}

// look returns what the terminal shows.
func (v *terminal) look() (screen string, alternate bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.display.String(), v.display.alternate
}

// expect waits until all of some texts are shown.
func (v *terminal) expect(texts ...string) {
	v.t.Helper()
	for deadline := time.Now().Add(wstest.Guard); ; time.Sleep(5 * time.Millisecond) {
		screen, _ := v.look()
		missing := ""
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				missing = text
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("%q is not shown after %v:\n%s", missing, wstest.Guard, screen)
		}
	}
}

// keys presses keys.
func (v *terminal) keys(keys string) {
	v.t.Helper()
	if _, err := v.master.WriteString(keys); err != nil {
		v.t.Fatal(err)
	}
}

// awaitStopped waits until the command is stopped, as by Ctrl-Z in a shell.
func (v *terminal) awaitStopped() {
	v.t.Helper()
	eventually(v.t, "the command is stopped", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", v.cmd.Process.Pid))
		_, state, ok := strings.Cut(string(stat), ") ")
		return err == nil && ok && strings.HasPrefix(state, "T")
	})
}

// awaitBlocked presses a key until the command reads no more: it waits for the terminal to take what it
// writes, which the terminal does not do while v.full is held.
func (v *terminal) awaitBlocked(key string) {
	v.t.Helper()
	eventually(v.t, "the command waits for the terminal", func() bool {
		v.keys(strings.Repeat(key, 100))
		waiting, err := unix.IoctlGetInt(int(v.slave.Fd()), unix.TIOCINQ)
		return err == nil && waiting >= 1000
	})
}

// signal sends the command a signal.
func (v *terminal) signal(s syscall.Signal) {
	v.t.Helper()
	if err := v.cmd.Process.Signal(s); err != nil {
		v.t.Fatal(err)
	}
}

// settings returns how the terminal treats what is typed and written.
func (v *terminal) settings() unix.Termios {
	v.t.Helper()
	s, err := unix.IoctlGetTermios(int(v.slave.Fd()), unix.TCGETS)
	if err != nil {
		v.t.Fatal(err)
	}
	return *s
}

// expectRestored waits until the screen of the shell is back, and checks the settings.
func (v *terminal) expectRestored(before unix.Termios) {
	v.t.Helper()
	eventually(v.t, "the screen of the shell is back", func() bool {
		_, alternate := v.look()
		return !alternate
	})
	if after := v.settings(); after != before {
		v.t.Errorf("the terminal has the settings %+v, want those of before, %+v", after, before)
	}
}

// end waits for the command to end, and returns its exit code.
func (v *terminal) end() int {
	v.t.Helper()
	select {
	case <-v.exited:
	case <-time.After(wstest.Guard):
		screen, _ := v.look()
		v.t.Fatalf("the command still runs after %v:\n%s", wstest.Guard, screen)
	}
	return v.cmd.ProcessState.ExitCode()
}

const (
	rows24    = 24
	columns80 = 80
)

// display is what a terminal shows, as far as commands here write to it.
type display struct {
	cells     [rows24][columns80]rune
	x, y      int
	alternate bool   // a screen of its own is in use
	rest      []byte // a sequence that is not complete
}

func (d *display) String() string {
	var b strings.Builder
	for _, row := range d.cells {
		line := strings.Map(func(r rune) rune { return max(r, ' ') }, string(row[:]))
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

func (d *display) write(b []byte) {
	text := string(append(d.rest, b...))
	for text != "" {
		plain, _, _ := strings.Cut(text, "\x1b")
		for _, r := range plain {
			d.put(r)
		}
		text = text[len(plain):]
		n := sequence(text)
		if n == 0 {
			break
		}
		d.obey(text[:n])
		text = text[n:]
	}
	d.rest = []byte(text)
}

// sequence returns the length of the escape sequence at the beginning of a text, or 0 if it is not
// complete.
func sequence(text string) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '[':
		if i := strings.IndexFunc(text[2:], func(r rune) bool { return r >= '@' && r <= '~' }); i >= 0 {
			return i + 3
		}
		return 0
	case ']':
		for _, end := range []string{"\a", "\x1b\\"} {
			if i := strings.Index(text, end); i >= 0 {
				return i + len(end)
			}
		}
		return 0
	case '(', ')': // a set of characters
		if len(text) < 3 {
			return 0
		}
		return 3
	}
	return 2
}

func (d *display) put(r rune) {
	switch {
	case r == '\r':
		d.x = 0
	case r == '\n':
		d.y = min(d.y+1, rows24-1)
	case r >= ' ' && d.x < columns80:
		d.cells[d.y][d.x] = r
		d.x++
	}
}

// obey does what a sequence means: moves the cursor, clears the screen, changes to another one.
func (d *display) obey(sequence string) {
	switch {
	case strings.HasPrefix(sequence, "\x1b[?1049"):
		d.alternate = strings.HasSuffix(sequence, "h")
		d.cells = [rows24][columns80]rune{}
	case strings.HasSuffix(sequence, "J"):
		d.cells = [rows24][columns80]rune{}
	case strings.HasSuffix(sequence, "H") && sequence[1] == '[':
		y, x := 1, 1
		fmt.Sscanf(sequence, "\x1b[%d;%dH", &y, &x)
		d.y, d.x = min(max(y, 1), rows24)-1, min(max(x, 1), columns80)-1
	}
}
