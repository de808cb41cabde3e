//go:build unix

package integration

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// session is what tests read of a session as operators see it.
type session struct {
	Session, Route, Backend, Endpoint, Client, Host, URI, Ending string
	RequestID                                                    string `json:"request_id"`
	Opened, Last                                                 time.Time
	FromClient                                                   traffic `json:"from_client"`
	FromBackend                                                  traffic `json:"from_backend"`
}

type traffic struct{ Messages, Frames, Controls, Bytes int }

func TestSessionsOfOperators(t *testing.T) {
	chat, feed := wstest.NewBackend(t, nil), wstest.NewBackend(t, nil)
	g := operated(t, fmt.Sprintf(`
backends: { talk: { endpoints: [%q] }, news: { endpoints: [%q] } }
routes:
  - { name: chat, path: /chat, backend: talk }
  - { name: feed, path: /feed, backend: news }
`, chat.Address, feed.Address))
	g.reload("configuration reloaded", "log: { format: json }", "log: { format: json, redact: [token] }")
	if got := operatedAs[[]session](t, g, "sessions"); got == nil || len(got) != 0 {
		t.Errorf("sessions at first: %+v, want an empty list", got)
	}
	client, backend := wstest.Pair(t, g.http, chat, wstest.Handshake("/chat?room=1&token=secret", "X-Request-Id: one"))
	other, _ := wstest.Pair(t, g.https, feed, wstest.Handshake("/feed"))
	client.Send(wstest.Text("12345"), wstest.Part(1, "ab"), wstest.Last("c"), wstest.Ping("p"))
	backend.Expect(wstest.Text("12345"), wstest.Part(1, "ab"), wstest.Last("c"), wstest.Ping("p"))
	backend.Send(wstest.Text("abc"))
	client.Expect(wstest.Text("abc"))

	all := operatedAs[[]session](t, g, "sessions", "--sort", "-messages")
	if len(all) != 2 {
		t.Fatalf("%d sessions, want 2: %+v", len(all), all)
	}
	s := all[0]
	want := session{
		Session: s.Session, RequestID: s.RequestID, Route: "chat", Backend: "talk", Endpoint: chat.Address, Client: "127.0.0.1", Host: "gateway.test", URI: s.URI,
		Opened: s.Opened, Last: s.Last, FromClient: traffic{2, 3, 1, 8}, FromBackend: traffic{1, 1, 0, 3},
	}
	if s != want {
		t.Errorf("session %+v\nwant %+v", s, want)
	}
	if !strings.HasPrefix(s.URI, "/chat?room=1") || strings.Contains(s.URI, "secret") {
		t.Errorf("URI %q, want it without what is redacted", s.URI)
	}
	if s.Last.Before(s.Opened) || s.RequestID == "" {
		t.Errorf("opened %v, last %v, request %q", s.Opened, s.Last, s.RequestID)
	}

	tests := []struct {
		args []string
		want []string // routes
	}{
		{nil, []string{"chat", "feed"}},
		{[]string{"--route", "chat"}, []string{"chat"}},
		{[]string{"--route", "none"}, nil},
		{[]string{"--backend", "news"}, []string{"feed"}},
		{[]string{"--endpoint", chat.Address}, []string{"chat"}},
		{[]string{"--client", "127.0.0.0/8"}, []string{"chat", "feed"}},
		{[]string{"--client", "192.0.2.1"}, nil},
		{[]string{"--request-id", s.RequestID}, []string{"chat"}},
		{[]string{"--min-messages", "1"}, []string{"chat"}},
		{[]string{"--max-messages", "2"}, []string{"feed"}},
		{[]string{"--min-bytes", "11"}, []string{"chat"}},
		{[]string{"--min-bytes", "12"}, nil},
		{[]string{"--max-bytes", "10"}, []string{"feed"}},
		{[]string{"--min-age", "1h"}, nil},
		{[]string{"--max-age", "1h"}, []string{"chat", "feed"}},
		{[]string{"--min-idle", "1h"}, nil},
		{[]string{"--max-idle", "1h", "--route", "feed"}, []string{"feed"}},
		{[]string{"--min-rate", "1000"}, nil},
		{[]string{"--max-rate", "1000"}, []string{"chat", "feed"}},
		{[]string{"--limit", "1", "--sort", "route"}, []string{"chat"}},
		{[]string{"--limit", "1", "--sort", "-route"}, []string{"feed"}},
	}
	for _, tt := range tests {
		var got []string
		for _, s := range operatedAs[[]session](t, g, append([]string{"sessions"}, tt.args...)...) {
			got = append(got, s.Route)
		}
		slices.Sort(got)
		if !slices.Equal(got, tt.want) {
			t.Errorf("sessions %q: %q, want %q", tt.args, got, tt.want)
		}
	}
	g.refuse(t, `min_age "soon" is not a duration`, "sessions", "--min-age", "soon")
	g.refuse(t, "sort", "sessions", "--sort", "size")
	table := g.operate(t, "sessions")
	if !strings.Contains(table, "SESSION") || !strings.Contains(table, s.Session) || strings.Count(table, "\n") != 3 {
		t.Errorf("sessions prints\n%s", table)
	}

	client.Send(wstest.Close(1000, "done"))
	backend.ExpectClose(1000)
	client.Expect(wstest.Close(1000, ""))
	client.ExpectEnd()
	backend.ExpectEnd()
	eventually(t, "the session that has ended is not listed", func() bool { return len(operatedAs[[]session](t, g, "sessions")) == 1 })
	expect(t, g.ended(s.URI), record{"session": s.Session})
	other.Close()
}

