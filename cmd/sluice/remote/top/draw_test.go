package top

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/gdamore/tcell/v2"

	"sluice/cmd/sluice/remote/show"
	"sluice/internal/admin"
)

// What has no room is left out, the least important first; nothing wraps.
func TestScreensOfEverySize(t *testing.T) {
	tests := []struct {
		width, height int
		want, without []string
	}{
		{80, 24, []string{
			"sluice v1.4.0   running for 1m0s", "sessions 3 of 100 (3 %)", "from clients - msgs/s", "descriptors 28 (0 %)", "2 loops -",
			"SESSION", "CLIENT", "ROUTE", "AGE", "IDLE", "IN/S", "OUT/S", "00000000000000a1", "2001:db8::3", "q quit", "k kill",
		}, []string{"PATH", "MSG IN/S"}},
		{200, 50, []string{"ENDPOINT", "10.0.0.7:9000", "MSG IN/S", "MSG OUT/S", "BYTES", "PATH", "/ws?room=1", "/etc/sluice/sluice.yaml"}, nil},
		{40, 10, []string{"sluice v1.4.0", "sessions 3 of 100", "SESSION", "CLIENT", "00000000000000c3", "q quit"}, []string{"descriptors", "ROUTE", "k kill"}},
		{20, 6, []string{"SESSION", "00000000000000a1"}, []string{"CLIENT", "q quit", "sluice v1"}},
		{3, 2, nil, nil},
		{1, 1, nil, nil},
		{0, 0, nil, nil},
	}
	for _, tt := range tests {
		screen := drawn(t, seen(t, newFakeGateway(), tt.width, tt.height))
		expectAll(t, screen, tt.want...)
		expectNone(t, screen, tt.without...)
		if n := strings.Count(screen, "\n"); n != tt.height {
			t.Errorf("%dx%d: %d lines:\n%s", tt.width, tt.height, n, screen)
		}
	}
}

// A screen that is too small for what is asked and said is drawn all the same.
func TestSmallScreens(t *testing.T) {
	for _, keys := range [][]string{{"/"}, {"/", "x", "<enter>"}, {"<down>", "k"}, {"<down>", "k", "<enter>", "<enter>"}, {"<down>", "t"}, {"<down>", "t", " ", "<pgup>"}, {"?"}, {"k"}, {"2", "3"}} {
		for _, size := range [][2]int{{0, 0}, {1, 1}, {2, 3}, {5, 2}, {12, 4}, {300, 1}, {1, 100}} {
			m := seen(t, newFakeGateway(), size[0], size[1])
			press(t, m, keys...)
			drawn(t, m)
		}
	}
}

func TestViewsOfBackendsAndRoutes(t *testing.T) {
	g := newFakeGateway()
	m := seen(t, g, 120, 24)
	press(t, m, "2")
	expectAll(t, drawn(t, m), "asking the gateway")
	lookAt(t, m, g)
	screen := drawn(t, m)
	expectAll(t, screen, "BACKEND", "10.0.0.8:9000", "down", "1m0s", "connection refused", "no address", "d drain")
	expectNone(t, screen, "t tap")
	press(t, m, "<tab>")
	lookAt(t, m, g)
	expectAll(t, drawn(t, m), "ROUTE", "chat", "MSG OUT/S")
	press(t, m, "<backtab>", "<backtab>")
	expectAll(t, drawn(t, m), "SESSION", "00000000000000a1")
}

func TestAnEmptyGateway(t *testing.T) {
	g := newFakeGateway()
	g.sessions, g.routes, g.backends = []admin.Session{}, []admin.Route{}, []admin.Backend{}
	g.status.Loops = nil
	m := seen(t, g, 80, 24)
	expectAll(t, drawn(t, m), "no session is open", "0 sessions")
	press(t, m, "<down>", "k")
	expectAll(t, drawn(t, m), "select a session first")
	press(t, m, "2")
	lookAt(t, m, g)
	expectAll(t, drawn(t, m), "no backend is configured")
	press(t, m, "d")
	expectAll(t, drawn(t, m), "select an endpoint first")
	press(t, m, "3")
	expectAll(t, drawn(t, m), "no route has a backend")
}

