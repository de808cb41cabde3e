package integration

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"sluice/internal/wstest"
)

// stopping runs a gateway whose section shutdown is as given.
func stopping(t *testing.T, shutdown, body string) *gateway {
	t.Helper()
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	ca := wstest.NewCA(t)
	cert, key := ca.Issue(t, "gateway.test", "127.0.0.1", "::1")
	g := startFile(t, fmt.Sprintf(`
listeners: ["127.0.0.1:0", { address: "localhost:0", tls: true }]
tls: { certificates: [{ cert: %q, key: %q }] }
log: { format: json }
state_dir: %q
shutdown: %s
%s`, cert, key, t.TempDir(), shutdown, body))
	g.http = wstest.Target{Address: g.listener(false)}
	g.https = wstest.Target{Address: g.listener(true), TLS: ca.Client("gateway.test")}
	return g
}

// In the delay readiness is red and everything is served, but clients are told to go elsewhere. A second
// signal ends it all, sessions with a Close frame.
func TestStopDelays(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := stopping(t, "{ delay: 1h }", "routes: [{ path: /ws, backend: '"+b.Address+"' }, { respond: { body: hello } }]")
	client, backend := wstest.Pair(t, g.http, b, wstest.Handshake("/ws"))
	kept := map[string]wstest.Peer{"http": wstest.Dial(t, g.http), "https": wstest.Dial(t, g.https)}
	const request = "GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
	ask := func(when string, closes bool) {
		t.Helper()
		for name, c := range kept {
			c.WriteString(request)
			if r, body := c.Answer(request); r.StatusCode != 200 || r.Close != closes {
				t.Errorf("%s, over %s: %d %q, Connection: close %t; want 200 and %t", when, name, r.StatusCode, body, r.Close, closes)
			}
		}
	}
	ask("before the signal", false)
	awaitGoAway := multiplexed(t, g)
	underWay := wstest.Dial(t, g.https)
	underWay.WriteString("GET /ws HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
	asked := b.Next(t)

	g.signal(syscall.SIGTERM)
	g.wait("shutting down", nil)
	eventually(t, "readiness is red", func() bool {
		output, code := sluice(t, "status", "--ready", "--config", g.config)
		return code != 0 && strings.Contains(output, "the gateway is draining")
	})
	awaitGoAway()
	asked.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	if r, _ := underWay.Answer(request); r.StatusCode != 200 || !r.Close {
		t.Errorf("under way at the signal: %d, Connection: close %t; want 200 and true", r.StatusCode, r.Close)
	}
	ask("idle since before the signal", true)
	for _, target := range g.schemes() {
		if r, _ := wstest.Ask(t, target, request); r.StatusCode != 200 || !r.Close {
			t.Errorf("a new connection: %d, Connection: close %t; want 200 and true", r.StatusCode, r.Close)
		}
	}
	multiplexed(t, g)() // also what is opened now
	late, lateBackend := wstest.Pair(t, g.https, b, wstest.Handshake("/ws"))
	late.Send(wstest.Text("hello"))
	lateBackend.Expect(wstest.Text("hello"))
	client.Send(wstest.Text("still"))
	backend.Expect(wstest.Text("still"))

	g.signal(syscall.SIGTERM)
	for _, p := range []wstest.Peer{client, backend, late, lateBackend} {
		p.ExpectClose(1001)
	}
	g.signal(syscall.SIGTERM) // nothing more: the process ends as before
	if code := g.exit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// multiplexed opens a connection of HTTP/2, makes a request on it, and returns a function that waits for
// GOAWAY.
func multiplexed(t *testing.T, g *gateway) (awaitGoAway func()) {
	t.Helper()
	target := g.https
	target.TLS = target.TLS.Clone()
	target.TLS.NextProtos = []string{"h2"}
	c := wstest.Dial(t, target)
	c.WriteString(http2.ClientPreface)
	f := http2.NewFramer(c, c)
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	// GET https://gateway.test/ (RFC 7541): indexed fields, and a literal authority.
	head := append([]byte{0x82, 0x87, 0x84, 0x41, 12}, "gateway.test"...)
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head, EndStream: true, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		for answered := false; ; {
			frame, err := f.ReadFrame()
			if err != nil {
				t.Fatalf("ReadFrame = %v; want a GOAWAY frame", err)
			}
			switch frame := frame.(type) {
			case *http2.HeadersFrame:
				answered = true
			case *http2.GoAwayFrame:
				if frame.ErrCode != http2.ErrCodeNo || frame.LastStreamID != 1 {
					t.Errorf("answered %t, %v; want GOAWAY without an error, after stream 1", answered, frame)
				}
				return
			}
		}
	}
}

// Sessions end evenly over the spread, whichever engine has them.
func TestStopSpreadsSessions(t *testing.T) {
	const sessions = 40
	spread := 4 * time.Second
	b := wstest.NewBackend(t, nil)
	g := stopping(t, fmt.Sprintf("{ spread: %v, timeout: 1m }", spread), "routes: [{ backend: '"+b.Address+"' }]")
	closed := make(chan time.Time, sessions) // the zero time for one that failed
	for i := range sessions {
		target := g.http
		if i%2 == 1 {
			target = g.https
		}
		client, backend := wstest.Pair(t, target, b, wstest.Handshake(fmt.Sprintf("/%d", i)))
		go func() {
			at := time.Time{}
			if _, err := client.Next(); err == nil {
				at = time.Now()
			}
			closed <- at
			client.Close()
			backend.Close()
		}()
	}
	began := time.Now()
	g.signal(syscall.SIGTERM)
	var last time.Time
	for range sessions {
		at := <-closed
		if at.IsZero() {
			t.Fatal("a session ended without a Close frame")
		}
		last = at
	}
	if took := last.Sub(began); took < spread*3/4 {
		t.Errorf("%d sessions ended within %v; want about %v", sessions, took, spread)
	}
	for i := range sessions {
		expect(t, g.ended(fmt.Sprintf("/%d", i)), record{"ended_by": "gateway", "cause": "shutdown", "close_code": 1001})
	}
	if code := g.exit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// A second signal in the spread ends the sessions that are left, with a Close frame.
func TestSecondSignalEndsTheSpread(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := stopping(t, "{ spread: 1h, timeout: 1h }", "routes: [{ backend: '"+b.Address+"' }]")
	client, backend := wstest.Pair(t, g.http, b, wstest.Handshake("/"))
	g.signal(syscall.SIGTERM)
	eventually(t, "the listener is closed", func() bool { return refusesConnections(g.http.Address) })
	g.signal(syscall.SIGINT)
	client.ExpectClose(1001)
	backend.ExpectClose(1001)
	if code := g.exit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
