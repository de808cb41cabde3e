//go:build !portable

package integration

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"sluice/internal/admin"
	"sluice/internal/wstest"
)

// What operators see of a session is the same after a restart, but for the process.
func TestRestartKeepsWhatIsKnownOfASession(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := operated(t, fmt.Sprintf("backends: { app: { endpoints: [%q] } }\nroutes: [{ path: /chat/*, name: chat, backend: app, websocket: { compression: pass } }]", b.Address))
	for _, target := range g.movable() {
		c, s := wstest.Pair(t, target, b, wstest.Handshake("/chat/1?room=5", "X-Request-Id: first", "Sec-WebSocket-Protocol: v1", "Sec-WebSocket-Extensions: permessage-deflate"),
			"Sec-WebSocket-Protocol: v1", "Sec-WebSocket-Extensions: permessage-deflate")
		c.Send(wstest.Text("one"), wstest.Text("two"))
		s.Expect(wstest.Text("one"), wstest.Text("two"))
		s.Send(wstest.Text("three"))
		c.Expect(wstest.Text("three"))
	}
	sessions := func() []admin.Session {
		all := operatedAs[[]admin.Session](t, g, "sessions")
		slices.SortFunc(all, func(a, b admin.Session) int { return strings.Compare(a.Session, b.Session) })
		return all
	}
	before := sessions()
	if len(before) != len(g.movable()) || before[0].Messages() != 3 || !before[0].Compression {
		t.Fatalf("before the restart: %+v", before)
	}
	g.restart(t)
	after := sessions()
	for i := range min(len(before), len(after)) { // the clock of each process has its own moment for the same one
		for _, at := range [][2]*time.Time{{&before[i].Opened, &after[i].Opened}, {&before[i].Last, &after[i].Last}} {
			if apart := at[1].Sub(*at[0]); apart.Abs() > time.Second {
				t.Errorf("a time is %v apart from what it was", apart)
			}
			*at[1] = *at[0]
		}
	}
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if text(after) != text(before) {
		t.Errorf("after the restart:\n%s\nbefore it:\n%s", text(after), text(before))
	}
}

// Ends that are planned, and waits for an answer, go on in the new process.
func TestRestartKeepsPlannedEnds(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := operated(t, fmt.Sprintf(`routes:
  - { path: /lifetime, backend: %[1]q, websocket: { max_lifetime: 5s } }
  - { path: /silent, backend: %[1]q, websocket: { ping_interval: 2s, pong_timeout: 3s } }
  - { path: /idle, backend: %[1]q, websocket: { idle_timeout: 5s } }
  - { path: /killed, backend: %[1]q }
`, b.Address))
	type ending struct {
		client wstest.Peer
		end    record
	}
	all := make(map[string]ending)
	for uri, end := range map[string]record{
		"/lifetime": {"cause": "lifetime over", "close_code": 1001},
		"/silent":   {"cause": "ping unanswered", "close_code": 1001},
		"/idle":     {"cause": "idle", "close_code": 1001},
		"/killed":   {"cause": "ended by operator", "close_code": 4321, "close_reason": "go"},
	} {
		c, _ := wstest.Pair(t, g.http, b, wstest.Handshake(uri))
		all[uri] = ending{c, end}
	}
	g.operate(t, "kill", "--route", "/killed", "--spread", "20s", "--code", "4321", "--reason", "go")
	if r := g.restart(t); r.Stayed != 0 {
		t.Errorf("%+v; want that no session stays", r)
	}
	for uri, e := range all {
		for f, err := e.client.Next(); ; f, err = e.client.Next() {
			if err != nil {
				t.Fatalf("%s: %v, want a close frame", uri, err)
			}
			if !f.Header.OpCode.IsControl() {
				t.Errorf("%s: got %v", uri, f.Header)
			}
			if code := e.end["close_code"].(int); string(f.Payload[:min(2, len(f.Payload))]) == string([]byte{byte(code >> 8), byte(code)}) {
				break
			}
		}
		e.client.Conn.Send(wstest.Close(e.end["close_code"].(int), ""))
		expect(t, g.ended(uri), e.end)
	}
}