// Before the first look there is nothing to show, and the keys work.
func TestBeforeTheFirstLook(t *testing.T) {
	m := newModel(time.Second, began)
	m.resize(80, 24)
	press(t, m, "<down>", "k", "t", "2", "d", "/", "<esc>", "<pgdn>", "<end>", "r", "<right>")
	drawn(t, m)
}

// A gateway that does not answer leaves the last picture, greyed, and is asked again, less and less
// often.
func TestALostGateway(t *testing.T) {
	g := newFakeGateway()
	m := seen(t, g, 80, 24)
	g.wrong["/status"] = errors.New("connection refused")
	m.now = m.now.Add(time.Second)
	lookAt(t, m, g)
	m.now = m.now.Add(600 * time.Millisecond)
	s := newScreen(t, 80, 24)
	draw(s, m)
	expectAll(t, shown(s), "No answer for 1s, next try in 0s: connection refused", "00000000000000a1", "q quit")
	if style := styleOf(t, s, "00000000000000a1"); style != tcell.StyleDefault.Dim(true) {
		t.Errorf("a row has the style %+v, want it dim", style)
	}
	for _, want := range []time.Duration{2, 4, 8, 10, 10} {
		m.now = m.due
		if lookAt(t, m, g); m.due.Sub(m.now) != want*time.Second {
			t.Errorf("try %d: the next one is after %v, want %v", m.lost.tries, m.due.Sub(m.now), want*time.Second)
		}
	}
	press(t, m, "<right>", "2", "1") // is not what makes it ask before the time
	if m.due.Sub(m.now) != 10*time.Second {
		t.Errorf("after some keys the next try is in %v", m.due.Sub(m.now))
	}
	delete(g.wrong, "/status")
	m.now = m.due
	lookAt(t, m, g)
	draw(s, m)
	expectAll(t, shown(s), "the gateway answers again, after 35s")
	expectNone(t, shown(s), "No answer")
	if style := styleOf(t, s, "00000000000000a1"); style != tcell.StyleDefault {
		t.Errorf("a row has the style %+v after that", style)
	}
}

// A picture that is old says so, and one that is waited for too.
func TestASlowGatewayIsSeen(t *testing.T) {
	g := newFakeGateway()
	m := seen(t, g, 120, 24)
	m.now = m.now.Add(4 * time.Second)
	expectNone(t, drawn(t, m), "ago", "waiting")
	m.now = m.now.Add(8 * time.Second)
	s := newScreen(t, 120, 24)
	draw(s, m)
	expectAll(t, shown(s), "as of 12s ago")
	if style := styleOf(t, s, "00000000000000a1"); style != tcell.StyleDefault.Dim(true) {
		t.Errorf("a row has the style %+v, want it dim", style)
	}
	m.asked = m.now.Add(-4 * time.Second)
	expectAll(t, drawn(t, m), "waiting for the gateway for 4s")
	lookAt(t, m, g)
	expectNone(t, drawn(t, m), "ago", "waiting")
}

// Where there are more sessions than are listed, it is said which are.
func TestManySessions(t *testing.T) {
	g := newFakeGateway()
	for i := range mostSessions - len(g.sessions) {
		g.sessions = append(g.sessions, admin.Session{Session: fmt.Sprintf("%016x", i), Opened: began, Last: began})
	}
	g.status.Sessions.Used = 5000
	m := seen(t, g, 200, 24)
	expectAll(t, drawn(t, m), "1000 of 5000 sessions: those with the most bytes, by OUT/S, largest first")
	tests := map[string]string{
		"SESSION": "any of them", "CLIENT": "the first by client", "AGE": "the oldest", "IDLE": "those idle longest", "IN/S": "those with the most bytes",
		"MSG IN/S": "those with the most messages a second", "PATH": "any of them",
	}
	for range m.table().columns {
		press(t, m, ">")
		lookAt(t, m, g)
		if want := tests[m.table().columns[m.table().sort].title]; want != "" {
			expectAll(t, drawn(t, m), "1000 of 5000 sessions: "+want)
		}
	}
}

