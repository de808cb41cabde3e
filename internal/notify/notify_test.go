//go:build unix

package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// listen returns the socket of a service manager.
func listen(t *testing.T, address string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// receive returns the next message. It has been sent: a datagram arrives before the call that sends it returns.
func receive(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Minute))
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// manager returns the manager of an environment, and what fails there.
func manager(t *testing.T, values ...string) (*Manager, *[]string) {
	t.Helper()
	for i, v := range values {
		t.Setenv(variables[i], v)
	}
	failures := new([]string)
	return FromEnvironment(func(err error) { *failures = append(*failures, err.Error()) }), failures
}

func TestMessages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	for _, address := range []string{path, "@sluice-" + t.Name() + fmt.Sprint(os.Getpid())} {
		t.Run(address[:1], func(t *testing.T) {
			if address[0] == '@' && monotonic() == "" {
				t.Skip("only Linux has abstract sockets")
			}
			c := listen(t, address)
			m, failures := manager(t, address)
			for _, name := range variables {
				if v, ok := os.LookupEnv(name); ok {
					t.Errorf("%s=%s is in the environment of children", name, v)
				}
			}
			m.Ready("running")
			m.Stopping("draining")
			m.Ready("no more")
			m.Reloading()
			m.Stopping("again")
			m.MainPID(12)
			m.Stopping("nor this")
			other, _ := manager(t, address)
			other.Ready("the last one")
			for _, want := range []string{"READY=1\nSTATUS=running", "STOPPING=1\nSTATUS=draining", "STOPPING=1\nSTATUS=again", "MAINPID=12", "READY=1\nSTATUS=the last one"} {
				if got := receive(t, c); got != want {
					t.Errorf("message %q, want %q", got, want)
				}
			}
			if len(*failures) > 0 {
				t.Errorf("failures %q, want none", *failures)
			}
		})
	}
}

func TestReloadingHasItsTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	c := listen(t, path)
	m, _ := manager(t, path)
	time := func() (usec int64) {
		m.Reloading()
		got := receive(t, c)
		if monotonic() == "" {
			if got != "RELOADING=1" {
				t.Errorf("message %q, want RELOADING=1", got)
			}
			return 0
		}
		if n, err := fmt.Sscanf(got, "RELOADING=1\nMONOTONIC_USEC=%d", &usec); n != 1 || usec <= 0 {
			t.Errorf("message %q: %v; want RELOADING=1 and a time", got, err)
		}
		return usec
	}
	if first, second := time(), time(); second < first {
		t.Errorf("a reload at %d after one at %d", second, first)
	}
}

func TestNoManager(t *testing.T) {
	m, _ := manager(t, "", "30000000")
	if m != nil {
		t.Fatalf("FromEnvironment() = %+v without NOTIFY_SOCKET, want nil", m)
	}
	m.Ready("")
	m.Reloading()
	m.Stopping("")
	m.MainPID(1)
	m.Run(t.Context(), nil, nil)
	if all := m.Environment(); all != nil {
		t.Errorf("Environment() = %q, want nothing", all)
	}
}

func TestWatchdogOfTheEnvironment(t *testing.T) {
	own := fmt.Sprint(os.Getpid())
	tests := []struct {
		name, usec, pid string
		want            time.Duration
	}{
		{"none", "", "", 0},
		{"of any process", "30000000", "", 30 * time.Second},
		{"of this process", "1500", own, 1500 * time.Microsecond},
		{"of another process", "30000000", own + "0", 0},
		{"no number of a process", "30000000", "x", 0},
		{"zero", "0", "", 0},
		{"less than zero", "-1", "", 0},
		{"no number", "30s", "", 0},
		{"too long", "9223372036854776", "", 0},
		{"infinity", "18446744073709551615", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := manager(t, "/s", tt.usec, tt.pid)
			if m.watchdog != tt.want {
				t.Errorf("FromEnvironment() with WATCHDOG_USEC=%q, WATCHDOG_PID=%q has a watchdog of %v, want %v", tt.usec, tt.pid, m.watchdog, tt.want)
			}
			want := []string{"NOTIFY_SOCKET=/s"}
			if tt.want > 0 {
				want = append(want, "WATCHDOG_USEC="+tt.usec)
			}
			if all := m.Environment(); !slices.Equal(all, want) {
				t.Errorf("Environment() = %q, want %q", all, want)
			}
		})
	}
}

func TestFailuresAreReportedOnce(t *testing.T) {
	dir := t.TempDir()
	long := "/" + strings.Repeat("x", 107)
	full := filepath.Join(dir, "full")
	listen(t, full) // reads nothing
	tests := []struct {
		name, address, want string
		messages            int
	}{
		{"no socket", filepath.Join(dir, "none"), "no such file", 2},
		{"too long", long, "NOTIFY_SOCKET=" + long + ": it has 108 bytes, and the address of a socket 107 at most", 2},
		{"too long an abstract name", "@" + long, "it has 108 bytes", 2},
		{"neither path nor name", "vsock:2:1234", "want a path that begins with /, or @ and the name of an abstract socket", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, failures := manager(t, tt.address)
			for range tt.messages {
				m.Ready("")
			}
			if len(*failures) != 1 || !strings.Contains((*failures)[0], tt.want) {
				t.Errorf("failures of %d messages: %q; want one, %q", tt.messages, *failures, tt.want)
			}
		})
	}
	t.Run("nobody reads", func(t *testing.T) {
		m, failures := manager(t, full)
		for len(*failures) == 0 { // until the queue is full
			m.Ready(strings.Repeat("x", 1<<10))
		}
		if !strings.Contains((*failures)[0], "i/o timeout") {
			t.Errorf("failures %q, want a timeout", *failures)
		}
	})
}

