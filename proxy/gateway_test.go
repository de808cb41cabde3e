package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/rs/zerolog"

	"sluice/config"
	"sluice/internal/admin"
	"sluice/internal/wstest"
)

// running is a gateway that serves, and what it logs.
type running struct {
	*Gateway
	t      testing.TB
	stop   func()
	mu     sync.Mutex
	log    bytes.Buffer
	logged chan struct{}
}

func (g *running) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.log.Write(p)
	select {
	case g.logged <- struct{}{}:
	default:
	}
	return len(p), nil
}

// start runs a gateway with a configuration; its first listener is returned.
func start(t testing.TB, text string, prepare ...func(*Gateway)) (*running, string) {
	t.Helper()
	g := &running{t: t, logged: make(chan struct{}, 1)}
	g.Gateway = New(func(config.Log) zerolog.Logger { return zerolog.New(g) }, Options{})
	for _, f := range prepare {
		f(g.Gateway)
	}
	change := g.apply(text)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { g.Run(ctx, context.Background()); close(done) }()
	g.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(wstest.Guard):
			t.Error("the gateway does not stop")
		}
	})
	t.Cleanup(g.stop)
	return g, change.Listeners[0].Address
}

func parse(t testing.TB, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(text), config.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func (g *running) apply(text string) Change {
	g.t.Helper()
	change, err := g.Apply(parse(g.t, text))
	if err != nil {
		g.t.Fatal(err)
	}
	return change
}

// await waits for a text in the log.
func (g *running) await(text string) {
	g.t.Helper()
	timeout := time.After(wstest.Guard)
	for {
		g.mu.Lock()
		found := strings.Contains(g.log.String(), text)
		all := g.log.String()
		g.mu.Unlock()
		if found {
			return
		}
		select {
		case <-g.logged:
		case <-timeout:
			g.t.Fatalf("no %q in the log:\n%s", text, all)
		}
	}
}

// endpoints describes the endpoints of all backends.
func (g *running) endpoints() (all []admin.Endpoint) {
	for _, b := range g.Backends() {
		all = append(all, b.Endpoints...)
	}
	return all
}

// awaitBackends waits until all endpoints together are as ok wants them.
func (g *running) awaitBackends(what string, ok func([]admin.Endpoint) bool) {
	g.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(wstest.Guard)
	for {
		all := g.endpoints()
		if ok(all) {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			g.t.Fatalf("no %s: %+v", what, all)
		}
	}
}

// echo is a WebSocket backend that echoes messages and answers Close frames.
func echo(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			p, op, err := wsutil.ReadClientData(c)
			if err != nil || wsutil.WriteServerMessage(c, op, p) != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func dial(t testing.TB, address, path string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wstest.Guard)
	defer cancel()
	c, _, _, err := ws.Dial(ctx, "ws://"+address+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(wstest.Guard))
	return c
}

func exchange1(t testing.TB, c net.Conn) {
	t.Helper()
	if err := wsutil.WriteClientText(c, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if p, err := wsutil.ReadServerText(c); err != nil || string(p) != "hello" {
		t.Fatalf("echo = %q, %v; want hello", p, err)
	}
}

// closeCode reads the next frame, which has to be a Close, and answers it.
func closeCode(t *testing.T, c net.Conn) ws.StatusCode {
	t.Helper()
	h, err := ws.ReadHeader(c)
	if err != nil || h.OpCode != ws.OpClose || h.Length < 2 {
		t.Fatalf("next frame = %+v, %v; want a Close with a code", h, err)
	}
	body := make([]byte, h.Length)
	if _, err := io.ReadFull(c, body); err != nil {
		t.Fatal(err)
	}
	if err := ws.WriteFrame(c, ws.MaskFrame(ws.NewCloseFrame(body))); err != nil {
		t.Fatal(err)
	}
	return ws.StatusCode(body[0])<<8 | ws.StatusCode(body[1])
}

func TestReloadKeepsSessionsWhoseRouteStays(t *testing.T) {
	backend := echo(t)
	both := fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
routes:
  - {path: /a, backend: "%[1]s"}
  - {path: /b, backend: "%[1]s"}
`, backend)
	g, address := start(t, both)
	a, b := dial(t, address, "/a"), dial(t, address, "/b")
	exchange1(t, a)
	exchange1(t, b)

	if c := g.apply(both); c.Sessions.Text != "kept 2 sessions; ending 0" || c.Listeners[0].Address != address {
		t.Errorf("reload of the same file: %+v; want two sessions kept on %s", c, address)
	}
	changed := fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
routes:
  - {path: /a, backend: "%s", websocket: {compression: strip}}
  - {path: /c, respond: 204}
`, backend)
	if c := g.apply(changed); c.Sessions.Text != "kept 1 session; ending 1: route /b removed" {
		t.Errorf("reload without /b: %+v; want one session kept, one ended", c)
	}
	if code := closeCode(t, b); code != 1012 {
		t.Errorf("session of the removed route got %d; want 1012", code)
	}
	g.await(`"cause":"route removed"`)
	exchange1(t, a)

	other := echo(t)
	if c := g.apply(strings.ReplaceAll(changed, backend, other)); c.Sessions.Text != "kept 0 sessions; ending 1: backend "+backend+" removed" {
		t.Errorf("reload with another endpoint: %+v; want one session ended", c)
	}
	if code := closeCode(t, a); code != 1012 {
		t.Errorf("session of the removed endpoint got %d; want 1012", code)
	}
	g.await(`"cause":"backend removed"`)
}

// New limits of one route begin with nothing used, and leave the sessions of other routes
// what they have used of theirs.
func TestReloadWithOtherLimitsForOneRoute(t *testing.T) {
	first := fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
routes:
  - {path: /a, backend: "%[1]s", websocket: {limits: {message_rate: 1/h, message_burst: 1, on_excess: close}}}
  - {path: /b, backend: "%[1]s", websocket: {limits: {message_rate: 1/h, message_burst: 2, on_excess: close}}}
`, echo(t))
	g, address := start(t, first)
	a, b := dial(t, address, "/a"), dial(t, address, "/b")
	exchange1(t, a)
	exchange1(t, b)
	exchange1(t, b)
	g.apply(strings.Replace(first, "message_burst: 2", "message_burst: 3", 1))
	for range 3 {
		exchange1(t, b)
	}
	for name, c := range map[string]net.Conn{"/a": a, "/b": b} {
		if err := wsutil.WriteClientText(c, []byte("one too many")); err != nil {
			t.Fatal(err)
		}
		if code := closeCode(t, c); code != 1008 {
			t.Errorf("%s: the session got %d; want 1008", name, code)
		}
	}
}

func TestApplyDoesAllOrNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	g, address := start(t, `
listeners: [{address: "127.0.0.1:0"}]
routes: [{path: /, respond: {body: old}}]
`)
	tests := []struct{ name, text, want string }{
		{"port in use", fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}, {address: "%s"}]
routes: [{path: /, respond: {body: new}}]
`, taken.Addr()), "test.yaml:2:39: listeners[1]: address " + taken.Addr().String() + " is in use"},
		{"unreadable certificate", `
listeners: [{address: "127.0.0.1:0"}, {address: "127.0.0.2:0", tls: true}]
tls: {certificates: [{cert: none.pem, key: none.key}]}
routes: [{path: /, respond: {body: new}}]
`, "test.yaml:3:29: tls.certificates[0].cert: "},
		{"shadowed route", `
listeners: [{address: "127.0.0.1:0"}]
routes:
  - {path: /, methods: [GET], respond: {body: new}}
  - {path: /, methods: [POST], respond: {body: new}}
  - {path: /, methods: [GET, POST], respond: {body: new}}
`, "test.yaml:6:5: routes[2]: "},
		{"missing directory", `
listeners: [{address: "127.0.0.1:0"}]
routes: [{path: /*, files: /does/not/exist}]
`, "/does/not/exist"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := g.Apply(parse(t, tt.text))
			var problems config.Problems
			if !errors.As(err, &problems) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Apply = %v; want problems with %q", err, tt.want)
			}
			res, err := http.Get("http://" + address + "/")
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body, _ := io.ReadAll(res.Body); string(body) != "old" {
				t.Errorf("answer after a refused configuration = %q; want the old one", body)
			}
		})
	}
}

