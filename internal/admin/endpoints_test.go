package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBadInput(t *testing.T) {
	g := newFakeGateway()
	path := newSocketServer(t, g)
	tests := []struct {
		method, target string
		status         int
		want           string
	}{
		{"GET", "/", 404, "/sessions"},
		{"GET", "/nothing", 404, "use one of"},
		{"GET", "/status/x", 404, "use one of"},
		{"GET", "/healthz?x=1", 400, `"x"`},
		{"GET", "/readyz?verbose", 400, `"verbose"`},
		{"GET", "/status?x=1", 400, "none is known here"},
		{"GET", "/routes?route=chat", 400, `"route"`},
		{"GET", "/backends?backend=app", 400, `"backend"`},
		{"GET", "/certificates?x=1", 400, `"x"`},
		{"GET", "/metrics?x=1", 400, `"x"`},
		{"GET", "/openapi.json?x=1", 400, `"x"`},
		{"GET", "/sessions?rout=chat", 400, `"rout": known here are route, backend`},
		{"GET", "/sessions?limit=-1", 400, `limit "-1"`},
		{"GET", "/sessions?limit=1.5", 400, `limit "1.5"`},
		{"GET", "/sessions?limit=99999999999999999999", 400, "limit"},
		{"GET", "/sessions?limit=0x10", 400, "limit"},
		{"GET", "/sessions?sort=age", 400, "sort \"age\" is not one of"},
		{"GET", "/sessions?code=1000", 400, `"code"`},
		{"GET", "/sessions?min_age=x", 400, "min_age"},
		{"GET", "/sessions/a1", 400, "16 hexadecimal digits"},
		{"GET", "/sessions/00000000000000g1", 400, "16 hexadecimal digits"},
		{"GET", "/sessions/0x000000000000a1", 400, "16 hexadecimal digits"},
		{"GET", "/sessions/+0000000000000a1", 400, "16 hexadecimal digits"},
		{"GET", "/sessions/00000000_00000a1", 400, "16 hexadecimal digits"},
		{"GET", "/sessions/00000000000000a2", 404, "there is no open session 00000000000000a2"},
		{"GET", "/sessions/00000000000000a1?x=1", 400, `"x"`},
		{"DELETE", "/sessions/a1", 400, "16 hexadecimal digits"},
		{"DELETE", "/sessions/00000000000000a2", 404, "no open session"},
		{"DELETE", "/sessions/00000000000000a1?spread=1s", 400, `"spread"`},
		{"DELETE", "/sessions/00000000000000a1?code=1005", 400, `code "1005"`},
		{"DELETE", "/sessions/00000000000000a1?route=chat", 400, `"route"`},
		{"DELETE", "/sessions", 400, "all=true"},
		{"DELETE", "/sessions?all=false", 400, "all=true"},
		{"DELETE", "/sessions?dry_run=true", 400, "all=true"},
		{"DELETE", "/sessions?all=yes", 400, `all "yes" is neither`},
		{"DELETE", "/sessions?all=true&route=chat", 400, "filter"},
		{"DELETE", "/sessions?all=true&dry_run=1", 400, `dry_run "1" is neither`},
		{"DELETE", "/sessions?route=chat&limit=1", 400, `"limit"`},
		{"DELETE", "/sessions?route=chat&spread=-1s", 400, `spread "-1s"`},
		{"DELETE", "/sessions?route=chat&spread=61m", 400, "hour"},
		{"DELETE", "/sessions?route=chat&spread=10", 400, "spread"},
		{"DELETE", "/sessions?route=chat&reason=" + strings.Repeat("x", 124), 400, "124 bytes"},
		{"DELETE", "/sessions?route=chat&reason=" + strings.Repeat("%C3%A9", 62), 400, "124 bytes"},
		{"DELETE", "/sessions?route=chat&reason=%ff", 400, "UTF-8"},
		{"POST", "/backends/nothing/endpoints/127.0.0.1:9000/drain", 404, "nothing"},
		{"POST", "/backends/app/endpoints/127.0.0.1:1/drain", 404, "127.0.0.1:1"},
		{"POST", "/backends/app/endpoints/127.0.0.1:1/undrain", 404, "127.0.0.1:1"},
		{"POST", "/backends/app/endpoints/127.0.0.1:9000/drain?x=1", 400, `"x"`},
		{"POST", "/backends/app/endpoints/127.0.0.1:9000/stop", 404, "use one of"},
		{"POST", "/backends/app/endpoints/unix:/run/a/drain", 404, "use one of"},
		{"POST", "/reload?x=1", 400, `"x"`},
		{"POST", "/loglevel", 400, "level is missing"},
		{"POST", "/loglevel?level=", 400, "level is empty"},
		{"POST", "/loglevel?level=loud", 400, "level"},
		{"POST", "/loglevel?level=debug&level=debug", 400, "2 times"},
		{"POST", "/loglevel?lvl=debug", 400, `"lvl": known here are level`},
	}
	for _, code := range []string{"0", "999", "1004", "1005", "1006", "1015", "1016", "2999", "5000", "-1", "x", "1e3", "4001.0", " 4001", "99999999999999999999"} {
		tests = append(tests, struct {
			method, target string
			status         int
			want           string
		}{"DELETE", "/sessions?all=true&code=" + url.QueryEscape(code), 400, "code"})
	}
	for _, tt := range tests {
		r, body := ask(t, "unix", path, request(tt.method, tt.target))
		if message := failed(t, r, body); r.StatusCode != tt.status || !strings.Contains(message, tt.want) || len(message) > 1000 {
			t.Errorf("%s %.80s: %d %s; want %d and %q", tt.method, tt.target, r.StatusCode, body, tt.status, tt.want)
		}
	}
	if done := g.audited(); len(done) != 0 {
		t.Errorf("done: %+v, want nothing", done)
	}
	if len(g.endings) != 1 { // that of the session that is not there
		t.Errorf("sessions were ended %d times", len(g.endings))
	}
}

