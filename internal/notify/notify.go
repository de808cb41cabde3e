// Package notify reports the state of this process to the service manager that started it, by the
// protocol of sd_notify(3), and feeds the manager's watchdog (sd_watchdog_enabled(3)).
package notify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	longestPath    = 107              // bytes: sun_path of unix(7) without the final NUL, which the name of an abstract socket has not
	longestStatus  = 1 << 10          // bytes; systemd drops messages of 4,096 bytes and more
	sendTimeout    = time.Second      // for a manager whose queue is full
	statusInterval = 30 * time.Second // between messages without a watchdog
)

// variables are what a service manager sets: its socket, the time of its watchdog in microseconds, and
// the process that the watchdog is for.
var variables = [...]string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}

// A Manager is the service manager to which this process reports. A nil *Manager is none: its methods
// do nothing. Any goroutine may use it. A message that cannot be sent within a second is lost.
type Manager struct {
	socket   string        // path, or @ and the name of an abstract socket
	watchdog time.Duration // 0 is none
	failed   func(error)
	transmit func(message string) error

	mu       sync.Mutex
	conn     *net.UnixConn // nil before the first message, and after a failure
	failing  bool          // failed was called
	stopping bool
	other    bool // another process is the main process
}

// FromEnvironment returns the manager that the environment names, or nil, and removes what names it, so
// that no child reports in place of this process. The manager calls failed, for the first message alone
// that cannot be sent.
func FromEnvironment(failed func(error)) *Manager {
	var values [len(variables)]string
	for i, name := range variables {
		values[i] = os.Getenv(name)
		os.Unsetenv(name)
	}
	if values[0] == "" {
		return nil
	}
	m := &Manager{socket: values[0], watchdog: watchdog(values[1], values[2]), failed: failed}
	m.transmit = m.write
	return m
}

// watchdog returns the time of the watchdog: 0 if there is none, or if it is for another process.
func watchdog(usec, pid string) time.Duration {
	if pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/int64(time.Microsecond) {
		return 0
	}
	return time.Duration(n) * time.Microsecond
}

// Environment returns the variables, each as NAME=value, with which a child that is to become the main
// process of the service finds the manager.
func (m *Manager) Environment() []string {
	if m == nil {
		return nil
	}
	all := []string{variables[0] + "=" + m.socket}
	if m.watchdog > 0 {
		all = append(all, fmt.Sprintf("%s=%d", variables[1], m.watchdog.Microseconds()))
	}
	return all
}

// Ready reports that the process serves: it has started, or a reload is over.
func (m *Manager) Ready(status string) { m.change("READY=1\n" + assignment(status)) }

// Reloading reports that a reload begins. Ready must follow, whether it succeeds or not.
func (m *Manager) Reloading() { m.change("RELOADING=1" + monotonic()) }

// Stopping reports that the process is about to end. Ready and Reloading do nothing from then on.
func (m *Manager) Stopping(status string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopping = true; m.other {
		return
	}
	m.send("STOPPING=1\n" + assignment(status))
}

// MainPID makes a child the main process of the service, with the whole time of the watchdog from now on. The manager wants no
// more messages of this one (NotifyAccess=main of systemd.service(5)), and gets none.
func (m *Manager) MainPID(pid int) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	message := "MAINPID=" + strconv.Itoa(pid)
	if m.watchdog > 0 {
		message += "\nWATCHDOG=1"
	}
	m.other = true
	m.send(message)
}

// Run reports what status returns, in one line for people to read, and feeds the watchdog, until ctx ends:
// at once, and at half of the time of the watchdog, or every 30 seconds without one. Before each message it calls
// working, which waits for a proof that the process does its work, and is false when ctx ends before. Until
// then the watchdog gets nothing.
func (m *Manager) Run(ctx context.Context, working func(context.Context) bool, status func() string) {
	if m == nil {
		return
	}
	interval, feed := statusInterval, ""
	if m.watchdog > 0 {
		interval, feed = max(m.watchdog/2, time.Millisecond), "WATCHDOG=1\n"
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for working(ctx) {
		text := status()
		m.mu.Lock()
		if !m.other {
			m.send(feed + assignment(text))
		}
		m.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// assignment returns a status as it stands in a message: one line, of UTF-8, that is not too long.
func assignment(status string) string {
	const more = "..."
	status = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(status, "?"))
	if len(status) > longestStatus {
		status = strings.ToValidUTF8(status[:longestStatus-len(more)], "") + more
	}
	return "STATUS=" + status
}

// change sends a message about a state that the process can have until it stops.
func (m *Manager) change(message string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stopping && !m.other {
		m.send(message)
	}
}

// send sends a message. The lock is held, so that messages arrive in their order.
func (m *Manager) send(message string) {
	if err := m.transmit(message); err != nil && !m.failing {
		m.failing = true
		m.failed(fmt.Errorf("NOTIFY_SOCKET=%s: %w", m.socket, err))
	}
}

// write sends a message over the connection, which it keeps: a process without a free descriptor has to feed
// its watchdog too. If the socket at its other end is gone, there may be a new one.
func (m *Manager) write(message string) error {
	for {
		kept := m.conn != nil
		if !kept {
			c, err := dial(m.socket)
			if err != nil {
				return err
			}
			m.conn = c
		}
		m.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
		_, err := m.conn.Write([]byte(message))
		if err == nil {
			return nil
		}
		m.conn.Close()
		m.conn = nil
		if !kept || errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// dial returns a connection to the socket of an address.
func dial(address string) (*net.UnixConn, error) {
	name := strings.TrimPrefix(address, "@")
	switch {
	case address[0] != '/' && address[0] != '@':
		return nil, errors.New("want a path that begins with /, or @ and the name of an abstract socket")
	case len(name) > longestPath:
		return nil, fmt.Errorf("it has %d bytes, and the address of a socket %d at most", len(name), longestPath)
	}
	return net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
}