// The ends of sessions are there afterwards, whether the log has them or not.
func TestEndsOfSessions(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := operated(t, "routes: [{ name: chat, path: /*, backend: '"+b.Address+"' }]")
	g.reload("configuration reloaded", "log: { format: json }", "log: { format: json, access: false, redact: [token] }")
	client, backend := wstest.Pair(t, g.http, b, wstest.Handshake("/room?token=secret"))
	client.Send(wstest.Text("123"), wstest.Close(4001, "enough"))
	backend.Expect(wstest.Text("123"), wstest.Close(4001, "enough"))
	backend.Send(wstest.Close(4001, ""))
	client.Expect(wstest.Close(4001, ""))
	client.ExpectEnd()
	var all []record
	eventually(t, "the session has ended", func() bool {
		_, body := wstest.Ask(t, g.operators("unix"), get("/ends"))
		if err := json.Unmarshal([]byte(body), &all); err != nil {
			t.Fatalf("/ends: %v in %s", err, body)
		}
		return len(all) == 1
	})
	expect(t, all[0], record{
		"route": "chat", "endpoint": b.Address, "client": "127.0.0.1", "client_messages": 1, "client_bytes": 3, "backend_messages": 0,
		"close_code": 4001, "close_reason": "enough", "ended_by": "client", "cause": "close",
	})
	if uri := all[0].text("uri"); !strings.HasPrefix(uri, "/room?token=") || strings.Contains(uri, "secret") {
		t.Errorf("the URI %q; want it without what is redacted", uri)
	}
}