// Sessions whose route or endpoint the new configuration has not, and those that cannot be moved, end in the old process, with
// 1012. Others go over.
func TestSessionsThatStayAtARestart(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	b, other := wstest.NewBackend(t, nil), wstest.NewBackend(t, nil)
	g := startFile(t, fmt.Sprintf(`listeners: ['127.0.0.1:0']
log: { format: json }
shutdown: { spread: 100ms }
routes:
  - { path: /stays, backend: %[1]q }
  - { path: /route, backend: %[1]q }
  - { path: /endpoint, backend: %[2]q }
`, b.Address, other.Address))
	g.http = wstest.Target{Address: g.listener(false)}
	pairs := make(map[string]wstest.Peer)
	for uri, from := range map[string]*wstest.Backend{"/stays": b, "/route": b, "/endpoint": other} {
		pairs[uri], _ = wstest.Pair(t, g.http, from, wstest.Handshake(uri))
	}
	c, s := wstest.Pair(t, g.http, b, wstest.Handshake("/stays"))
	text := read(t, g.config)
	text = strings.Replace(text, fmt.Sprintf("  - { path: /route, backend: %q }\n", b.Address), "", 1)
	write(t, g.config, strings.Replace(text, other.Address, b.Address, 1))
	r := g.restartBegun(t)
	if r.Sessions != 2 || r.Stayed != 2 {
		t.Errorf("%+v; want that 2 sessions went over and 2 stay", r)
	}
	for _, uri := range []string{"/route", "/endpoint"} {
		pairs[uri].ExpectClose(1012)
		expect(t, g.ended(uri), record{"cause": "restart", "close_code": 1012, "ended_by": "gateway"})
	}
	for _, reason := range []string{"there is no route", "has no endpoint"} {
		g.wait("sessions of the process before cannot go on here, and end there", func(r record) bool { return strings.Contains(r.text("error"), reason) })
	}
	c.Send(wstest.Text("after"))
	s.Expect(wstest.Text("after"))
}

// TLS whose records crypto/tls has cannot be moved.
func TestRestartWithRecordsOfGo(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	b := wstest.NewBackend(t, nil)
	ca := wstest.NewCA(t)
	cert, key := ca.Issue(t, "gateway.test", "127.0.0.1")
	g := startFile(t, fmt.Sprintf("listeners: ['127.0.0.1:0', { address: '127.0.0.1:0', tls: true }]\ntls: { records: go, certificates: [{ cert: %q, key: %q }] }\nlog: { format: json }\nshutdown: { spread: 100ms }\nroutes: [{ backend: %q }]\n", cert, key, b.Address))
	plain, _ := wstest.Pair(t, wstest.Target{Address: g.listener(false)}, b, wstest.Handshake("/ws"))
	secure, _ := wstest.Pair(t, wstest.Target{Address: g.listener(true), TLS: ca.Client("gateway.test")}, b, wstest.Handshake("/wss"))
	if r := g.restartBegun(t); r.Sessions != 1 || r.Stayed != 1 {
		t.Errorf("%+v; want that one session went over and one stays", r)
	}
	secure.ExpectClose(1012)
	expect(t, g.ended("/wss"), record{"cause": "restart"})
	g.signal(syscall.SIGTERM)
	plain.ExpectClose(1001)
}

// A request that is under way finishes in the old process, which ends then. There is no other restart meanwhile.
func TestRequestsUnderWayAtARestart(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := operated(t, fmt.Sprintf("routes: [{ backend: %q }]", b.Address))
	const request = "GET /slow HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
	for scheme, target := range g.schemes() {
		p := wstest.Dial(t, target)
		p.WriteString(request)
		asked := b.Next(t)
		old := g.pid
		g.restartBegun(t)
		g.refuse(t, "a restart is under way", "restart")
		if !running(old) {
			t.Errorf("%s: the old process has ended before its request", scheme)
		}
		asked.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
		if r, body := p.Answer(request); r.StatusCode != 200 || body != "late" || !r.Close {
			t.Errorf("%s: %s %q, Connection: close %t; want the answer of the backend, and that", scheme, r.Status, body, r.Close)
		}
		eventually(t, "the old process has ended", func() bool { return !running(old) })
		eventually(t, "the new process may restart", func() bool {
			output, code := sluice(t, "status", "--config", g.config)
			return code == 0 && strings.Contains(output, fmt.Sprint("process ", g.pid))
		})
	}
}

