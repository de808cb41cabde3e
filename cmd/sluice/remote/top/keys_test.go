package top

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/internal/admin"
)

func TestKeysSort(t *testing.T) {
	g := newFakeGateway()
	m := seen(t, g, 200, 24)
	sortBy := func(title string) {
		t.Helper()
		for range m.table().columns {
			if m.table().columns[m.table().sort].title == title {
				return
			}
			press(t, m, ">")
		}
		t.Fatalf("there is no column %s", title)
	}
	tests := []struct{ column, order, asked, reversed, reverseAsked string }{
		{"SESSION", "a1 b2 c3", "", "c3 b2 a1", ""},
		{"CLIENT", "a1 b2 c3", "client", "c3 b2 a1", "-client"},
		{"ROUTE", "a1 c3 b2", "route", "b2 c3 a1", "-route"}, // those of one route by their names
		{"AGE", "a1 b2 c3", "opened", "c3 b2 a1", "-opened"},
		{"BYTES", "a1 b2 c3", "-bytes", "c3 b2 a1", "bytes"},
	}
	for _, tt := range tests {
		sortBy(tt.column)
		if got := order(m); got != tt.order || m.query().order != tt.asked {
			t.Errorf("by %s: %s, asked for %q; want %s and %q", tt.column, got, m.query().order, tt.order, tt.asked)
		}
		press(t, m, "r")
		if got := order(m); tt.column != "ROUTE" && got != tt.reversed || m.query().order != tt.reverseAsked {
			t.Errorf("by %s reversed: %s, asked for %q; want %s and %q", tt.column, got, m.query().order, tt.reversed, tt.reverseAsked)
		}
		if m.due != m.now {
			t.Errorf("by %s: the gateway is not asked at once", tt.column)
		}
	}
	expectAll(t, drawn(t, m), "by BYTES, smallest first")
	press(t, m, "<left>", "<right>")
	expectAll(t, drawn(t, m), "by BYTES, largest first")
}

// The selection stays on its session when the order changes. When the session ends nothing is selected, and
// no key means another session until one is selected again.
func TestTheSelectionStays(t *testing.T) {
	g := newFakeGateway()
	m := seen(t, g, 200, 24)
	for m.table().columns[m.table().sort].title != "BYTES" {
		press(t, m, ">")
	}
	selected := func(when, want string, at int) {
		t.Helper()
		if got := m.table().selected; !strings.HasSuffix(got, want) || m.table().at != at {
			t.Errorf("%s: %q at %d is selected, want %q at %d", when, got, m.table().at, want, at)
		}
	}
	press(t, m, "<down>", "<down>")
	selected("at first", "b2", 1)
	press(t, m, "r", "r", "r")
	selected("in the other order", "b2", 1)
	g.sessions[1].FromClient.Bytes = 9000
	lookAt(t, m, g)
	selected("when it has the most bytes", "b2", 2)
	g.sessions = g.sessions[:1]
	lookAt(t, m, g)
	selected("when it has ended", "", 0)
	expectAll(t, drawn(t, m), "session 00000000000000b2 has ended: select another")
	for _, key := range []string{"k", "t"} {
		press(t, m, key)
		expectAll(t, drawn(t, m), "session 00000000000000b2 has ended: select another")
		if m.prompt != nil || m.tap != nil {
			t.Fatalf("%s means another session", key)
		}
	}
	press(t, m, "<down>")
	selected("after an arrow", "a1", 0)
	g.sessions = nil
	lookAt(t, m, g)
	if m.table().selected != "" {
		t.Errorf("%q is selected of no sessions", m.table().selected)
	}
}

