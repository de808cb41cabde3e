package integration

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// When the backend is lost, the client gets a Close frame if that is still possible: at a
// frame boundary, also between the fragments of a message.
func TestBackendDies(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, nil)
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /new/*, backend: %[1]s }
  - { path: /old/*, backend: %[1]s, websocket: { close_code_bad_gateway: 1011 } }
`, b.Address))
	tests := []struct {
		name, path string
		sent       string // bytes of the backend before it dies
		got        []ws.Frame
		code       int // 0: cut
	}{
		{name: "at once", path: "/new/", code: 1014},
		{name: "between frames", path: "/new/", sent: "\x81\x05hello", got: []ws.Frame{wstest.Text("hello")}, code: 1014},
		{name: "between frames, for old clients", path: "/old/", sent: "\x81\x05hello", got: []ws.Frame{wstest.Text("hello")}, code: 1011},
		{name: "between fragments", path: "/new/", sent: "\x01\x05hello", got: []ws.Frame{wstest.Part(ws.OpText, "hello")}, code: 1014},
		{name: "inside a payload", path: "/new/", sent: "\x81\x05hello\x81\x05he", got: []ws.Frame{wstest.Text("hello")}},
	}
	for scheme, target := range g.schemes() {
		for i, tt := range tests {
			for how, die := range map[string]func(wstest.Peer){
				"in order": func(p wstest.Peer) { p.Close() },
				"half":     func(p wstest.Peer) { _ = p.CloseWrite() },
				"by reset": wstest.Peer.Reset,
			} {
				t.Run(fmt.Sprintf("%s %s %s", scheme, tt.name, how), func(t *testing.T) {
					uri := fmt.Sprintf("%s%s/%d/%s", tt.path, scheme, i, how[:2])
					client, backend := wstest.Pair(t, target, b, wstest.Handshake(uri))
					backend.WriteString(tt.sent)
					client.Expect(tt.got...)
					die(backend)
					if tt.code != 0 {
						client.ExpectClose(tt.code)
						client.ExpectEnd()
					} else {
						client.ExpectCut()
					}
					expect(t, g.ended(uri), record{"ended_by": "backend", "cause": "backend lost"})
				})
			}
		}
	}
}

// A frame header that is cut is not passed on, so the stream to the client is still at a frame
// boundary.
func TestBackendDiesInsideAHeader(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Dying("\x81\x05hello\x81"))
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	for scheme, target := range g.schemes() {
		t.Run(scheme, func(t *testing.T) {
			p := wstest.Open(t, target, wstest.Handshake("/"))
			p.Expect(wstest.Text("hello"))
			p.ExpectClose(1014)
			p.ExpectEnd()
		})
	}
}

func TestClientDies(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, nil)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	for scheme, target := range g.schemes() {
		for how, die := range map[string]func(wstest.Peer){
			"in order": func(p wstest.Peer) { p.Close() },
			"by reset": wstest.Peer.Reset,
		} {
			t.Run(scheme+" "+how, func(t *testing.T) {
				uri := fmt.Sprintf("/%s/%s", scheme, how[:2])
				client, backend := wstest.Pair(t, target, b, wstest.Handshake(uri))
				client.Send(wstest.Text("hello"))
				backend.Expect(wstest.Text("hello"))
				die(client)
				backend.ExpectClose(1001)
				backend.ExpectEnd()
				expect(t, g.ended(uri), record{"ended_by": "client", "cause": "client lost", "client_messages": 1, "client_bytes": 5})
			})
		}
		t.Run(scheme+" inside a frame", func(t *testing.T) {
			client, backend := wstest.Pair(t, target, b, wstest.Handshake("/"))
			client.WriteString(string(client.Encode(wstest.Text("hello"), wstest.Text("half of it"))[:11+8]))
			backend.Expect(wstest.Text("hello"))
			client.Close()
			backend.ExpectCut()
		})
	}
}

// At SIGTERM both sides of every session get a Close frame, and the exit code is 0.
func TestShutdownEndsSessions(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, nil)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	type pair struct{ client, backend wstest.Peer }
	var pairs []pair
	for scheme, target := range g.schemes() {
		for i := range 3 {
			client, backend := wstest.Pair(t, target, b, wstest.Handshake(fmt.Sprintf("/%s/%d", scheme, i)))
			pairs = append(pairs, pair{client, backend})
		}
	}
	// One is in the middle of a message.
	pairs[0].backend.Send(wstest.Part(ws.OpText, "begun"))
	pairs[0].client.Expect(wstest.Part(ws.OpText, "begun"))

	g.signal(syscall.SIGTERM)
	for _, p := range pairs {
		p.client.ExpectClose(1001)
		p.backend.ExpectClose(1001)
	}
	for _, p := range pairs {
		p.client.ExpectEnd()
		p.backend.ExpectEnd()
	}
	if code := g.exit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	for _, uri := range []string{"/ws/0", "/wss/2"} {
		expect(t, g.ended(uri), record{"ended_by": "gateway", "cause": "shutdown", "close_code": 1001})
	}
}

// Peers that never answer a Close frame do not keep the process from ending.
func TestShutdownDoesNotWaitForTheDeaf(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, nil)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	client, backend := wstest.Pair(t, g.https, b, wstest.Handshake("/deaf"))
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	client.ExpectClose(1001)
	backend.ExpectClose(1001)
}

// A request that is under way at SIGTERM is finished; a new one is not accepted.
func TestShutdownFinishesRequests(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, nil)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	const request = "GET /slow HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
	client := wstest.Dial(t, g.http)
	client.WriteString(request)
	backend := b.Next(t)
	g.signal(syscall.SIGTERM)
	backend.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
	if r, body := client.Answer(request); r.StatusCode != 200 || body != "done" {
		t.Errorf("status %d, body %q; want 200 done", r.StatusCode, body)
	}
	if code := g.exit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// A record holds only so much of what the client sent, and so does the session that is kept
// for it.
func TestRecordsCutWhatIsLong(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	long := "/" + strings.Repeat("u", 12<<10)
	p := wstest.Open(t, g.http, wstest.Handshake(long))
	p.Send(wstest.Close(1000, ""))
	p.ExpectClose(1000)
	p.ExpectEnd()
	_, _ = wstest.Ask(t, g.http, strings.Repeat("M", 3000)+" "+long+" HTTP/1.1\r\nHost: "+strings.Repeat("h", 3000)+"\r\nConnection: close\r\n\r\n")
	cut := record{"uri": long[:1021] + "..."}
	for _, name := range []string{"session opened", "session ended"} {
		expect(t, g.wait(name, nil), cut)
	}
	cut["method"], cut["host"] = strings.Repeat("M", 253)+"...", strings.Repeat("h", 253)+"..."
	expect(t, g.wait("request", nil), cut)
}
