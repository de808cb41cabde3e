//go:build unix

package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// sessionOf returns the name of the only session of a route.
func (g *gateway) sessionOf(t *testing.T, route string) string {
	t.Helper()
	all := operatedAs[[]session](t, g, "sessions", "--route", route)
	if len(all) != 1 {
		t.Fatalf("%d sessions of %s, want one", len(all), route)
	}
	return all[0].Session
}

// tapped taps the session of two peers with a command, and returns the lines that it prints after it has
// begun.
func (g *gateway) tapped(t *testing.T, client, backend wstest.Peer, args ...string) <-chan string {
	t.Helper()
	lines := g.follow(t, append([]string{"tap"}, args...)...)
	eventually(t, "frames are shown", func() bool { // the tap may begin after some
		client.Send(wstest.Ping("hello"))
		backend.Expect(wstest.Ping("hello"))
		select {
		case line := <-lines:
			if !strings.Contains(line, "ping") {
				t.Fatalf("the first line is not that of a ping: %s", line)
			}
			return true
		default:
			return false
		}
	})
	return lines
}

// tappedFrame reads a line of JSON of a tap.
func tappedFrame(t *testing.T, line string) (f struct {
	From, Op, Text, Hex, Reason, Note string
	Cut                               bool
	Code                              int
}) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &f); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	return f
}

// A tap of payloads shows texts, bytes and the codes of Close frames, of frames that the gateway splices
// too. What passes stays what it was, and none of it is in the log.
func TestTapOfPayloads(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := operated(t, fmt.Sprintf("routes: [{ path: /ws, name: chat, backend: %q, tap: { payload: true, max: 64B } }]\n", b.Address))
	for name, target := range map[string]wstest.Target{"ws": g.http, "wss": g.https} {
		client, backend := wstest.Pair(t, target, b, wstest.Handshake("/ws"))
		session := g.sessionOf(t, "chat")
		lines := g.tapped(t, client, backend, session, "--payload", "--json")
		expectFrame := func(op, text, hex string, cut bool) {
			t.Helper()
			if f := tappedFrame(t, expectLine(t, lines, `"op":"`+op+`"`)); f.Text != text || f.Hex != hex || f.Cut != cut || f.Note != "" {
				t.Errorf("%s: %+v; want %q, %q, cut %t", name, f, text, hex, cut)
			}
		}
		large := ws.NewBinaryFrame([]byte(strings.Repeat("\x01", 3<<20)))
		client.Send(wstest.Part(ws.OpText, "hush-hush: "), wstest.Ping("between"), wstest.Last(strings.Repeat("ä", 40)))
		backend.Expect(wstest.Part(ws.OpText, "hush-hush: "), wstest.Ping("between"), wstest.Last(strings.Repeat("ä", 40)))
		expectFrame("text", "hush-hush: ", "", false)
		expectFrame("ping", "", fmt.Sprintf("%x", "between"), false)
		expectFrame("continuation", strings.Repeat("ä", 32), "", true)
		for range 3 { // the gateway knows a large frame by the ones before
			go backend.Send(large)
			client.Expect(large)
			expectFrame("binary", "", strings.Repeat("01", 64), true)
		}
		client.Send(wstest.Close(4001, "bye"))
		backend.Expect(wstest.Close(4001, "bye"))
		if f := tappedFrame(t, expectLine(t, lines, `"op":"close"`)); f.Code != 4001 || f.Reason != "bye" || f.Hex != "" {
			t.Errorf("%s: %+v; want the code 4001 and its reason", name, f)
		}
		backend.Send(wstest.Close(4001, ""))
		client.Expect(wstest.Close(4001, ""))
		expectLine(t, lines, `{"over":true}`)
		g.wait("session ended", func(r record) bool { return r.text("session") == session })
		g.wait("operator", func(r record) bool { return r.text("action") == "tap payloads" && r.text("target") == session })
	}
	for _, r := range g.log() {
		if strings.Contains(r.text("text"), "hush-hush") {
			t.Errorf("the log has a payload: %s", r.text("text"))
		}
	}
}

