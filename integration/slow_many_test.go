//go:build linux

package integration

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// Many clients of the loops are slow: connections that are idle behind a request, a fifth as many
// with half a head, and a fiftieth as many that send a body in chunks of one byte. Every fourth is
// over TLS. Other clients are served meanwhile, each slow one costs a bounded amount of memory, the
// deadlines end all of them, and no descriptor is left. SLOW_CLIENTS is the number of the idle
// ones, as in make slow.
func TestManySlowClients(t *testing.T) {
	if portable() {
		t.Skip("there are no loops")
	}
	t.Parallel()
	idle := affordable(t, setting(t, "SLOW_CLIENTS", 1000, strconv.Atoi))
	heads, uploads := idle/5, idle/50
	all := idle + heads + uploads
	deadline := 10*time.Second + time.Duration(all)*5*time.Millisecond // an emulated machine opens them in this time
	guard := time.Now().Add(2*deadline + wstest.LongGuard)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	mux.HandleFunc("POST /", func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	g := listening(t, fmt.Sprintf("max_connections: %d, timeouts: { header: %[2]v, idle: %[2]v }", 2*all, deadline), fmt.Sprintf(`
http: { engine: loops }
backends: { app: { endpoints: [%q], keepalive: { timeout: 1s } } }
routes: [{ path: /*, backend: app }]
`, webBackend(t, mux)))
	stop := timedGets(t, g)
	before, most := g.look(), peak(t, g.pid)

	clients := make([]net.Conn, all)
	numbers := make(chan int)
	var opening sync.WaitGroup
	for range 16 {
		opening.Go(func() {
			for i := range numbers {
				begin := beginIdle
				switch {
				case i >= idle+heads:
					begin = beginUpload
				case i >= idle:
					begin = beginHead
				}
				target := g.http
				if i%4 == 0 && tlsRecords() == "sluice" {
					target = g.https
				}
				var err error
				if clients[i], err = slowClient(target, guard, begin); err != nil {
					t.Errorf("client %d of %d: %v", i, all, err)
				}
			}
		})
	}
	for i := range all { // the uploads are the last ones, as they may pause for ten seconds only
		numbers <- i
	}
	close(numbers)
	opening.Wait()
	t.Cleanup(func() {
		for _, c := range clients {
			if c != nil {
				c.Close()
			}
		}
	})
	if t.Failed() {
		stop()
		return
	}
	t.Logf("with %d idle clients, %d half heads and %d uploads: %v", idle, heads, uploads, g.look())

	var dripping sync.WaitGroup
	for _, c := range clients[idle+heads:] {
		dripping.Go(func() {
			if got := drip(c); !strings.HasPrefix(got, "HTTP/1.1 408 ") {
				t.Errorf("an upload got %q; want 408 and the end", got)
			}
		})
	}
	dripping.Wait()
	for i, c := range clients[:idle+heads] {
		if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
			t.Errorf("client %d of %d got %q, %v; want the end", i, all, got, err)
		}
	}
	if grown, allowed := peak(t, g.pid)-most, generous(48<<20+all*(4<<10)); grown > allowed {
		t.Errorf("the gateway grew by %d KiB for %d slow clients, want at most %d", grown>>10, all, allowed>>10)
	} else {
		t.Logf("the gateway grew by %d KiB", grown>>10)
	}
	took := stop()
	if len(took) == 0 {
		t.Fatal("no request of another client was answered")
	}
	slices.Sort(took)
	t.Logf("%d requests of others: half took up to %v, 99 %% up to %v, the slowest one %v", len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	for _, c := range clients {
		c.Close()
	}
	eventually(t, "all descriptors are given back", func() bool { return g.look().released(before) })
}

// affordable returns n, or less where a process may not have so many descriptors for slow clients.
func affordable(t *testing.T, n int) int {
	t.Helper()
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if most := int(files.Cur / 10 * 6); most < n {
		t.Logf("%d idle clients in place of %d: a process may have only %d descriptors", most, n, files.Cur)
		return most
	}
	return n
}

// slowClient returns a connection on which begin was done. Guard bounds its whole life.
func slowClient(target wstest.Target, guard time.Time, begin func(net.Conn) error) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", target.Address, wstest.LongGuard)
	if err != nil {
		return nil, err
	}
	if target.TLS != nil {
		c = tls.Client(c, target.TLS)
	}
	if err = c.SetDeadline(guard); err == nil {
		err = begin(c)
	}
	return c, err
}

// beginIdle makes one request.
func beginIdle(c net.Conn) error {
	if _, err := io.WriteString(c, head("GET / HTTP/1.1", "Host: gateway.test")); err != nil {
		return err
	}
	r, err := http.ReadResponse(bufio.NewReaderSize(c, 1<<10), nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(r.Body)
	if err == nil && string(body) != "hello" {
		err = fmt.Errorf("%s: %q", r.Status, body)
	}
	return err
}

// beginHead sends half a head.
func beginHead(c net.Conn) error {
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: gateway.test\r\nX-Half: "+strings.Repeat("x", 2000))
	return err
}

// beginUpload sends a head, and the first chunk of a body.
func beginUpload(c net.Conn) error {
	_, err := io.WriteString(c, head("POST / HTTP/1.1", "Host: gateway.test", "Transfer-Encoding: chunked")+"1\r\nx\r\n")
	return err
}

// drip sends a chunk of one byte from time to time, and returns what comes until the end.
func drip(c net.Conn) string {
	ended := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		every := time.NewTicker(250 * time.Millisecond)
		defer every.Stop()
		for {
			select {
			case <-every.C:
			case <-ended:
				return
			}
			if _, err := io.WriteString(c, "1\r\nx\r\n"); err != nil {
				return
			}
		}
	})
	got, _ := io.ReadAll(c) // a reset is an end too
	close(ended)
	sending.Wait()
	return string(got)
}

// timedGets makes requests of other clients until it is stopped, over HTTP/1.1 with TLS and without,
// each of which must be answered. It returns how long they took.
func timedGets(t *testing.T, g *gateway) (stop func() []time.Duration) {
	t.Helper()
	transport := &http.Transport{DialContext: dialGuarded, TLSClientConfig: g.https.TLS.Clone()}
	client := &http.Client{Transport: transport}
	over := make(chan struct{})
	var mu sync.Mutex
	var took []time.Duration
	var running, first sync.WaitGroup
	for _, target := range g.schemes() {
		first.Add(1)
		running.Go(func() {
			begun := sync.OnceFunc(first.Done)
			defer begun()
			every := time.NewTicker(10 * time.Millisecond)
			defer every.Stop()
			for {
				began := time.Now()
				r, err := client.Get(target.URL("/other"))
				if err != nil {
					t.Errorf("a request of another client: %v", err)
					return
				}
				body, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err != nil || r.ProtoMajor != 1 || r.StatusCode != http.StatusOK || string(body) != "hello" {
					t.Errorf("a request of another client: %s %s, %q, %v", r.Proto, r.Status, body, err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
				begun()
				select {
				case <-every.C:
				case <-over:
					return
				}
			}
		})
	}
	first.Wait()
	return func() []time.Duration {
		close(over)
		running.Wait()
		transport.CloseIdleConnections()
		return took
	}
}
