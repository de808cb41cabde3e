package integration

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"sluice/internal/wstest"
)

// descriptors returns how many the process of g has open.
func (g *gateway) descriptors() int {
	g.t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.pid))
	if err != nil {
		g.t.Fatal(err)
	}
	return len(open)
}

// refusedStreams opens HTTP/2 connections with many requests each, whose answers have no
// window, and returns how many requests were refused with 503.
func refusedStreams(t *testing.T, g *gateway, connections, requests int, request []field) (refused int) {
	t.Helper()
	for range connections {
		s := dial2(t, g.https, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		answered := make(chan int)
		go func() { // reads: answers of all, and what comes behind them
			statuses := 0
			refused := 0
			for statuses < requests {
				f, err := s.ReadFrame()
				if err != nil {
					break
				}
				if h, ok := f.(*http2.MetaHeadersFrame); ok {
					statuses++
					if h.PseudoValue("status") == strconv.Itoa(http.StatusServiceUnavailable) {
						refused++
					}
				}
			}
			answered <- refused
		}()
		for i := range requests {
			if err := s.open(uint32(2*i+1), true, request...); err != nil {
				t.Error(err)
				break
			}
		}
		refused += <-answered
	}
	return refused
}

// Requests whose answers are not taken hold descriptors. Those of one client never take all
// there are, and others are served.
func TestStreamsTakeNotAllDescriptors(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	write(t, files+"/page.bin", strings.Repeat("x", 1<<20))
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /files/*, strip_prefix: /files, files: %q }
  - { path: /hello, respond: { body: hello } }
`, files))
	const most = 1000
	tool(t, "prlimit", "--pid", strconv.Itoa(g.pid), fmt.Sprintf("--nofile=%d", most))
	if n := refusedStreams(t, g, 10, 200, pseudo("GET", "/files/page.bin")); n < 1000 {
		t.Errorf("%d of 2000 requests were refused", n)
	}
	if n := g.descriptors(); n > most*2/3 {
		t.Errorf("%d of %d descriptors are in use", n, most)
	}
	another := g.client(t)
	another.Transport.(*http.Transport).DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext
	for _, path := range []string{"/hello", "/files/page.bin"} {
		r, err := another.Get(g.http.URL(path))
		if err != nil {
			t.Fatal(err)
		}
		if r.Body.Close(); r.StatusCode != http.StatusOK {
			t.Errorf("another client got status %d for %s", r.StatusCode, path)
		}
	}
}

// The same for memory, also for answers that need no route.
func TestStreamsTakeNotAllMemory(t *testing.T) {
	if built("-race") == "true" {
		t.Skip("the race detector takes its own memory, of which the limit knows nothing")
	}
	t.Setenv("GOMEMLIMIT", "64MiB")
	files := t.TempDir()
	write(t, files+"/page.bin", strings.Repeat("x", 1<<20))
	for name, request := range map[string][]field{
		"files": pseudo("GET", "/page.bin"), "not found": pseudo("GET", "/none"), "misdirected": with(":authority", "other.test", pseudo("GET", "/page.bin")),
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, fmt.Sprintf("routes: [{ path: /*, files: %q }]", files))
			refusedStreams(t, g, 30, 250, request)
			if n := peak(t, g.pid); n > 96<<20 {
				t.Errorf("the gateway took %d MiB with a memory limit of 64", n>>20)
			}
		})
	}
}

// A connection that is refused no longer counts, whatever its client has sent.
func TestRefusedConnectionsKeepNoPlace(t *testing.T) {
	t.Parallel()
	g := listening(t, "max_connections: 20, connections_per_ip: 1", "routes: [{ path: /*, respond: { body: hello } }]")
	for range 100 {
		wstest.Dial(t, g.http).WriteString(get("/"))
	}
	another := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	transport := &http.Transport{DialContext: another.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	r, err := (&http.Client{Transport: transport}).Get(g.http.URL("/"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Body.Close(); r.StatusCode != http.StatusOK {
		t.Errorf("another client got status %d", r.StatusCode)
	}
}

// Idle clients can't use up the descriptors: connections have a limit by default.
func TestConnectionsHaveALimitByDefault(t *testing.T) {
	t.Parallel()
	b := newRecorder(t)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	const keeping = "GET /first HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
	first := wstest.Dial(t, g.http)
	first.WriteString(keeping)
	first.Answer("GET ")
	const most = 200
	tool(t, "prlimit", "--pid", strconv.Itoa(g.pid), fmt.Sprintf("--nofile=%d", most))
	var idle []wstest.Peer
	for range most {
		idle = append(idle, wstest.Dial(t, g.http))
	}
	for range 3 { // the backend is reached all the same
		first.WriteString(keeping)
		if r, _ := first.Answer("GET "); r.StatusCode != http.StatusOK {
			t.Errorf("status %d with idle connections open", r.StatusCode)
		}
	}
	if n := g.descriptors(); n > most*2/3 {
		t.Errorf("%d of %d descriptors are in use", n, most)
	}
	for _, p := range idle {
		p.Close()
	}
	if r, _ := wstest.Ask(t, g.http, get("/others")); r.StatusCode != http.StatusOK {
		t.Errorf("status %d when they are closed", r.StatusCode)
	}
}