func TestKeysScroll(t *testing.T) {
	g := newFakeGateway()
	g.sessions = nil
	for i := range 100 {
		g.sessions = append(g.sessions, admin.Session{Session: fmt.Sprintf("%016x", i), Opened: began, Last: began})
	}
	m := seen(t, g, 80, 24) // 17 rows
	first := func(keys, want string) {
		t.Helper()
		row := strings.Split(drawn(t, m), "\n")[m.headHeight()+2]
		if !strings.HasPrefix(row, want) {
			t.Errorf("after %s the first row is %q, want %q", keys, row, want)
		}
	}
	first("nothing", "0000000000000000")
	press(t, m, "<end>")
	first("End", "0000000000000053")
	press(t, m, "<pgup>")
	first("PgUp", "0000000000000052")
	press(t, m, "<home>")
	first("Home", "0000000000000000")
	press(t, m, "<pgdn>", "<down>")
	first("PgDn and Down", "0000000000000002")
	m.resize(80, 10)
	first("a smaller screen", "000000000000000e")
	expectAll(t, drawn(t, m), "0000000000000012") // which is selected
	press(t, m, "<esc>")
	first("Esc", "0000000000000000")
	press(t, m, "<up>")
	m.resize(80, 24)
	first("Up without a selection", "0000000000000053")
}

func TestAFilter(t *testing.T) {
	g := newFakeGateway()
	m := seen(t, g, 100, 24)
	press(t, m, "/", "route=feed")
	expectAll(t, drawn(t, m), "filter: route=feed", "Enter go on", "a1", "b2")
	press(t, m, "<enter>")
	expectAll(t, drawn(t, m), "asking the gateway")
	lookAt(t, m, g)
	screen := drawn(t, m)
	expectAll(t, screen, "1 of 3 sessions", "filter route=feed", "00000000000000b2")
	expectNone(t, screen, "00000000000000a1", "filter: ")

	// One that is wrong changes nothing, and stays to be mended.
	press(t, m, "/", "<ctrl-u>", "colour=red", "<enter>")
	lookAt(t, m, g)
	expectAll(t, drawn(t, m), `there is no parameter "colour": known here are route, client`, "filter: colour=red", "filter route=feed", "00000000000000b2")
	if m.lost != nil {
		t.Error("the gateway is taken for lost")
	}
	lookAt(t, m, g)
	expectAll(t, drawn(t, m), "filter: colour=red", "filter route=feed")
	press(t, m, "<ctrl-u>", "nonsense", "<enter>")
	expectAll(t, drawn(t, m), `"nonsense" is no key=value`)
	press(t, m, "<ctrl-u>", "limit=5", "<enter>")
	expectAll(t, drawn(t, m), "limit is no filter")
	press(t, m, "<esc>")
	expectAll(t, drawn(t, m), "filter route=feed")

	press(t, m, "/", "<ctrl-u>", "route=none", "<enter>")
	lookAt(t, m, g)
	expectAll(t, drawn(t, m), "no session matches the filter")
	press(t, m, "/", "<ctrl-u>", "<enter>")
	lookAt(t, m, g)
	screen = drawn(t, m)
	expectAll(t, screen, "3 sessions", "00000000000000a1")
	expectNone(t, screen, "filter route")
}

// An answer to a look that was begun with the old filter does not take the new one for good.
func TestAFilterWhileTheGatewayIsAsked(t *testing.T) {
	g := newFakeGateway()
	m := seen(t, g, 100, 24)
	old, _, err := take(t.Context(), g, m.query())
	if err != nil {
		t.Fatal(err)
	}
	press(t, m, "/", "route=feed", "<enter>")
	m.looked(old, m.now)
	if m.filter != nil || m.prompt == nil || m.due != m.now {
		t.Errorf("filter %v, prompt %v, next look in %v; want none, one that waits, and at once", m.filter, m.prompt, m.due.Sub(m.now))
	}
	lookAt(t, m, g)
	expectAll(t, drawn(t, m), "filter route=feed")
}

func TestAKill(t *testing.T) {
	g := newFakeGateway()
	m := seen(t, g, 80, 24)
	press(t, m, "k")
	expectAll(t, drawn(t, m), "select a session first")
	press(t, m, "<down>", "k")
	expectAll(t, drawn(t, m), "End session 00000000000000a1 (192.0.2.1, route chat)", "code: 1008")
	press(t, m, "<back>", "<back>", "<back>", "<back>", "4001", "<enter>", "<ctrl-u>", "log in agaiN", "<back>", "n", "<enter>")
	expectAll(t, drawn(t, m), `End session 00000000000000a1 with 4001 "log in again"? (y/n)`, "y yes")
	if len(m.changes) > 0 {
		t.Fatal("the session is ended before the answer")
	}
	press(t, m, "y")
	if len(m.changes) != 1 {
		t.Fatalf("%d changes, want 1", len(m.changes))
	}
	c := m.changes[0]
	if c.method != http.MethodDelete || c.path != "/sessions/00000000000000a1" || c.parameters.Encode() != "code=4001&reason=log+in+again" {
		t.Errorf("%s %s?%s", c.method, c.path, c.parameters.Encode())
	}
	m.changed(c, nil, m.now)
	expectAll(t, drawn(t, m), "ended session 00000000000000a1")
	m.changed(c, fmt.Errorf("admin interface at x: %w", fmt.Errorf("the interface is read-only")), m.now)
	screen := drawn(t, m)
	expectAll(t, screen, "the interface is read-only")
	expectNone(t, screen, "admin interface at")
}