// Ages are by the clock of the gateway.
func TestClocksThatDiffer(t *testing.T) {
	g := newFakeGateway()
	m := newModel(time.Second, began.Add(time.Hour))
	m.resize(80, 24)
	lookAt(t, m, g)
	if row := m.table().rows[0]; row.cells[4].text != "1h0m" {
		t.Errorf("AGE is %s, want 1h0m", row.cells[4].text)
	}
	press(t, m, "2")
	lookAt(t, m, g)
	expectAll(t, drawn(t, m), "1m0s")
}

// What went wrong is said as it is.
func TestReasons(t *testing.T) {
	gone := &net.OpError{Op: "dial", Net: "unix", Err: errors.New("connect: no such file or directory")}
	tests := []struct {
		err    error
		status int
		want   string
	}{
		{fmt.Errorf("admin interface at /run/sluice/a.sock: %w", gone), 0, "No answer for 0s, next try in 1s: no gateway at /run/sluice/a.sock"},
		{fmt.Errorf("admin interface at x: %w", errors.New("the token is wrong")), 401, "The gateway refuses for 0s, next try in 1s: the token is wrong"},
		{fmt.Errorf("admin interface at x: %w", context.DeadlineExceeded), 0, "No answer for 0s, next try in 1s: it takes longer than 10s"},
	}
	for _, tt := range tests {
		m := seen(t, newFakeGateway(), 120, 24)
		m.failed(m.query(), tt.status, tt.err, m.now)
		expectAll(t, drawn(t, m), tt.want)
	}
}

// What others have chosen can neither change the terminal nor move a column.
func TestHostileTexts(t *testing.T) {
	for name, text := range map[string]string{
		"an escape sequence": "a\x1b[2Jb", "a C1 control": "a\u009b2Jb", "a bell and a newline": "a\a\nb", "no UTF-8": "a\xff\xfeb",
		"wide": "会話室", "combining": "e\u0301a\u0308", "combining alone": "\u0301", "many over one": "a" + strings.Repeat("\u0301", 500),
		"an emoji of several": "👩\u200d👩\u200d👧", "turned around": "\u202eabc", "very long": strings.Repeat("界", 500),
	} {
		g := newFakeGateway()
		g.sessions = g.sessions[:2]
		g.sessions[0].Route, g.sessions[1].Opened = text, g.sessions[0].Opened
		m := seen(t, g, 80, 24)
		s := newScreen(t, 80, 24)
		draw(s, m)
		for y := range 24 {
			for x := range 80 {
				one, _, _ := s.Get(x, y)
				if strings.ContainsFunc(one, func(r rune) bool { return !unicode.IsPrint(r) }) || len(one) > show.MostCluster {
					t.Errorf("%s: the cell %d, %d has %q", name, x, y, one)
				}
			}
		}
		for _, p := range m.table().layout(80) {
			if m.table().columns[p.index].title != "AGE" {
				continue
			}
			for y := range 2 {
				got := ""
				for x := range p.width {
					one, _, _ := s.Get(p.x+x, m.headHeight()+2+y)
					got += one
				}
				if strings.TrimSpace(got) != "1h0m" {
					t.Errorf("%s: the column AGE has %q in the row %d", name, got, y)
				}
			}
		}
	}
}

// Colours are used only where there are some; without them the screen says the same.
func TestWithoutColours(t *testing.T) {
	g := newFakeGateway()
	m := seen(t, g, 120, 24)
	press(t, m, "2")
	lookAt(t, m, g)
	for _, colours := range []bool{true, false} {
		s := newScreen(t, 120, 24)
		s.Clear()
		c := &canvas{screen: s, colours: colours}
		c.table(m, 0)
		s.Show()
		foreground, background, _ := styleOf(t, s, "10.0.0.8:9000").Decompose()
		if coloured := foreground != tcell.ColorDefault; coloured != colours || background != tcell.ColorDefault {
			t.Errorf("with colours %v: an endpoint that is down is %v on %v", colours, foreground, background)
		}
		expectAll(t, shown(s), "down")
	}
}