func TestSessionsAreListed(t *testing.T) {
	g := newFakeGateway()
	for i := range 1200 {
		g.sessions = append(g.sessions, Session{Session: fmt.Sprintf("%016x", 0x1000+i), Route: "many", Opened: time.Now(), FromClient: Traffic{Messages: uint64(i)}})
	}
	path := newSocketServer(t, g)
	tests := []struct {
		query string
		want  int
		first string // of its names, "" for any
	}{
		{"", 1000, ""},
		{"?limit=0", 1202, ""},
		{"?limit=1", 1, "00000000000000a1"},
		{"?limit=1202", 1202, ""},
		{"?limit=5000", 1202, ""},
		{"?route=chat", 1, "00000000000000a1"},
		{"?route=none", 0, ""},
		{"?route=none&sort=opened", 0, ""},
		{"?route=none&limit=0", 0, ""},
		{"?sort=-messages&limit=3", 3, "00000000000014af"},
		{"?sort=messages&route=many", 1000, "0000000000001000"},
		{"?sort=opened&limit=0", 1202, "00000000000000b2"},
		{"?client=2001:db8::/32", 1, "00000000000000b2"},
	}
	for _, tt := range tests {
		r, body := ask(t, "unix", path, request("GET", "/sessions"+tt.query))
		var all []Session
		if err := json.Unmarshal([]byte(body), &all); err != nil || r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/json" || all == nil {
			t.Errorf("/sessions%s: %d, %v", tt.query, r.StatusCode, err)
			continue
		}
		if len(all) != tt.want || tt.first != "" && all[0].Session != tt.first {
			t.Errorf("/sessions%s: %d sessions, want %d with %s first", tt.query, len(all), tt.want, tt.first)
		}
		names := make(map[string]bool)
		for _, s := range all {
			names[s.Session] = true
		}
		if len(names) != len(all) {
			t.Errorf("/sessions%s: %d sessions of %d are named twice", tt.query, len(all)-len(names), len(all))
		}
	}
}

func TestSessionsAreEnded(t *testing.T) {
	g := newFakeGateway()
	path := newSocketServer(t, g)
	tests := []struct {
		target string
		want   string
		ending Ending
		spread time.Duration
		audit  string
	}{
		{"/sessions/00000000000000a1", `{"sessions":1,"dry_run":false}`, Ending{}, 0, "end session 00000000000000a1 1"},
		{"/sessions/00000000000000a1?code=4001&reason=go%20away", `{"sessions":1,"dry_run":false}`, Ending{4001, "go away"}, 0, "end session 00000000000000a1 1"},
		{"/sessions?all=true", `{"sessions":1,"dry_run":false}`, Ending{}, 0, "end sessions all=true 1"},
		{"/sessions?route=chat&spread=1h&code=1000", `{"sessions":1,"dry_run":false}`, Ending{Code: 1000}, time.Hour, "end sessions route=chat&spread=1h&code=1000 1"},
		{"/sessions?route=none", `{"sessions":0,"dry_run":false}`, Ending{}, 0, "end sessions route=none 0"},
		{"/sessions?route=chat&dry_run=false", `{"sessions":1,"dry_run":false}`, Ending{}, 0, "end sessions route=chat&dry_run=false 1"},
		{"/sessions?route=chat&reason=" + strings.Repeat("x", 123), `{"sessions":1,"dry_run":false}`, Ending{Reason: strings.Repeat("x", 123)}, 0, ""},
	}
	for _, tt := range tests {
		g.endings, g.spreads = nil, nil
		r, body := ask(t, "unix", path, request("DELETE", tt.target))
		if r.StatusCode != 200 || strings.TrimSpace(body) != tt.want {
			t.Errorf("DELETE %s: %d %s, want %s", tt.target, r.StatusCode, body, tt.want)
		}
		if !slices.Equal(g.endings, []Ending{tt.ending}) || !slices.Equal(g.spreads, []time.Duration{tt.spread}) {
			t.Errorf("DELETE %s: %+v within %v, want %+v within %v", tt.target, g.endings, g.spreads, tt.ending, tt.spread)
		}
		for _, a := range g.audited() {
			if got := fmt.Sprint(a.What, " ", a.Target, " ", a.Count); tt.audit != "" && got != tt.audit {
				t.Errorf("DELETE %s is told as %q, want %q", tt.target, got, tt.audit)
			}
		}
	}
}

