//go:build linux

package integration

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// A burst of connections loses none, though it is larger than the queue of the listening socket
// may be, and each loop gets half of them.
func TestBurstOfConnects(t *testing.T) {
	if portable() {
		t.Skip("there are no loops")
	}
	const loops, clients = 2, 64
	connects := sizeOfBurst(t)
	t.Setenv("GOMAXPROCS", fmt.Sprint(loops)) // of the gateway
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	t.Cleanup(b.Close)
	g := startFile(t, fmt.Sprintf(`
listeners: [{ address: "127.0.0.1:0", max_connections: %d, timeouts: { header: 10m } }]
http: { engine: loops }
log: { format: json, access: false }
state_dir: %q
routes: [{ path: /*, backend: %s }]
`, connects, t.TempDir(), b.Listener.Addr()))

	address := netip.MustParseAddrPort(g.listener(false))
	guard := time.Now().Add(wstest.LongGuard)
	begun := make(chan *os.File, connects)
	for range connects {
		c := beginConnect(t, address)
		defer c.Close()
		c.SetDeadline(guard)
		begun <- c
	}
	close(begun)
	lost := make(chan error, connects)
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for c := range begun {
				if err := hello(c); err != nil {
					lost <- err
				}
			}
		})
	}
	all.Wait()
	if n := len(lost); n > 0 {
		t.Fatalf("%d of %d connections were lost; the first one: %v", n, connects, <-lost)
	}

	g.signal(syscall.SIGUSR1)
	for n := range loops {
		r := g.wait("status of a loop", func(r record) bool { return r["loop"] == float64(n) })
		has := r.number("connections") // those to the backend are among them
		t.Logf("loop %d has %d connections", n, has)
		if has < connects/loops*9/10 {
			t.Errorf("loop %d has %d connections of %d", n, has, connects)
		}
	}
}

// sizeOfBurst returns 10,000, or less where a process may not have twice as many descriptors: the
// test and the gateway have one for each connection, and more for the backend and for themselves.
func sizeOfBurst(t *testing.T) int {
	t.Helper()
	const most = 10_000
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	n := int(min(most, files.Cur/2))
	if n < most {
		t.Logf("a burst of %d connections instead of 10,000: a process may have only %d descriptors", n, files.Cur)
	}
	return n
}

// beginConnect begins to connect to address, and does not wait until the connection is there.
func beginConnect(t *testing.T, address netip.AddrPort) *os.File {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	err = syscall.Connect(fd, &syscall.SockaddrInet4{Addr: address.Addr().As4(), Port: int(address.Port())})
	if err != nil && err != syscall.EINPROGRESS {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "connection")
}

// hello makes a request on a connection as soon as it is there, and reads the answer.
func hello(c *os.File) error {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n"); err != nil {
		return err
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(r.Body)
	if err == nil && string(body) != "hello" {
		err = fmt.Errorf("%s: %q", r.Status, body)
	}
	return err
}
