package integration

import (
	"fmt"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// A reload ends a session only if its route or its backend is gone.
func TestReload(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, nil)
	other := wstest.NewBackend(t, nil)
	g := start(t, fmt.Sprintf(`
backends:
  main: { endpoints: [%[1]s] }
  spare: { endpoints: [%[2]s] }
routes:
  - { name: kept, path: /kept, backend: main }
  - { name: removed, path: /removed, backend: main }
  - { name: spare, path: /spare, backend: spare }
  - { name: say, path: /say, respond: { body: before } }
`, b.Address, other.Address))
	open := func(path string, b *wstest.Backend) (client, backend wstest.Peer) {
		return wstest.Pair(t, g.https, b, wstest.Handshake(path))
	}
	client, backend := open("/kept", b)
	alive := func(step string) {
		t.Helper()
		client.Send(wstest.Text(step))
		backend.Expect(wstest.Text(step))
		backend.Send(wstest.Text(step))
		client.Expect(wstest.Text(step))
	}
	says := func(want string) {
		t.Helper()
		if _, body := wstest.Ask(t, g.http, get("/say")); body != want {
			t.Errorf("/say says %q, want %q", body, want)
		}
	}

	r := g.reload("configuration refused", "body: before", "bdy: oops")
	if !strings.Contains(r.text("error"), "bdy") || !strings.Contains(r.text("error"), g.config) {
		t.Errorf("error = %q, want the file and the mistake", r.text("error"))
	}
	alive("after a bad file")
	says("before")

	g.reload("configuration refused", "bdy: oops", "body: after }\n  - { path: /say, backend: nowhere")
	says("before")

	g.reload("configuration reloaded", "body: after }\n  - { path: /say, backend: nowhere", "body: after")
	alive("after a good file")
	says("after")

	gone, goneBackend := open("/removed", b)
	g.reload("configuration reloaded", "  - { name: removed, path: /removed, backend: main }\n", "")
	gone.ExpectClose(1012)
	goneBackend.ExpectClose(1001)
	gone.ExpectEnd()
	goneBackend.ExpectEnd()
	expect(t, g.ended("/removed"), record{"ended_by": "gateway", "cause": "route removed", "close_code": 1012})
	if r, body := wstest.Ask(t, g.http, wstest.Handshake("/removed")); r.StatusCode != 404 {
		t.Errorf("handshake for a removed route: status %d, want 404; body %q", r.StatusCode, body)
	}
	alive("after another's route was removed")

	moved, movedBackend := open("/spare", other)
	before := fmt.Sprintf("  spare: { endpoints: [%s] }", other.Address)
	g.reload("configuration reloaded", before, fmt.Sprintf("  spare: { endpoints: [%s] }", b.Address))
	moved.ExpectClose(1012)
	movedBackend.ExpectClose(1001)
	expect(t, g.ended("/spare"), record{"ended_by": "gateway", "cause": "backend removed"})
	alive("after another's backend was removed")
}

// A reload of an unchanged file changes nothing.
func TestReloadOfAnUnchangedFile(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	p := wstest.Open(t, g.https, wstest.Handshake("/"))
	// A refused reload behind it proves that the unchanged file was dealt with.
	g.reload("configuration reloaded", "", "")
	g.reload("configuration refused", "routes:", "rotues:")
	p.Send(wstest.Text("still here"))
	p.Expect(wstest.Text("still here"))
	goodbye(p)
}

// A renewed certificate is served to new connections, whether its file has another name or
// replaces the old one.
func TestReloadPicksUpACertificate(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	for _, where := range []string{"in other files", "in the same files"} {
		t.Run(where, func(t *testing.T) {
			g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
			p := wstest.Open(t, g.https, wstest.Handshake("/"))

			renewed := wstest.NewCA(t)
			cert, key := renewed.Issue(t, "gateway.test")
			var oldCert, oldKey string
			_, rest, _ := strings.Cut(read(t, g.config), "certificates: [")
			pair, _, _ := strings.Cut(rest, "]")
			if _, err := fmt.Sscanf(pair, "{ cert: %q, key: %q }", &oldCert, &oldKey); err != nil {
				t.Fatalf("%q: %v", pair, err)
			}
			if where == "in the same files" {
				write(t, oldCert, read(t, cert))
				write(t, oldKey, read(t, key))
				g.reload("configuration reloaded", "", "")
			} else {
				g.reload("configuration reloaded", pair, fmt.Sprintf("{ cert: %q, key: %q }", cert, key))
			}

			goodbye(wstest.Open(t, wstest.Target{Address: g.https.Address, TLS: renewed.Client("gateway.test")}, wstest.Handshake("/")))
			p.Send(wstest.Text("still here"))
			p.Expect(wstest.Text("still here"))
			goodbye(p)
		})
	}
}

// A reload that changes the engine loses no request: the connection that comes next was waited for
// by the other engine's way.
func TestReloadChangesTheEngine(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, nil)
	g := start(t, fmt.Sprintf(`
http: { engine: go }
routes:
  - { path: /say, respond: { body: here } }
  - { path: /ws, backend: %q }
`, b.Address))
	from := "engine: go"
	for range 3 {
		for _, to := range []string{"engine: loops", "engine: go"} {
			g.reload("configuration reloaded", from, to)
			from = to
			for scheme, target := range g.schemes() {
				if r, body := wstest.Ask(t, target, get("/say")); r.StatusCode != 200 || body != "here" {
					t.Errorf("%s with %s: %s, %q", scheme, to, r.Status, body)
				}
				client, backend := wstest.Pair(t, target, b, wstest.Handshake("/ws"))
				client.Send(wstest.Text("a"))
				backend.Expect(wstest.Text("a"))
				client.Close()
				backend.Close()
			}
		}
	}
}
