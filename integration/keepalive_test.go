package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// keeper is a backend that answers with the number of the connection, from 1 on, and never
// closes one. It holds a request for /held until it gets a value to release.
type keeper struct {
	url     string
	arrived chan struct{} // a value for each request that is held
	release chan struct{}

	mu      sync.Mutex
	opened  int
	open    int
	changed chan struct{} // closed and replaced when a connection is opened or closed
}

// numberKey is the key of a connection's number in the contexts of its requests.
type numberKey struct{}

func startKeeper(t *testing.T, overTLS bool) *keeper {
	t.Helper()
	k := &keeper{arrived: make(chan struct{}, 100), release: make(chan struct{}), changed: make(chan struct{})}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/held" {
			k.arrived <- struct{}{}
			select {
			case <-k.release:
			case <-r.Context().Done():
			}
		}
		fmt.Fprint(w, r.Context().Value(numberKey{}))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			k.count(1)
		case http.StateClosed:
			k.count(-1)
		}
	}
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { // before StateNew, and one at a time
		k.mu.Lock()
		defer k.mu.Unlock()
		return context.WithValue(ctx, numberKey{}, k.opened+1)
	}
	if overTLS {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	k.url = s.URL
	return k
}

// count notes that a connection is opened (1) or closed (-1).
func (k *keeper) count(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open += n
	k.opened += max(n, 0)
	close(k.changed)
	k.changed = make(chan struct{})
}

// expect waits until so many connections are open, of so many in all.
func (k *keeper) expect(t *testing.T, open, opened int) {
	t.Helper()
	guard := time.After(wstest.Guard)
	for {
		k.mu.Lock()
		gotOpen, gotOpened, changed := k.open, k.opened, k.changed
		k.mu.Unlock()
		if gotOpen == open && gotOpened == opened {
			return
		}
		select {
		case <-changed:
		case <-guard:
			t.Fatalf("%d connections of %d are open at the backend; want %d of %d", gotOpen, gotOpened, open, opened)
		}
	}
}

// gateway starts one in front of the backend.
func (k *keeper) gateway(t *testing.T, keepalive string) *gateway {
	t.Helper()
	tls := ""
	if strings.HasPrefix(k.url, "https") {
		tls = ", tls: { insecure: true }"
	}
	return start(t, fmt.Sprintf(`
backends: { app: { endpoints: [%q], keepalive: { %s }%s } }
routes: [{ path: /*, backend: app }]
`, k.url, keepalive, tls))
}

// A connection to a backend is closed after as many requests as the file says, with a body or
// without.
func TestConnectionsCloseAfterTheirRequests(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			k := startKeeper(t, scheme == "https")
			g := k.gateway(t, "requests: 3")
			numbers := ""
			for i := range 7 {
				request := get("/")
				if i%3 == 2 {
					request = "POST / HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody"
				}
				r, number := wstest.Ask(t, g.http, request)
				if r.StatusCode != http.StatusOK {
					t.Fatalf("request %d: %s", i+1, r.Status)
				}
				numbers += number
			}
			if numbers != "1112223" {
				t.Errorf("seven requests came over the connections %s; want 1112223", numbers)
			}
			k.expect(t, 1, 3)
		})
	}
}

// No more connections without a request are kept than the file says, over all event loops, and
// these are used.
func TestIdleConnectionsAreKept(t *testing.T) {
	t.Parallel()
	for idle, want := range map[string]int{"idle: 2": 2, "idle: off": 0, "idle: 0": 0, "requests: off": 5} {
		t.Run(idle, func(t *testing.T) {
			t.Parallel()
			k := startKeeper(t, false)
			g := k.gateway(t, idle)
			// hold sends requests that the backend holds all at once, then answers one by one.
			hold := func(n int) {
				t.Helper()
				var clients []wstest.Peer
				for range n {
					c := wstest.Dial(t, g.http)
					c.WriteString(get("/held"))
					clients = append(clients, c)
				}
				for range n {
					<-k.arrived
				}
				answers := make(chan string)
				for _, c := range clients {
					go func() {
						b, _ := io.ReadAll(c)
						answers <- string(b)
					}()
				}
				for range n {
					k.release <- struct{}{}
					if answer := <-answers; !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
						t.Fatalf("the answer is %q", answer)
					}
				}
			}
			hold(5)
			k.expect(t, want, 5)
			hold(want)
			k.expect(t, want, 5)
		})
	}
}