func TestListenersComeAndGo(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close() // as a process leaves it that was killed

	g, _ := start(t, `
listeners: [{address: "127.0.0.1:0"}]
routes: [{path: /, respond: {body: hello}}]
`)
	change := g.apply(fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}, {address: "unix:%s"}]
routes: [{path: /, respond: {body: hello}}]
`, socket))
	if len(change.Listeners) != 2 || change.Listeners[1].Address != "unix:"+socket {
		t.Fatalf("listeners = %+v; want the socket too", change.Listeners)
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial("unix", socket)
		},
	}}
	res, err := client.Get("http://local/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	g.apply(`
listeners: [{address: "127.0.0.1:0"}]
routes: [{path: /, respond: {body: hello}}]
`)
	if _, err := client.Get("http://local/"); err == nil {
		t.Error("the removed listener still answers")
	}
}

func TestShutdownEndsSessionsAndAnswersNoMore(t *testing.T) {
	g, address := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
routes: [{path: /*, backend: "%s"}]
`, echo(t)))
	var sessions []net.Conn
	for range 20 {
		sessions = append(sessions, dial(t, address, "/"))
	}
	stopped := make(chan struct{})
	go func() { g.stop(); close(stopped) }()
	for i, c := range sessions {
		if code := closeCode(t, c); code != ws.StatusGoingAway {
			t.Errorf("session %d got %d; want 1001", i, code)
		}
	}
	<-stopped
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("the listener still accepts")
	}
	g.await(`"cause":"shutdown"`)
}