// A program that writes sessions in another way gets the listeners: no client is refused, and the sessions end with 1012.
func TestRestartIntoAnotherVersion(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "sluice")
	source, err := filepath.Abs("../internal/takeover/takeover.go")
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, source)
	other := strings.Replace(text, "\nconst Version = ", "\nconst Version = 1000 + ", 1)
	if other == text {
		t.Fatal("the version is written in another way")
	}
	write(t, filepath.Join(dir, "takeover.go"), other)
	write(t, filepath.Join(dir, "overlay.json"), fmt.Sprintf(`{"Replace": {%q: %q}}`, source, filepath.Join(dir, "takeover.go")))
	if out, err := command(t, "go", "build", "-o", program+".other", "-overlay", filepath.Join(dir, "overlay.json"), "sluice/cmd/sluice").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(program, []byte(read(t, executable)), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	b := wstest.NewBackend(t, wstest.Echo)
	file := filepath.Join(dir, "sluice.yaml")
	write(t, file, withEngine(fmt.Sprintf("listeners: ['127.0.0.1:0']\nlog: { format: json }\nshutdown: { spread: 100ms }\nroutes: [{ path: /*, backend: %q }]\n", b.Address)))
	g := launchAs(t, exec.Command(program, "run", "--config", file))
	g.config = file
	g.started()
	target := wstest.Target{Address: g.listener(false)}
	for range 2 { // there, and back
		c := wstest.Open(t, target, wstest.Handshake("/"))
		if err := os.Rename(program+".other", program); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(program+".other", []byte(read(t, executable)), 0o755); err != nil {
			t.Fatal(err)
		}
		old := g.pid
		if r := g.restartBegun(t); !r.Foreign || r.Sessions != 0 || r.Stayed != 1 {
			t.Errorf("%+v; want that the session stays, because of the version", r)
		}
		c.ExpectClose(1012)
		c.Close()
		eventually(t, "the old process has ended", func() bool { return !running(old) })
		late := wstest.Open(t, target, wstest.Handshake("/"))
		late.Send(wstest.Text("late"))
		late.Expect(wstest.Text("late"))
		late.Send(wstest.Close(1000, ""))
		late.ExpectClose(1000)
	}
}

// The service manager hears of the new process when that has taken over, and from that process from then on.
func TestServiceManagerIsToldOfARestart(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	b := wstest.NewBackend(t, nil)
	m := newServiceManager(t)
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, file, withEngine(fmt.Sprintf("listeners: ['127.0.0.1:0']\nlog: { format: json }\nroutes: [{ path: /*, backend: %q }]\n", b.Address)))
	g := m.start(t, file, "WATCHDOG_USEC=100000")
	g.started()
	m.expect(t, `READY=1\nSTATUS=running, sessions: 0`)
	c, _ := wstest.Pair(t, wstest.Target{Address: g.listener(false)}, b, wstest.Handshake("/"))
	m.expect(t, `WATCHDOG=1\nSTATUS=running, sessions: 1`)
	g.restart(t)
	both := fmt.Sprintf(`MAINPID=%d\nWATCHDOG=1|READY=1\nSTATUS=running, sessions: 1`, g.pid) // in any order
	m.expect(t, both)
	m.expect(t, both)
	m.expect(t, `WATCHDOG=1\nSTATUS=running, sessions: 1`)
	g.signal(syscall.SIGTERM)
	m.expect(t, `STOPPING=1\nSTATUS=draining`)
	c.ExpectClose(1001)
}