// A connection without a request is closed when its time is over.
func TestIdleConnectionsTimeOut(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			k := startKeeper(t, scheme == "https")
			g := k.gateway(t, "timeout: 100ms")
			wstest.Ask(t, g.http, get("/"))
			k.expect(t, 0, 1)
		})
	}
}

// A change of keepalive closes connections that have no request, and the others after their
// request.
func TestReloadOfKeepalive(t *testing.T) {
	t.Parallel()
	k := startKeeper(t, false)
	g := k.gateway(t, "idle: 10")
	client := wstest.Dial(t, g.http)
	client.WriteString(get("/held"))
	<-k.arrived
	if _, number := wstest.Ask(t, g.http, get("/")); number != "2" {
		t.Fatalf("the second request came over connection %s; want 2", number)
	}
	g.reload("configuration reloaded", "idle: 10", "idle: 1")
	k.expect(t, 1, 2)
	k.release <- struct{}{}
	if r, number := client.Answer("GET"); r.StatusCode != http.StatusOK || number != "1" {
		t.Errorf("the answer to the request under way is %s over connection %s; want 200 over 1", r.Status, number)
	}
	k.expect(t, 0, 2)
	for range 2 {
		if _, number := wstest.Ask(t, g.http, get("/")); number != "3" {
			t.Errorf("a request after the reload came over connection %s; want 3", number)
		}
	}
}

// A backend with eight workers, each of which serves one connection at a time, serves eight
// clients at a time, whichever loops these are on: a loop without a connection takes another's
// before it opens one. Go's net/http does not promise that: it may open one while an answer
// ends.
func TestWorkersOfABackendAreNotStarved(t *testing.T) {
	if runtime.GOOS != "linux" || portable() {
		t.Skip("it needs event loops")
	}
	t.Setenv("GOMAXPROCS", "4") // of the gateway
	const workers, connections, rounds = 8, 32, 25
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepted atomic.Int32
	arrived, answer, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	serve := func(c net.Conn) {
		defer c.Close()
		for in := bufio.NewReader(c); ; {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			for _, step := range []chan struct{}{arrived, answer} {
				select {
				case step <- struct{}{}:
				case <-over:
					return
				}
			}
			if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
				return
			}
		}
	}
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for {
				c, err := backend.Accept()
				if err != nil {
					return
				}
				accepted.Add(1)
				serve(c)
			}
		})
	}
	t.Cleanup(func() { close(over); backend.Close(); running.Wait() })
	g := start(t, fmt.Sprintf("http: { engine: loops }\nroutes: [{ path: /*, backend: %q }]", backend.Addr()))
	var clients []wstest.Peer
	for range connections {
		clients = append(clients, wstest.Dial(t, g.http))
	}
	for range rounds {
		busy := rand.Perm(connections)[:workers]
		for _, i := range busy {
			clients[i].WriteString("GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
		}
		guard := time.After(wstest.Guard)
		for n := range busy {
			select {
			case <-arrived:
			case <-guard:
				t.Fatalf("%d of %d requests have come to the backend", n, workers)
			}
		}
		for range busy {
			<-answer
		}
		for _, i := range busy {
			if r, body := clients[i].Answer("GET"); r.StatusCode != http.StatusOK || body != "ok" {
				t.Fatalf("the answer is %s, %q", r.Status, body)
			}
		}
	}
	if n := accepted.Load(); n != workers {
		t.Errorf("the backend got %d connections; want %d", n, workers)
	}
}