func TestAKillThatIsLeft(t *testing.T) {
	for _, keys := range [][]string{{"<esc>"}, {"<enter>", "<esc>"}, {"<enter>", "<enter>", "n"}, {"<enter>", "<enter>", "<enter>"}, {"<enter>", "<enter>", "<esc>"}} {
		m := seen(t, newFakeGateway(), 80, 24)
		press(t, m, "<down>", "k")
		press(t, m, keys...)
		if m.prompt != nil || len(m.changes) > 0 || m.quit {
			t.Errorf("after %q: a prompt %v, %d changes, quit %v", keys, m.prompt != nil, len(m.changes), m.quit)
		}
	}
}

// A session that is asked about stays the one that is meant, whatever the order becomes meanwhile.
func TestAKillMeansWhatItSays(t *testing.T) {
	g := newFakeGateway()
	m := seen(t, g, 80, 24)
	press(t, m, "<down>", "k", "<enter>", "<enter>")
	g.sessions = g.sessions[1:]
	lookAt(t, m, g)
	press(t, m, "y")
	if len(m.changes) != 1 || m.changes[0].path != "/sessions/00000000000000a1" {
		t.Errorf("changes %+v, want the end of the first session", m.changes)
	}
}

func TestADrain(t *testing.T) {
	g := newFakeGateway()
	m := seen(t, g, 80, 24)
	press(t, m, "d")
	expectAll(t, drawn(t, m), "this is for endpoints")
	press(t, m, "2")
	lookAt(t, m, g)
	press(t, m, "<down>", "d")
	expectAll(t, drawn(t, m), "Drain 10.0.0.7:9000 of app", "(y/n)")
	press(t, m, "n", "u", "y", "d", "y", "k")
	expectAll(t, drawn(t, m), "this is for sessions")
	var paths []string
	for _, c := range m.changes {
		paths = append(paths, c.method+" "+c.path)
	}
	if got, want := strings.Join(paths, ", "), "POST /backends/app/endpoints/10.0.0.7:9000/undrain, POST /backends/app/endpoints/10.0.0.7:9000/drain"; got != want {
		t.Errorf("changes %s, want %s", got, want)
	}
}