func TestKillOne(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := operated(t, "routes: [{ name: chat, path: /*, backend: '"+b.Address+"' }]")
	for _, target := range g.schemes() {
		kept, keptBackend := wstest.Pair(t, target, b, wstest.Handshake("/kept"))
		client, backend := wstest.Pair(t, target, b, wstest.Handshake("/killed"))
		var name string
		for _, s := range operatedAs[[]session](t, g, "sessions") {
			if s.URI == "/killed" {
				name = s.Session
			}
		}
		before := len(g.log())
		if got := g.operate(t, "kill", name, "--code", "4001", "--reason", "please log in again"); got != "ended 1 session\n" {
			t.Errorf("kill says %q", got)
		}
		client.Expect(wstest.Close(4001, "please log in again"))
		backend.ExpectClose(1001)
		client.Send(wstest.Close(4001, ""))
		client.ExpectEnd()
		backend.ExpectEnd()
		r := g.waitFrom(before, "session ended", nil)
		expect(t, r, record{"session": name, "cause": "ended by operator", "close_code": 4001, "ended_by": "gateway", "uri": "/killed"})
		expect(t, g.waitFrom(before, "operator", nil), record{"action": "end session", "target": name, "sessions": 1, "level": "info"})
		g.refuse(t, "no open session", "kill", name)
		kept.Send(wstest.Text("still here"))
		keptBackend.Expect(wstest.Text("still here"))
		kept.Close()
		keptBackend.Close()
		eventually(t, "all sessions have ended", func() bool { return len(operatedAs[[]session](t, g, "sessions")) == 0 })
	}
}

// A session says that it is ending, and cannot be ended twice.
func TestKillOfASessionThatEnds(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := operated(t, "routes: [{ path: /*, backend: '"+b.Address+"' }]")
	client, backend := wstest.Pair(t, g.http, b, wstest.Handshake("/"))
	g.operate(t, "kill", "--all")
	client.Expect(wstest.Close(1008, "ended by operator"))
	backend.Expect(wstest.Close(1001, ""))
	all := operatedAs[[]session](t, g, "sessions")
	if len(all) != 1 || all[0].Ending != "ended by operator" {
		t.Fatalf("%+v, want one that ends", all)
	}
	if got := g.operate(t, "kill", "--all"); got != "ended 0 sessions\n" {
		t.Errorf("a second kill: %q", got)
	}
	if got := g.operate(t, "kill", "--all", "--dry-run"); got != "would end 0 sessions\n" {
		t.Errorf("a dry run: %q", got)
	}
	g.refuse(t, "ending", "kill", all[0].Session)
	client.Close()
	backend.Close()
}

func TestKillByFilter(t *testing.T) {
	b := wstest.NewBackend(t, nil)
	g := operated(t, fmt.Sprintf(`
backends: { app: { endpoints: [%q] } }
routes:
  - { name: many, path: /many, backend: app }
  - { name: kept, path: /kept, backend: app }
`, b.Address))
	const n = 20
	type pair struct{ client, backend wstest.Peer }
	var many []pair
	for range n {
		c, s := wstest.Pair(t, g.http, b, wstest.Handshake("/many"))
		many = append(many, pair{c, s})
	}
	kept, keptBackend := wstest.Pair(t, g.http, b, wstest.Handshake("/kept"))

	g.refuse(t, "--all", "kill")
	g.refuse(t, "not both", "kill", "0000000000000001", "--route", "many")
	g.refuse(t, "code", "kill", "--route", "many", "--code", "1005")
	g.refuse(t, "not a duration", "kill", "--min-age", "x")
	g.refuse(t, "124 bytes", "kill", "--route", "many", "--reason", strings.Repeat("x", 124))
	g.refuse(t, "spread", "kill", "--route", "many", "--spread", "2h")
	g.refuse(t, "all", "kill", "--route", "many", "--all")
	g.refuse(t, "16 hexadecimal digits", "kill", "many")
	if r, body := wstest.Ask(t, g.operators("unix"), "DELETE /sessions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); r.StatusCode != 400 || !strings.Contains(body, "all=true") {
		t.Errorf("DELETE /sessions: %d %s", r.StatusCode, body)
	}
	if got, want := g.operate(t, "kill", "--route", "many", "--dry-run"), fmt.Sprintf("would end %d sessions\n", n); got != want {
		t.Errorf("a dry run says %q, want %q", got, want)
	}
	if got := operatedAs[[]session](t, g, "sessions"); len(got) != n+1 {
		t.Fatalf("%d sessions after refusals and a dry run, want %d", len(got), n+1)
	}
	if got, want := g.operate(t, "kill", "--route", "many", "--client", "127.0.0.1", "--spread", "500ms", "--reason", "moving"), fmt.Sprintf("%d sessions will end within 500ms\n", n); got != want {
		t.Errorf("kill says %q, want %q", got, want)
	}
	for _, p := range many {
		p.client.Expect(wstest.Close(1008, "moving"))
		p.backend.ExpectClose(1001)
		p.client.Send(wstest.Close(1008, ""))
		p.client.ExpectEnd()
		p.backend.ExpectEnd()
	}
	eventually(t, "one session is left", func() bool {
		all := operatedAs[[]session](t, g, "sessions")
		return len(all) == 1 && all[0].Route == "kept"
	})
	moments := make(map[string]bool)
	ended := 0
	for _, r := range g.log() {
		if r.name() == "session ended" && r.text("cause") == "ended by operator" {
			ended++
			moments[r.text("time")] = true
		}
	}
	if ended != n || len(moments) == 1 {
		t.Errorf("%d sessions have ended by operator at %d moments, want %d at more than one", ended, len(moments), n)
	}
	kept.Send(wstest.Text("still here"))
	keptBackend.Expect(wstest.Text("still here"))
	if got := g.operate(t, "kill", "--route", "mnay"); got != "no open session matches: 'sluice sessions' lists them\n" {
		t.Errorf("a route that there is not: %q", got)
	}
	r := g.wait("operator", nil)
	if expect(t, r, record{"action": "end sessions", "sessions": n}); !strings.Contains(r.text("target"), "route=many") {
		t.Errorf("target %q", r.text("target"))
	}
	kept.Close()
	keptBackend.Close()
}