// A restart needs no more descriptors than there are, and says so where there are none.
func TestRestartWithFewDescriptors(t *testing.T) {
	const limit, sessions = 200, 70
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	b := wstest.NewBackend(t, wstest.Echo)
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, file, withEngine(fmt.Sprintf("listeners: [{ address: '127.0.0.1:0', max_connections: 10000 }]\nlog: { format: json }\nroutes: [{ path: /*, backend: %q }]\n", b.Address)))
	g := launchAs(t, exec.Command("/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" run --config "$1"`, limit), executable, file))
	g.config = file
	g.started()
	target := wstest.Target{Address: g.listener(false)}
	var all []wstest.Peer
	for range sessions {
		all = append(all, wstest.Open(t, target, wstest.Handshake("/")))
	}
	speak := func(when string) {
		t.Helper()
		for _, p := range all {
			p.Send(wstest.Text(when))
			p.Expect(wstest.Text(when))
		}
	}
	for range 2 {
		if r := g.restart(t); r.Sessions != sessions || r.Stayed != 0 {
			t.Errorf("%+v; want that %d sessions went over", r, sessions)
		}
		speak("after a restart")
	}
	operator := wstest.Dial(t, g.operators("unix")) // there is none for another connection
	ask := func(method, path string) (int, string) {
		t.Helper()
		operator.WriteString(method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
		r, body := operator.Answer(method)
		return r.StatusCode, body
	}
	if code, body := ask("GET", "/status"); code != 200 {
		t.Fatalf("GET /status: %d %s", code, body)
	}
	few := unix.Rlimit{Cur: sessions, Max: limit}
	if err := unix.Prlimit(g.pid, unix.RLIMIT_NOFILE, &few, nil); err != nil {
		t.Fatal(err)
	}
	if code, body := ask("POST", "/restart"); code != 409 || !strings.Contains(body, "too many open files") {
		t.Errorf("POST /restart: %d %s; want 409, and why", code, body)
	}
	speak("after one that failed")
}

// A closing handshake that one side has begun is ended by the other one in the new process.
func TestRestartInAClosingHandshake(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := operated(t, fmt.Sprintf("routes: [{ backend: %q }]", b.Address))
	for scheme, target := range g.movable() {
		for _, by := range []string{"client", "backend"} {
			uri := fmt.Sprintf("/%s/%s", scheme, by)
			first, second := wstest.Pair(t, target, b, wstest.Handshake(uri))
			if by == "backend" {
				first, second = second, first
			}
			began := time.Now()
			first.Send(wstest.Close(4001, "bye"))
			second.Expect(wstest.Close(4001, "bye"))
			g.restart(t)
			if time.Since(began) > 3*time.Second {
				t.Logf("%s: the restart took almost as long as an answer is waited for", uri)
				continue
			}
			second.Send(wstest.Close(4002, "bye bye"))
			first.Expect(wstest.Close(4002, "bye bye"))
			expect(t, g.ended(uri), record{"close_code": 4001, "cause": "close", "ended_by": by})
		}
	}
}

// A frame of 64 MiB, of which a part is in the buffers on the way, goes on byte for byte: what had been read, what waits for a reader
// that takes nothing, and what is still to come.
func TestRestartInALargeFrame(t *testing.T) {
	const size = 64 << 20
	b := wstest.NewBackend(t, nil)
	g := operated(t, fmt.Sprintf("routes: [{ backend: %q, websocket: { limits: { message_size: 64MiB, frame_size: 64MiB } } }]", b.Address))
	payload := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(payload)
	for scheme, target := range g.movable() {
		for _, from := range []string{"client", "backend"} {
			t.Run(scheme+" from the "+from, func(t *testing.T) {
				uri := fmt.Sprintf("/%s/%s", scheme, from)
				sender, reader := wstest.Pair(t, target, b, wstest.Handshake(uri))
				if from == "backend" {
					sender, reader = reader, sender
				}
				whole := sender.Encode(ws.NewBinaryFrame(payload))
				written := make(chan error, 1)
				go func() {
					sender.SetWriteDeadline(time.Now().Add(5 * time.Minute)) // for both restarts
					_, err := sender.Conn.Conn.Write(whole)
					written <- err
				}()
				// Its bytes stand still when all buffers are full.
				last := uint64(0)
				eventually(t, "the reader holds the frame back", func() bool {
					var now uint64
					for _, s := range operatedAs[[]admin.Session](t, g, "sessions") {
						if s.URI == uri {
							now = s.Bytes()
						}
					}
					still := now > 0 && now == last
					last = now
					return still
				})
				if last >= size {
					t.Fatalf("%d bytes have gone on without a reader", last)
				}
				for range 2 {
					if r := g.restart(t); r.Sessions == 0 || r.Stayed != 0 {
						t.Fatalf("%+v; want that the session went over", r)
					}
				}
				f, err := reader.Next()
				if err != nil || !bytes.Equal(f.Payload, payload) {
					t.Errorf("%v, %v; want the frame of %d bytes", f.Header, err, size)
				}
				if err := <-written; err != nil {
					t.Error(err)
				}
				reader.Send(wstest.Text("got it"))
				sender.Expect(wstest.Text("got it"))
			})
		}
	}
}

// Session tickets and sticky cookies of the process before hold: their keys are in state_dir.
func TestRestartKeepsTicketsAndCookies(t *testing.T) {
	one, other := wstest.NewBackend(t, saying("one")), wstest.NewBackend(t, saying("other"))
	g := operated(t, fmt.Sprintf("backends: { app: { endpoints: [%q, %q], sticky: { cookie: stay } } }\nroutes: [{ backend: app }]", one.Address, other.Address))
	target := g.https
	target.TLS = target.TLS.Clone()
	target.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	ask := func(lines ...string) (*http.Response, string, bool) {
		t.Helper()
		p := wstest.Dial(t, target)
		p.WriteString(get("/", lines...))
		r, body := p.Answer("GET")
		return r, body, p.Conn.Conn.(*tls.Conn).ConnectionState().DidResume
	}
	r, first, _ := ask()
	cookie, _, _ := strings.Cut(r.Header.Get("Set-Cookie"), ";")
	if cookie == "" {
		t.Fatalf("%s without a cookie", r.Status)
	}
	for range 2 {
		g.restart(t)
		for range 5 {
			_, body, resumed := ask("Cookie: " + cookie)
			if body != first || !resumed {
				t.Errorf("%q answers, with TLS that was resumed: %t; want %q and true", body, resumed, first)
			}
		}
	}
}
