package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"sluice/cmd/sluice/remote/show"
	"sluice/internal/admin"
)

// fakeGateway is an [asker] that answers what a test wants and keeps what it was asked.
type fakeGateway struct {
	mu       sync.Mutex
	status   admin.Status
	routes   []admin.Route
	backends []admin.Backend
	sessions []admin.Session
	wrong    map[string]error // by path
	asked    []string         // method, path and parameters
	working  int              // requests under way
	most     int              // most of them at once
	lines    chan admin.TapLine
}

var began = time.Date(2026, 11, 27, 2, 0, 0, 0, time.UTC)

// newFakeGateway returns a gateway with three sessions: a1 is the oldest and has had the most bytes, c3
// is the youngest.
func newFakeGateway() *fakeGateway {
	since := began.Add(-time.Minute)
	session := func(name, client, route string, age time.Duration, bytes uint64) admin.Session {
		return admin.Session{
			Session: name, Client: client, Route: route, Backend: "app", Endpoint: "10.0.0.7:9000", URI: "/ws?room=1",
			Opened: began.Add(-age), Last: began.Add(-time.Second), FromClient: admin.Traffic{Messages: 2, Bytes: bytes}, FromBackend: admin.Traffic{Messages: 4, Bytes: bytes},
		}
	}
	return &fakeGateway{
		status: admin.Status{
			Version: "v1.4.0", PID: 7, Started: began.Add(-time.Minute), UptimeSeconds: 60, State: "running", Config: admin.ConfigFile{File: "/etc/sluice/sluice.yaml"},
			Sessions: admin.Usage{Used: 3, Limit: 100}, Descriptors: admin.Usage{Used: 28, Limit: 20000}, Memory: admin.Usage{Used: 25 << 20, Limit: 1 << 30},
			Listeners: []admin.Listener{{Connections: admin.Usage{Used: 5}}}, Loops: []admin.Loop{{Number: 0}, {Number: 1}},
		},
		routes: []admin.Route{{Route: "chat", Backends: []string{"app"}, Open: 3, Sessions: 9}},
		backends: []admin.Backend{
			{Backend: "app", Endpoints: []admin.Endpoint{{Endpoint: "10.0.0.7:9000", State: "up", Sessions: 3}, {Endpoint: "10.0.0.8:9000", State: "down", Since: &since, Error: "connection refused"}}},
			{Backend: "none"},
		},
		sessions: []admin.Session{
			session("00000000000000a1", "192.0.2.1", "chat", time.Hour, 3000),
			session("00000000000000b2", "192.0.2.2", "feed", time.Minute, 2000),
			session("00000000000000c3", "2001:db8::3", "chat", time.Second, 1000),
		},
		wrong: make(map[string]error),
		lines: make(chan admin.TapLine),
	}
}

func (g *fakeGateway) Do(ctx context.Context, method, path string, parameters url.Values, to any) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.working++
	g.most = max(g.most, g.working)
	defer func() { g.working-- }()
	g.asked = append(g.asked, strings.TrimSuffix(method+" "+path+"?"+parameters.Encode(), "?"))
	if err := g.wrong[path]; err != nil {
		return 0, err
	}
	if v := parameters.Get("colour"); v != "" {
		return 400, fmt.Errorf("admin interface at x: %w", errors.New(`there is no parameter "colour": known here are route, client`))
	}
	var answer any
	switch path {
	case "/status":
		answer = g.status
	case "/routes":
		answer = g.routes
	case "/backends":
		answer = g.backends
	case "/sessions":
		all := []admin.Session{}
		for _, s := range g.sessions {
			if route := parameters.Get("route"); route == "" || route == s.Route {
				all = append(all, s)
			}
		}
		answer = all
	}
	if to == nil {
		return 200, nil
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return 0, err
	}
	return 200, json.Unmarshal(text, to)
}

func (g *fakeGateway) Tap(ctx context.Context, _ string, how url.Values, each func(admin.TapLine) error) error {
	g.mu.Lock()
	err := g.wrong["tap?"+how.Encode()]
	g.mu.Unlock()
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case l := <-g.lines:
			if err := each(l); err != nil || l.Over {
				return err
			}
		}
	}
}