// Each endpoint can be named as 'sluice backends' and 'sluice sessions' write it.
func TestEndpointsHaveOneName(t *testing.T) {
	ca := wstest.NewCA(t)
	plain, secure := wstest.NewBackend(t, nil), wstest.NewTLSBackend(t, nil, ca.Server(t, "127.0.0.1", "localhost"))
	_, port, _ := net.SplitHostPort(secure.Address)
	g := operated(t, fmt.Sprintf(`
backends:
  plain: { endpoints: [%q] }
  secure: { endpoints: ["https://%s"], tls: { ca: %q } }
  named: { endpoints: ["https://localhost:%s"], tls: { ca: %q } }
routes:
  - { path: /plain, backend: plain }
  - { path: /secure, backend: secure }
  - { path: /named, backend: named }
`, plain.Address, secure.Address, ca.File, port, ca.File))
	eventually(t, "the name is looked up", func() bool { return strings.Contains(endpointOf(t, g, "named").Endpoint, "(") })
	for name, b := range map[string]*wstest.Backend{"plain": plain, "secure": secure, "named": secure} {
		t.Run(name, func(t *testing.T) {
			client, backend := wstest.Pair(t, g.http, b, wstest.Handshake("/"+name))
			defer client.Close()
			defer backend.Close()
			sessions := operatedAs[[]session](t, g, "sessions", "--backend", name)
			if len(sessions) != 1 {
				t.Fatalf("sessions: %+v", sessions)
			}
			shown := endpointOf(t, g, name).Endpoint
			if sessions[0].Endpoint != shown {
				t.Errorf("the session has the endpoint %q, and the backend %q", sessions[0].Endpoint, shown)
			}
			if got := operatedAs[[]session](t, g, "sessions", "--endpoint", shown); len(got) != 1 {
				t.Errorf("%d sessions with --endpoint %q", len(got), shown)
			}
			g.operate(t, "drain", name, shown)
			if state := endpointOf(t, g, name).State; state != "draining" {
				t.Errorf("%s is %s after drain", shown, state)
			}
			g.operate(t, "undrain", name, shown)
		})
	}
}