func TestATap(t *testing.T) {
	m := seen(t, newFakeGateway(), 80, 24)
	press(t, m, "<down>", "t")
	expectAll(t, drawn(t, m), "Frames of session 00000000000000a1 (192.0.2.1, route chat)", "no such frame has passed yet")
	frame := func(op string, length int64) admin.TapLine {
		return admin.TapLine{Frame: admin.Frame{From: "client", To: "backend", Op: op, Fin: true, Length: length}}
	}
	come := func(lines ...admin.TapLine) { m.tapped("00000000000000a1", lines, false, nil) }
	come(frame("text", 11), frame("ping", 22), admin.TapLine{TapNote: admin.TapNote{Lost: 5}})
	m.tapped("00000000000000b2", []admin.TapLine{frame("text", 99)}, false, nil) // of a tap that was left
	screen := drawn(t, m)
	expectAll(t, screen, "2 frames, shown: all", "11 bytes", "22 bytes", "5 frames missed")
	expectNone(t, screen, "99 bytes")

	press(t, m, " ")
	come(frame("text", 33))
	screen = drawn(t, m)
	expectAll(t, screen, "3 frames", "paused: 1 came meanwhile", "11 bytes")
	expectNone(t, screen, "33 bytes")
	press(t, m, " ")
	screen = drawn(t, m)
	expectAll(t, screen, "33 bytes")
	expectNone(t, screen, "paused")

	press(t, m, "ffff")
	screen = drawn(t, m)
	expectAll(t, screen, "shown: ping", "22 bytes", "5 frames missed")
	expectNone(t, screen, "11 bytes", "33 bytes")
	press(t, m, "fff")
	expectAll(t, drawn(t, m), "shown: all")

	for i := range 3 * mostLines {
		come(frame("binary", int64(100000+i)))
	}
	screen = drawn(t, m)
	expectAll(t, screen, fmt.Sprintf("%d bytes", 100000+3*mostLines-1))
	press(t, m, "<pgup>")
	screen = drawn(t, m)
	expectAll(t, screen, "paused", fmt.Sprintf("%d bytes", 100000+3*mostLines-1-m.page()))
	expectNone(t, screen, fmt.Sprintf("%d bytes", 100000+3*mostLines-1))
	press(t, m, "<home>")
	drawn(t, m)
	if n := len(m.tap.lines); n > mostLines {
		t.Errorf("%d lines are kept", n)
	}
	press(t, m, "<end>")
	come(admin.TapLine{TapNote: admin.TapNote{Over: true}})
	m.tapped("00000000000000a1", nil, true, nil)
	screen = drawn(t, m)
	if expectAll(t, screen, "(the session has ended)"); strings.Count(screen, "has ended") != 1 {
		t.Errorf("the end is shown more than once:\n%s", screen)
	}
	press(t, m, "k")
	expectAll(t, drawn(t, m), "End session 00000000000000a1")
	press(t, m, "<esc>", "q")
	if m.tap != nil || m.quit {
		t.Errorf("after q: tap %v, quit %v; want to be back at the table", m.tap, m.quit)
	}
	press(t, m, "t")
	m.tapped("00000000000000a1", nil, true, fmt.Errorf("somebody else taps this session"))
	expectAll(t, drawn(t, m), "(somebody else taps this session)")
}

func TestHelpAndQuit(t *testing.T) {
	m := seen(t, newFakeGateway(), 80, 24)
	press(t, m, "?")
	expectAll(t, drawn(t, m), "TAP", "q or Ctrl-C quits", "any key back")
	press(t, m, "q")
	if m.help || m.quit {
		t.Errorf("a key in the help: help %v, quit %v", m.help, m.quit)
	}
	for _, keys := range [][]string{{"q"}, {"<ctrl-c>"}, {"?", "<ctrl-c>"}, {"/", "<ctrl-c>"}, {"<down>", "t", "<ctrl-c>"}, {"<down>", "k", "<ctrl-c>"}} {
		m := seen(t, newFakeGateway(), 80, 24)
		if press(t, m, keys...); !m.quit {
			t.Errorf("%q does not quit", keys)
		}
	}
}

// A text in a prompt can be edited, and what does not fit is not shown.
func TestAnInput(t *testing.T) {
	m := seen(t, newFakeGateway(), 30, 10)
	press(t, m, "/", "abc", "<left>", "<left>", "x", "<del>", "<end>", "d", "<home>", "y", "<right>", "<back>")
	if got := m.prompt.value(0); got != "yxcd" {
		t.Errorf("value %q, want %q", got, "yxcd")
	}
	press(t, m, "<end>", strings.Repeat("z", 2*mostInput), "!")
	if n := len(m.prompt.value(0)); n != mostInput {
		t.Errorf("%d letters, want %d at most", n, mostInput)
	}
	screen := newScreen(t, 30, 10)
	draw(screen, m)
	if x, y, visible := screen.GetCursor(); !visible || y != 8 || x != 29 {
		t.Errorf("the cursor is at %d, %d, %v:\n%s", x, y, visible, shown(screen))
	}
}

// A slow gateway is asked less often, and changes are not lost on the way.
func TestASlowGatewayIsLeftAlone(t *testing.T) {
	g := newFakeGateway()
	m := seen(t, g, 80, 24)
	l, _, err := take(t.Context(), g, m.query())
	if err != nil {
		t.Fatal(err)
	}
	for took, want := range map[time.Duration]time.Duration{time.Second: restAfter * time.Second, 5 * time.Second: longestRest} {
		l.at = m.now
		m.looked(l, m.now.Add(took))
		if wait := m.due.Sub(m.now); wait != want {
			t.Errorf("after a look of %v the next one is in %v, want %v", took, wait, want)
		}
	}
	l.at = m.now
	m.looked(l, m.now.Add(10*time.Millisecond))
	if wait := m.due.Sub(l.at); wait != time.Second {
		t.Errorf("after a look of 10ms the next one is %v after its beginning, want the interval", wait)
	}
}