// stop closes the socket of a manager.
func stop(t *testing.T, c *net.UnixConn, path string) {
	t.Helper()
	c.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// The socket of a manager that was started again is another one with the same path.
func TestTheManagerComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	c := listen(t, path)
	m, failures := manager(t, path)
	m.Ready("before")
	receive(t, c)
	stop(t, c, path)
	m.Ready("lost")
	if len(*failures) != 1 {
		t.Errorf("failures %q, want one", *failures)
	}
	c = listen(t, path)
	m.Ready("after")
	if got := receive(t, c); got != "READY=1\nSTATUS=after" {
		t.Errorf("message %q, want READY=1", got)
	}
	stop(t, c, path)
	c = listen(t, path)
	m.Ready("at once") // the connection that was kept leads to the old socket
	if got := receive(t, c); got != "READY=1\nSTATUS=at once" {
		t.Errorf("message %q, want READY=1", got)
	}
}

// A tick that comes while the proof is awaited is kept: there may be two messages at once then.
func TestRun(t *testing.T) {
	type sent struct {
		at      time.Duration
		message string
	}
	tests := []struct {
		name     string
		watchdog time.Duration
		busy     map[time.Duration]time.Duration // how long working takes when it is called at this time
		until    time.Duration
		want     []sent
	}{
		{"without a watchdog", 0, nil, 70 * time.Second, []sent{{0, "STATUS=1"}, {30 * time.Second, "STATUS=2"}, {60 * time.Second, "STATUS=3"}}},
		{"with one", 20 * time.Second, nil, 25 * time.Second, []sent{{0, "WATCHDOG=1\nSTATUS=1"}, {10 * time.Second, "WATCHDOG=1\nSTATUS=2"}, {20 * time.Second, "WATCHDOG=1\nSTATUS=3"}}},
		{
			"late", 20 * time.Second, map[time.Duration]time.Duration{10 * time.Second: 9 * time.Second}, 25 * time.Second,
			[]sent{{0, "WATCHDOG=1\nSTATUS=1"}, {19 * time.Second, "WATCHDOG=1\nSTATUS=2"}, {20 * time.Second, "WATCHDOG=1\nSTATUS=3"}},
		},
		{
			"not before it works", 20 * time.Second, map[time.Duration]time.Duration{20 * time.Second: 55 * time.Second}, 78 * time.Second,
			[]sent{{0, "WATCHDOG=1\nSTATUS=1"}, {10 * time.Second, "WATCHDOG=1\nSTATUS=2"}, {75 * time.Second, "WATCHDOG=1\nSTATUS=3"}, {75 * time.Second, "WATCHDOG=1\nSTATUS=4"}},
		},
		{"never", 20 * time.Second, map[time.Duration]time.Duration{10 * time.Second: time.Hour}, time.Minute, []sent{{0, "WATCHDOG=1\nSTATUS=1"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, calls := time.Now(), 0
				var all []sent
				m := &Manager{watchdog: tt.watchdog, transmit: func(message string) error {
					all = append(all, sent{time.Since(start), message})
					return nil
				}}
				ctx, cancel := context.WithTimeout(t.Context(), tt.until)
				defer cancel()
				working := func(ctx context.Context) bool {
					select {
					case <-time.After(tt.busy[time.Since(start)]):
						return true
					case <-ctx.Done():
						return false
					}
				}
				m.Run(ctx, working, func() string { calls++; return fmt.Sprint(calls) })
				if got := time.Since(start); got != tt.until || !slices.Equal(all, tt.want) {
					t.Errorf("Run sent %v and returned after %v; want %v, %v", all, got, tt.want, tt.until)
				}
			})
		})
	}
}

// A status is one assignment of a message, whatever it holds, and what it says stays.
func FuzzStatus(f *testing.F) {
	for _, s := range []string{"running", "a\nMAINPID=1", "\x00", "\xff", "é\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, status string) {
		var got string
		m := &Manager{failed: func(error) {}, transmit: func(message string) error { got = message; return errors.New("lost") }}
		m.Ready(status)
		first, second, _ := strings.Cut(got, "\n")
		text, ok := strings.CutPrefix(second, "STATUS=")
		if first != "READY=1" || !ok || strings.ContainsAny(text, "\n\x00") || text != strings.ToValidUTF8(text, "") {
			t.Fatalf("Ready(%q) sent %q", status, got)
		}
		if plain := strings.ToValidUTF8(status, ""); plain == status && len([]rune(text)) != len([]rune(status)) {
			t.Fatalf("Ready(%q) sent the status %q", status, text)
		}
	})
}
