package integration

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// onDashboard is what testdata/dashboard.mjs has seen.
type onDashboard struct {
	Failed     string
	Errors     []string // of the console
	Hosts      []string // that were asked
	Violations []string // that axe has found
	Address    string   // of the page, without its host
	Cookies    []struct {
		HTTPOnly bool `json:"httpOnly"`
		SameSite string
	}
	About, Bars, Map, Details, End string // texts of the page
	WrongFilter, Question, Focus   string
	Closed                         struct {
		Code   int
		Reason string
	}
	Feeds []int // close codes

	Frames     string // that the details of a session show
	FramesBold int    // elements that their payloads have become
	FramesLeft int    // payloads that are shown of a tap before, in one without
	Stayed     bool   // the frames in view, while it was paused
	Others     int    // frames in view that are of other kinds than the one that was chosen
	Boxes      int    // to ask for payloads, where the route shows none
	Asked      int    // times that details of a session were asked for that were closed before the first answer

	Uncovered []string // frames with more than their headers, of those that a pause has held until the box was not ticked any more

	Hostile struct {
		Text     string
		Elements int
	}
	WantHostile string
	Elements    int // rows that had elements at once
	Last        string
}

func TestDashboardInChromium(t *testing.T) {
	t.Parallel()
	need(t, "/usr/bin/chromium", "--version")
	needNode(t, "playwright-core")
	needNode(t, "axe-core")
	const many = 5000
	b := wstest.NewBackend(t, wstest.Echo)
	spare := wstest.NewBackend(t, wstest.Echo)
	g := start(t, fmt.Sprintf(`
max_sessions: 100
backends:
  app: { endpoints: [%q] }
  spare: { endpoints: [%q] }
routes:
  - { name: chat, path: /chat/*, backend: app, tap: payload }
  - { name: feed, path: /feed/*, backend: app }
  - { name: spare, path: /spare, backend: spare }
`, b.Address, spare.Address))
	address := server(t, executable, "dashboard", "--config", g.config)
	plan, err := json.Marshal(map[string]any{"url": address, "gateway": g.http.Address, "many": many})
	if err != nil {
		t.Fatal(err)
	}
	var seen onDashboard
	if err := json.Unmarshal([]byte(toolReading(t, plan, "node", testdata("dashboard.mjs"))), &seen); err != nil {
		t.Fatal(err)
	}
	if seen.Failed != "" {
		t.Fatalf("%s\nthe console had %q", seen.Failed, seen.Errors)
	}
	own, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if len(seen.Errors) > 0 {
		t.Errorf("errors in the console: %q", seen.Errors)
	}
	if !slices.Equal(seen.Hosts, []string{own.Host}) {
		t.Errorf("hosts that were asked: %q, want only %s", seen.Hosts, own.Host)
	}
	for _, v := range seen.Violations {
		t.Errorf("for people who need help to read: %s", v)
	}
	if !strings.HasSuffix(seen.Address, "/dashboard") || strings.Contains(seen.Address, "key") {
		t.Errorf("the page is at %s, want a path that ends in /dashboard, without the key", seen.Address)
	}
	if len(seen.Cookies) != 1 || !seen.Cookies[0].HTTPOnly || seen.Cookies[0].SameSite != "Strict" {
		t.Errorf("cookies: %+v, want one, HttpOnly and SameSite=Strict", seen.Cookies)
	}
	for _, tt := range []struct{ where, text, want string }{
		{"head", seen.About, g.config},
		{"limits", seen.Bars, "5 of 100 (5.0 %)"},
		{"map", seen.Map, b.Address},
		{"map", seen.Map, "3 sessions open"},
		{"details", seen.Details, "/chat/a"},
		{"ended sessions", seen.End, "please log in again"},
		{"ended sessions", seen.End, "operator"},
		{"focus", seen.Focus, "/chat/a"},
		{"frames", seen.Frames, "client → backend text, 28 bytes"},
		{"frames", seen.Frames, "<b>shown to the operator</b>"},
		{"wrong filter", seen.WrongFilter, "neither an address nor a network"},
		{"question", seen.Question, "End 2 sessions?"},
	} {
		if !strings.Contains(tt.text, tt.want) {
			t.Errorf("%s: %.300q, want %q in it", tt.where, tt.text, tt.want)
		}
	}
	if seen.FramesLeft != 0 {
		t.Errorf("%d payloads are shown after a new start without them; want none", seen.FramesLeft)
	}
	if !seen.Stayed || seen.Others != 0 {
		t.Errorf("a pause leaves the frames in view: %v; %d of other kinds are in view; want true, 0", seen.Stayed, seen.Others)
	}
	if len(seen.Uncovered) > 0 {
		t.Errorf("frames that were held are shown as %q without the tick, want headers alone", seen.Uncovered)
	}
	if seen.FramesBold != 0 || seen.Boxes != 0 {
		t.Errorf("payloads became %d elements, and %d boxes ask for payloads that may not be shown; want none", seen.FramesBold, seen.Boxes)
	}
	if seen.Asked != 1 {
		t.Errorf("details that were closed before their first answer were asked for %d times, want once", seen.Asked)
	}
	if seen.Closed.Code != 4001 || seen.Closed.Reason != "please log in again" {
		t.Errorf("the client saw %+v, want 4001 and the reason", seen.Closed)
	}
	if !slices.Equal(seen.Feeds, []int{1012, 1012}) {
		t.Errorf("the clients of the filter saw %v, want 1012 twice", seen.Feeds)
	}
	if seen.Hostile.Text != seen.WantHostile || seen.Hostile.Elements != 0 {
		t.Errorf("hostile text: %+v, want the text %s and no element", seen.Hostile, seen.WantHostile)
	}
	if seen.Elements < 5 || seen.Elements > 100 {
		t.Errorf("%d of %d rows had elements at once, want those in view", seen.Elements, many)
	}
	if want := fmt.Sprintf("/many/%d", many-1); seen.Last != want {
		t.Errorf("the last row is %s, want %s", seen.Last, want)
	}
	for _, action := range []string{"drain", "undrain", "end session", "end sessions", "tap payloads", "tap"} {
		g.wait("operator", func(r record) bool { return r.text("action") == action })
	}
}

func TestDashboardCommandEnds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		end  func(g *gateway, p *os.Process) error
		code int
		want string
	}{
		{"with Ctrl-C", func(_ *gateway, p *os.Process) error { return p.Signal(os.Interrupt) }, 0, ""},
		{"with the gateway", func(g *gateway, _ *os.Process) error { g.end(); return nil }, 1, "the gateway has stopped"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := start(t, "routes: [{ path: /*, respond: {} }]")
			cmd := command(t, executable, "dashboard", "--config", g.config)
			cmd.Env = environment()
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line := make([]byte, 1)
			for line[0] != '\n' { // the address is there: signals are caught from now on
				if _, err := out.Read(line); err != nil {
					t.Fatalf("no address: %v", err)
				}
			}
			if err := tt.end(g, cmd.Process); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // the exit code says how it went
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("exit code %d and %q, want %d and %q", code, stderr.String(), tt.code, tt.want)
			}
		})
	}
}