// requests returns what was asked that begins so, and forgets what was asked.
func (g *fakeGateway) requests(prefix string) (found []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.asked {
		if strings.HasPrefix(r, prefix) {
			found = append(found, r)
		}
	}
	g.asked = nil
	return found
}

// change changes the gateway.
func (g *fakeGateway) change(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

// newScreen returns a screen of a size.
func newScreen(t *testing.T, width, height int) tcell.SimulationScreen {
	t.Helper()
	s := tcell.NewSimulationScreen("UTF-8")
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Fini)
	s.SetSize(width, height)
	return s
}

// shown returns the lines on a screen.
func shown(s tcell.SimulationScreen) string {
	width, height := s.Size()
	var b strings.Builder
	for y := range height {
		line := ""
		for x := 0; x < width; {
			one, _, w := s.Get(x, y)
			line += one
			x += w
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// styleOf returns the style in which a text stands on a screen.
func styleOf(t *testing.T, s tcell.SimulationScreen, text string) tcell.Style {
	t.Helper()
	for y, line := range strings.Split(shown(s), "\n") {
		if before, _, ok := strings.Cut(line, text); ok {
			_, style, _ := s.Get(show.Width(before), y)
			return style
		}
	}
	t.Fatalf("%q is not on the screen:\n%s", text, shown(s))
	return tcell.StyleDefault
}

// seen returns a model of a size that has looked at a gateway.
func seen(t *testing.T, g *fakeGateway, width, height int) *model {
	t.Helper()
	m := newModel(time.Second, began)
	m.resize(width, height)
	lookAt(t, m, g)
	return m
}

// lookAt has a model look at a gateway as the loop does.
func lookAt(t *testing.T, m *model, g *fakeGateway) {
	t.Helper()
	q := m.query()
	l, status, err := take(t.Context(), g, q)
	l.at, l.statusAt, l.routesAt, l.backendsAt, l.sessionsAt = m.now, m.now, m.now, m.now, m.now
	if err != nil {
		m.failed(q, status, err, m.now)
	} else {
		m.looked(l, m.now)
	}
}

// press gives a model keys: letters, or names in angle brackets.
func press(t *testing.T, m *model, keys ...string) {
	t.Helper()
	named := map[string]tcell.Key{
		"<up>": tcell.KeyUp, "<down>": tcell.KeyDown, "<left>": tcell.KeyLeft, "<right>": tcell.KeyRight, "<home>": tcell.KeyHome, "<end>": tcell.KeyEnd,
		"<pgup>": tcell.KeyPgUp, "<pgdn>": tcell.KeyPgDn, "<enter>": tcell.KeyEnter, "<esc>": tcell.KeyEscape, "<tab>": tcell.KeyTab, "<backtab>": tcell.KeyBacktab,
		"<back>": tcell.KeyBackspace2, "<del>": tcell.KeyDelete, "<ctrl-u>": tcell.KeyCtrlU, "<ctrl-c>": tcell.KeyCtrlC,
	}
	for _, key := range keys {
		if k, ok := named[key]; ok {
			m.key(tcell.NewEventKey(k, 0, tcell.ModNone))
			continue
		}
		for _, r := range key {
			m.key(tcell.NewEventKey(tcell.KeyRune, r, tcell.ModNone))
		}
	}
}

// drawn returns what is on the screen of a model.
func drawn(t *testing.T, m *model) string {
	t.Helper()
	s := newScreen(t, m.width, m.height)
	draw(s, m)
	m.seen()
	return shown(s)
}

// expectAll checks that texts are on a screen.
func expectAll(t *testing.T, screen string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(screen, text) {
			t.Errorf("%q is not on the screen:\n%s", text, screen)
		}
	}
}

// expectNone checks that texts are not on a screen.
func expectNone(t *testing.T, screen string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(screen, text) {
			t.Errorf("%q is on the screen:\n%s", text, screen)
		}
	}
}

// order returns the names of the rows of a table, by their last two characters.
func order(m *model) string {
	var names []string
	for _, r := range m.table().rows {
		names = append(names, r.name[max(0, len(r.name)-2):])
	}
	return strings.Join(names, " ")
}
