package integration

import (
	"fmt"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// Each client library that people use talks to each server library, with permessage-deflate
// and a subprotocol.
func TestLibraries(t *testing.T) {
	t.Parallel()
	needPython(t, "websockets")
	needNode(t, "ws")
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /python, backend: %q }
  - { path: /node, backend: %q }
`, server(t, python, testdata("websockets_server.py")), server(t, "node", testdata("ws_server.mjs"))))
	clients := map[string][]string{
		"python": {python, testdata("websockets_client.py")},
		"node":   {"node", testdata("ws_client.mjs")},
	}
	for client, command := range clients {
		for _, server := range []string{"python", "node"} {
			for scheme, target := range g.schemes() {
				t.Run(fmt.Sprintf("%s to %s over %s", client, server, scheme), func(t *testing.T) {
					tool(t, command[0], append(command[1:], scheme+"://"+target.Address+"/"+server, g.ca)...)
				})
			}
		}
	}
	for _, uri := range []string{"/python", "/node"} {
		r := g.ended(uri)
		expect(t, r, record{"subprotocol": "chat.v1", "cause": "close"})
		if !strings.Contains(fmt.Sprint(r["compression"]), "permessage-deflate") && r["compression"] != true {
			t.Errorf("compression = %v, want it told in %s", r["compression"], r.text("text"))
		}
	}
}

// A server that looks headers up by their exact spelling.
func TestTwisted(t *testing.T) {
	t.Parallel()
	needPython(t, "txws")
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %q }]", server(t, python, testdata("txws_echo.py"))))
	for scheme, target := range g.schemes() {
		t.Run(scheme, func(t *testing.T) {
			p := wstest.Open(t, target, strings.Replace(wstest.Handshake("/"), "Sec-WebSocket-", "sec-websocket-", -1))
			p.Send(wstest.Text("hello"), wstest.Text("twisted"))
			p.Expect(wstest.Text("hello"), wstest.Text("twisted"))
			p.Send(wstest.Close(1000, "done"))
			p.ExpectCut()
		})
	}
}