// The command writes payloads for people, and shows only the kinds of frames and the sample that are asked
// for.
func TestTapOfSomeFrames(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := operated(t, fmt.Sprintf("routes: [{ path: /ws, name: chat, backend: %q, tap: payload }]\n", b.Address))
	client, backend := wstest.Pair(t, g.http, b, wstest.Handshake("/ws"))
	session := g.sessionOf(t, "chat")
	lines := g.tapped(t, client, backend, session, "--payload", "--sample", "3", "--op", "text,ping,close")
	for i := range 6 {
		f := []ws.Frame{wstest.Text(fmt.Sprintf("\x1b[2J%d", i)), ws.NewBinaryFrame([]byte("x"))}
		client.Send(f...)
		backend.Expect(f...)
	}
	client.Send(wstest.Close(4001, "bye"))
	var got []string
	for len(got) < 3 {
		if line := expectLine(t, lines); !strings.Contains(line, "ping") {
			got = append(got, line[len("00:00:00.000 "):])
		}
	}
	want := []string{
		`client  -> backend text         5 bytes: "\x1b[2J0"`,
		`client  -> backend text         5 bytes: "\x1b[2J3"`,
		`client  -> backend close        5 bytes: 4001 "bye"`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the tap printed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	g.refuse(t, `op "txt" is not a kind of frame`, "tap", session, "--op", "txt")
	g.refuse(t, `sample "0" is not a whole number from 1 to 1000000`, "tap", session, "--sample", "0")
}

// Payloads are shown only where the route has the key, and only while it has it.
func TestTapOfPayloadsWithoutTheKey(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := operated(t, fmt.Sprintf("routes: [{ path: /ws, name: chat, backend: %q, tap: payload }, { path: /other, name: other, backend: %q }]\n", b.Address, b.Address))
	wstest.Pair(t, g.http, b, wstest.Handshake("/other"))
	client, backend := wstest.Pair(t, g.http, b, wstest.Handshake("/ws"))
	other, session := g.sessionOf(t, "other"), g.sessionOf(t, "chat")
	const refused = "no tap may show payloads of the route %s: the configuration forbids it unless the route has 'tap: payload'"
	g.refuse(t, fmt.Sprintf(refused, "other"), "tap", other, "--payload")
	if r, body := wstest.Ask(t, g.operators("unix"), get("/sessions/"+other+"/tap?payload=true")); r.StatusCode != 403 || !strings.Contains(body, "other") {
		t.Errorf("a tap of payloads of the other route: %d %s; want 403", r.StatusCode, body)
	}
	g.wait("operator", func(r record) bool {
		return r.text("action") == "tap payloads" && r.text("target") == other && strings.Contains(r.text("error"), "other")
	})
	for route, want := range map[string]string{"chat": "payload", "other": "headers"} {
		for _, path := range []string{"/sessions?route=" + route, "/routes"} {
			var all []struct{ Route, Tap string }
			if err := json.Unmarshal([]byte(askOperators(t, g, path)), &all); err != nil {
				t.Fatal(err)
			}
			for _, one := range all {
				if one.Route == route && one.Tap != want {
					t.Errorf("%s: a tap of %s may show %s; want %s", path, route, one.Tap, want)
				}
			}
		}
	}
	lines := g.tapped(t, client, backend, session, "--payload", "--json")
	g.reload("configuration reloaded", ", tap: payload", "")
	expectLine(t, lines, `"stopped":"`+fmt.Sprintf(refused, "chat"))
	client.Send(wstest.Text("still here"))
	backend.Expect(wstest.Text("still here"))
	g.refuse(t, fmt.Sprintf(refused, "chat"), "tap", session, "--payload")
}

// Messages that are compressed are shown where their side takes no context over, which the key asks both
// for. A library speaks with a library through the gateway.
func TestTapOfCompressedPayloads(t *testing.T) {
	needNode(t, "ws")
	address := server(t, "node", testdata("ws_server.mjs"))
	g := operated(t, fmt.Sprintf(`
routes:
  - { path: /as-offered, name: as-offered, backend: %q, tap: payload }
  - { path: /alone, name: alone, backend: %q, tap: { payload: true, no_context_takeover: true } }
`, address, address))
	for route, extensions := range map[string]string{
		"as-offered": "permessage-deflate",
		"alone":      "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
	} {
		client := command(t, "node", testdata("ws_lines.mjs"), "ws://"+g.http.Address+"/"+route)
		in, err := client.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		answers := follow(t, client)
		expectAnswer := func(want string) {
			t.Helper()
			if got := expectLine(t, answers); got != want {
				t.Fatalf("%s: the client printed %.100q; want %.100q", route, got, want)
			}
		}
		expectAnswer(extensions)
		lines := g.follow(t, "tap", g.sessionOf(t, route), "--payload", "--json", "--op", "text")
		message := strings.Repeat("sentence ", 300) // the server compresses what is long
		shown := false
		eventually(t, "frames are shown", func() bool {
			io.WriteString(in, message+"\n")
			expectAnswer(message)
			select {
			case line := <-lines:
				shown = strings.Contains(line, `"compressed":true`)
				return true
			default:
				return false
			}
		})
		if !shown {
			t.Errorf("%s: the message is not compressed", route)
		}
		for range 2 {
			io.WriteString(in, message+"\n")
			expectAnswer(message)
		}
		in.Close()
		seen := make(map[string]int)
		for line := range lines {
			f := tappedFrame(t, line)
			switch {
			case f.Op == "":
			case route == "alone" && (f.Text != message[:256] || !f.Cut || f.Note != "inflated"),
				route != "alone" && (f.Text != "" || f.Hex == "" || f.Note != "compressed, context unknown"):
				t.Errorf("%s: %s", route, line)
			default:
				seen[f.From]++
			}
		}
		if seen["client"] < 2 || seen["backend"] < 2 {
			t.Errorf("%s: frames were shown of %v; want 2 of each side at least", route, seen)
		}
	}
}