// A dry run counts what would end, and ends nothing.
func TestDryRuns(t *testing.T) {
	g := newFakeGateway()
	path := newSocketServer(t, g)
	for query, want := range map[string]int{
		"route=chat": 1, "route=none": 0, "all=true": 1, // one is ending already
	} {
		var e Ended
		_, body := ask(t, "unix", path, request("DELETE", "/sessions?dry_run=true&"+query))
		if err := json.Unmarshal([]byte(body), &e); err != nil || !e.DryRun || e.Sessions != want {
			t.Errorf("a dry run of %s: %s, want %d", query, body, want)
		}
	}
	if done := g.audited(); len(g.endings) > 0 || len(done) > 0 {
		t.Errorf("a dry run has done %v and %v", g.endings, done)
	}
}

func TestDrain(t *testing.T) {
	g := newFakeGateway()
	path := newSocketServer(t, g)
	for _, endpoint := range []string{"127.0.0.1:9000", "unix:/run/a b%c?d"} {
		for _, verb := range []string{"drain", "undrain"} {
			r, body := ask(t, "unix", path, request("POST", Path("backends", "app", "endpoints", endpoint, verb)))
			var all []Backend
			if err := json.Unmarshal([]byte(body), &all); err != nil || r.StatusCode != 200 || len(all) != 1 || all[0].Backend != "app" {
				t.Errorf("%s %s: %d %s, want the backend", verb, endpoint, r.StatusCode, body)
			}
			if done := g.audited(); len(done) != 1 || done[0].What != verb || !strings.Contains(done[0].Target, endpoint) || done[0].Err != nil {
				t.Errorf("%s %s is told as %+v", verb, endpoint, done)
			}
		}
	}
}

func TestReloads(t *testing.T) {
	g := newFakeGateway()
	path := newSocketServer(t, g)
	if r, body := ask(t, "unix", path, request("POST", "/reload")); r.StatusCode != 200 || !strings.Contains(body, `"ok":true`) {
		t.Errorf("a good reload: %d %s", r.StatusCode, body)
	}
	g.reloadError = errors.New("f:1: a\nf:2: b")
	r, body := ask(t, "unix", path, request("POST", "/reload"))
	var answer Reload
	if err := json.Unmarshal([]byte(body), &answer); err != nil || r.StatusCode != 422 || answer.OK || len(answer.Mistakes) != 2 {
		t.Errorf("a bad reload: %d %s, want 422 and two mistakes", r.StatusCode, body)
	}
	if done := g.audited(); len(done) != 2 || done[0].Err != nil || done[1].Err == nil {
		t.Errorf("told: %+v", done)
	}
}

// While a restart moves sessions nothing is changed; what only looks is answered.
func TestNothingChangesDuringARestart(t *testing.T) {
	g := newFakeGateway()
	g.changeError = errors.New("a restart is under way")
	path := newSocketServer(t, g)
	for _, e := range endpoints() {
		if !e.changes {
			continue
		}
		want := 409
		if e.path == "/restart" { // which says so itself
			want = 200
		}
		target := strings.NewReplacer("{session}", "1", "{backend}", "app", "{endpoint}", "127.0.0.1:9000").Replace(e.path)
		r, body := ask(t, "unix", path, request(e.method, target))
		if r.StatusCode != want || want == 409 && !strings.Contains(body, "a restart is under way") {
			t.Errorf("%s %s: %d %s, want %d", e.method, target, r.StatusCode, body, want)
		}
	}
	if r, body := ask(t, "unix", path, request("GET", "/sessions")); r.StatusCode != 200 {
		t.Errorf("GET /sessions: %d %s", r.StatusCode, body)
	}
	if done := g.audited(); len(done) != 1 || done[0].What != "restart" {
		t.Errorf("told: %+v, want the restart alone", done)
	}
}

func TestLogLevels(t *testing.T) {
	g := newFakeGateway()
	path := newSocketServer(t, g)
	if r, body := ask(t, "unix", path, request("POST", "/loglevel?level=debug")); r.StatusCode != 200 || strings.TrimSpace(body) != `{"level":"debug"}` {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	if done := g.audited(); len(done) != 1 || done[0].What != "log level" || done[0].Target != "debug" {
		t.Errorf("told: %+v", done)
	}
}