// Nothing is done by pasted text, except that a prompt takes it.
func TestPastes(t *testing.T) {
	m := seen(t, newFakeGateway(), 80, 24)
	m.pasting = true
	press(t, m, "<down>", "kq", "<enter>")
	if m.table().selected != "" || m.prompt != nil || m.quit {
		t.Errorf("after a paste: selected %q, prompt %v, quit %v", m.table().selected, m.prompt != nil, m.quit)
	}
	m.pasting = false
	press(t, m, "/")
	m.pasting = true
	press(t, m, "route=chat")
	if got := m.prompt.value(0); got != "route=chat" {
		t.Errorf("the prompt has %q", got)
	}
	m.pasting = false
	press(t, m, "<esc>", "<down>", "k", "<enter>", "<enter>")
	m.pasting = true
	if press(t, m, "yes"); len(m.changes) > 0 || m.prompt == nil {
		t.Error("a pasted yes is taken for one")
	}
}

// What would be refused is said where it is written, and what is sent is what is asked about.
func TestAKillThatIsWrong(t *testing.T) {
	m := seen(t, newFakeGateway(), 80, 24)
	press(t, m, "<down>", "k")
	for _, code := range []string{"999", "1005", "5000", "x"} {
		press(t, m, "<ctrl-u>", code, "<enter>")
		expectAll(t, drawn(t, m), "code \""+code+"\" is not a close code that may be sent", "code: "+code)
	}
	press(t, m, "<ctrl-u>", "<enter>", "<ctrl-u>", strings.Repeat("x", 124), "<enter>")
	expectAll(t, drawn(t, m), "reason has 124 bytes", "reason: x")
	press(t, m, "<ctrl-u>", "<enter>")
	expectAll(t, drawn(t, m), `End session 00000000000000a1 with 1008 "ended by operator"? (y/n)`)
}

// A change is told of at once, and what became of it stays until it was seen.
func TestWhatIsSaidOfAChange(t *testing.T) {
	m := seen(t, newFakeGateway(), 80, 24)
	press(t, m, "<down>", "k", "<enter>", "<enter>", "y")
	expectAll(t, drawn(t, m), "ending session 00000000000000a1 ...")
	c := m.changes[0]
	m.changed(c, nil, m.now)
	press(t, m, "<down>") // before it was drawn
	expectAll(t, drawn(t, m), "ended session 00000000000000a1")
	press(t, m, "<down>")
	expectNone(t, drawn(t, m), "ended session")
	press(t, m, "/")
	m.changed(c, nil, m.now)
	expectNone(t, drawn(t, m), "ended session")
	press(t, m, "<esc>")
	expectAll(t, drawn(t, m), "ended session 00000000000000a1")
	m.changed(c, fmt.Errorf("admin interface at x: %w", context.DeadlineExceeded), m.now)
	expectAll(t, drawn(t, m), "session 00000000000000a1: no answer within 10s; it may or may not be done")
}

// A gateway that refuses every change is not asked for one.
func TestAReadOnlyGateway(t *testing.T) {
	g := newFakeGateway()
	g.status.ReadOnly = true
	m := seen(t, g, 120, 24)
	press(t, m, "<down>")
	screen := drawn(t, m)
	expectAll(t, screen, "running for 1m0s   read-only", "t tap")
	expectNone(t, screen, "k kill")
	for _, keys := range [][]string{{"k"}, {"t", "k"}, {"<esc>", "2"}, {"<down>", "d"}, {"u"}} {
		lookAt(t, m, g)
		press(t, m, keys...)
		lookAt(t, m, g)
		if press(t, m, keys[len(keys)-1]); m.prompt != nil {
			t.Errorf("%q opens a prompt", keys)
		}
		if keys[len(keys)-1] == "2" {
			continue
		}
		screen := drawn(t, m)
		expectAll(t, screen, "this gateway's interface is read-only")
		expectNone(t, screen, "k kill", "d drain")
	}
}