// A client that sends bytes behind its handshake is no longer watched by
// net/http; that it left must be seen all the same.
func TestClientThatLeavesDuringAHandshakeIsNotKept(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	g, address := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
routes: [{path: /*, backend: "%s", websocket: {handshake_timeout: 10m}}]
`, ln.Addr()))
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n\x81\x80abcd")
	b, err := ln.Accept() // the backend that never answers
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := http.ReadRequest(bufio.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	b.SetReadDeadline(time.Now().Add(wstest.Guard))
	if n, err := b.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the backend read %d bytes, %v; want the end of the connection", n, err)
	}
	g.await(`"status":499`)
}

func TestCheckWritesNothing(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	cfg := parse(t, `
listeners: [{address: "127.0.0.1:0", tls: true}]
tls: {self_signed: [localhost]}
routes: [{path: /, respond: 204}]
state_dir: `+state)
	if problems, _ := Check(cfg); len(problems) > 0 {
		t.Fatal(problems)
	}
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Errorf("the state directory after a check: %v; want none", err)
	}
}

// Behind a PROXY header that does not tell the client, the address is that of
// a trusted proxy, but the request may be anybody's.
func TestPROXYHeaderWithoutAnAddressLendsNoTrust(t *testing.T) {
	g, address := start(t, `
listeners: [{address: "127.0.0.1:0", proxy_protocol: true}]
trusted_proxies: [127.0.0.1]
routes: [{path: /, respond: 204}]
`)
	for _, head := range []string{"PROXY UNKNOWN\r\n", "PROXY TCP4 127.0.0.1 127.0.0.1 1000 2000\r\n"} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(wstest.Guard))
		fmt.Fprint(c, head+"GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 204 {
			t.Fatalf("answer = %v, %v; want 204", res, err)
		}
	}
	g.await(`"client":"127.0.0.1"`) // for the first
	g.await(`"client":"192.0.2.1"`) // the second peer is trusted by its own address
}

func TestConnectionsBeyondTheRateAreRefused(t *testing.T) {
	text := `
listeners: [{address: "127.0.0.1:0", connection_rate: 1/h, connection_burst: 2}]
routes: [{path: /, respond: 204}]
`
	g, address := start(t, text)
	try := func() error {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(wstest.Guard))
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
		_, err = http.ReadResponse(bufio.NewReader(c), nil)
		return err
	}
	for i := range 2 {
		if err := try(); err != nil {
			t.Errorf("connection %d: %v; want an answer", i, err)
		}
	}
	if try() == nil {
		t.Error("the third connection was answered; want it refused")
	}
	g.apply(text) // which forgets nothing
	if try() == nil {
		t.Error("a connection after a reload was answered; want it refused")
	}
	g.apply(strings.Replace(text, "connection_rate: 1/h, connection_burst: 2", "connection_rate: off", 1))
	if err := try(); err != nil {
		t.Errorf("a connection without the limit: %v; want an answer", err)
	}
}
