package admin

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/outline"
	"sluice/internal/wstest"
)

// fakeGateway is a [Gateway] that does what a test wants and keeps what it was told.
type fakeGateway struct {
	sessions    []Session
	ready       Ready
	reloadError error
	changeError error
	atReload    func() // called by Reload, unless it is nil
	atTap       func() (Tap, error)
	atMetrics   func() // called by the handler of Metrics, unless it is nil

	mu      sync.Mutex
	actions []Action
	refused []string
	endings []Ending
	spreads []time.Duration
}

// newFakeGateway returns a gateway that is ready and has two sessions.
func newFakeGateway() *fakeGateway {
	now := time.Now()
	return &fakeGateway{
		ready: Ready{Ready: true},
		sessions: []Session{
			{
				Session: "00000000000000a1", RequestID: "r1", Route: "chat", Backend: "app", Endpoint: "127.0.0.1:9000", Client: "192.0.2.1", Host: "a.test", URI: "/a?b=c",
				Opened: now.Add(-time.Minute), Last: now.Add(-time.Second), FromClient: Traffic{5, 6, 7, 100}, FromBackend: Traffic{15, 16, 17, 1000},
			},
			{
				Session: "00000000000000b2", RequestID: "r2", Route: "feed", Backend: "other", Endpoint: "127.0.0.1:9001", Client: "2001:db8::1", Host: "b.test", URI: "/",
				Subprotocol: "v1", Compression: true, Opened: now.Add(-time.Hour), Last: now.Add(-time.Hour), Ending: "operator",
			},
		},
	}
}

func (g *fakeGateway) Status() Status {
	return Status{
		Version: "v", PID: 1, Started: time.Now(), UptimeSeconds: 1.5, Config: ConfigFile{"f", "00", time.Now()}, LastReload: &Reload{Time: time.Now(), Mistakes: []string{"m"}},
		State: "running", LogLevel: "info", Listeners: []Listener{{Name: "a", Address: "b", TLS: true}}, Loops: []Loop{{Number: 1}},
	}
}

func (g *fakeGateway) Ready() Ready { return g.ready }

func (g *fakeGateway) Routes() []Route { return []Route{{Route: "chat", Backends: []string{"app"}}} }

func (g *fakeGateway) Backends() []Backend {
	since := time.Now()
	return []Backend{
		{Backend: "app", Endpoints: []Endpoint{{Endpoint: "127.0.0.1:9000", State: "up", Since: &since, Error: "e"}, {Endpoint: "unix:/run/a b%c?d", State: "up"}}},
		{Backend: "other", Endpoints: []Endpoint{}},
	}
}

func (g *fakeGateway) Certificates() []Certificate {
	expiry := time.Now()
	return []Certificate{{Names: []string{"a.test"}, From: "acme", Expiry: &expiry, Error: "e", Next: &expiry}, {Names: []string{"b.test"}, From: "file"}}
}

func (g *fakeGateway) History() History {
	return History{IntervalSeconds: 5, Points: []HistoryPoint{{Time: time.Now(), Sessions: 2}}}
}

func (g *fakeGateway) Ends() []End {
	return []End{{Time: time.Now(), Session: "00000000000000c3", Client: "192.0.2.1", Code: 1001, Reason: "r", EndedBy: "gateway", Cause: "shutdown", Detail: "d"}}
}

func (g *fakeGateway) EachSession(match func(*Session) bool, yield func(*Session) bool) {
	var s Session // one for all of them, as the contract allows
	for i := range g.sessions {
		if s = g.sessions[i]; match(&s) && !yield(&s) {
			return
		}
	}
}

func (g *fakeGateway) EndSessions(match func(*Session) bool, e Ending, spread time.Duration) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.endings, g.spreads = append(g.endings, e), append(g.spreads, spread)
	for i := range g.sessions {
		if g.sessions[i].Ending == "" && match(&g.sessions[i]) {
			n++
		}
	}
	return n
}

func (g *fakeGateway) Drain(backend, endpoint string, _ bool) error {
	for _, b := range g.Backends() {
		if b.Backend == backend && slices.ContainsFunc(b.Endpoints, func(e Endpoint) bool { return e.Endpoint == endpoint }) {
			return nil
		}
	}
	return fmt.Errorf("endpoint %s of backend %s: %w", endpoint, backend, ErrUnknown)
}

func (g *fakeGateway) Reload() (Reload, error) {
	if g.atReload != nil {
		g.atReload()
	}
	r := Reload{Time: time.Now(), OK: g.reloadError == nil}
	if g.reloadError != nil {
		r.Mistakes = strings.Split(g.reloadError.Error(), "\n")
	}
	return r, g.reloadError
}

func (g *fakeGateway) Change() (done func(), err error) { return func() {}, g.changeError }

func (g *fakeGateway) Restart() (Restart, error) {
	if g.reloadError != nil {
		return Restart{}, g.reloadError
	}
	return Restart{PID: 4711, Millis: 40, Sessions: 800, Connections: 20, Stayed: 12, PauseP50: 1, PauseP99: 4, PauseMax: 5}, nil
}

func (g *fakeGateway) Outlook(o *outline.Outline) outline.Report {
	c := outline.NewCount(o)
	for i := range g.sessions {
		s := &g.sessions[i]
		c.Add(outline.Session{Route: s.Route, Backend: s.Backend, Endpoint: s.Endpoint}, outline.Open)
	}
	return c.Report()
}

func (g *fakeGateway) SetLogLevel(level string) error {
	if level != "debug" {
		return errors.New("level is not debug")
	}
	return nil
}

func (g *fakeGateway) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if g.atMetrics != nil {
			g.atMetrics()
		}
		io.WriteString(w, "metrics\n")
	})
}

func (g *fakeGateway) Audit(a Action) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.actions = append(g.actions, a)
}

func (g *fakeGateway) Refused(_ Who, why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused = append(g.refused, why)
}

// audited returns what was done, and forgets it.
func (g *fakeGateway) audited() []Action {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.actions
	g.actions = nil
	return all
}

// refusals returns why requests were refused, and forgets it.
func (g *fakeGateway) refusals() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.refused
	g.refused = nil
	return all
}

const testToken = "0123456789abcdef"

// newTestServer returns a server with these options, which is closed when the test ends.
func newTestServer(t testing.TB, g Gateway, o Options) *Server {
	t.Helper()
	s := NewServer(g, log.New(t.Output(), "", 0))
	t.Cleanup(s.Close)
	change(t, s, o)
	return s
}

// change gives a server other options.
func change(t testing.TB, s *Server, o Options) {
	t.Helper()
	c, err := s.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	c.Commit()
	if c.Warning != nil {
		t.Fatal(c.Warning)
	}
}

// newSocketServer returns a server on a Unix socket, and its path.
func newSocketServer(t testing.TB, g Gateway) string {
	t.Helper()
	o := SocketOptions{Dir: t.TempDir(), Name: "s.sock", Group: -1}
	newTestServer(t, g, Options{Socket: &o})
	return o.Path()
}

// request returns the bytes of a request; lines replace and add to its header fields.
func request(method, target string, lines ...string) string {
	head := append([]string{method + " " + target + " HTTP/1.1"}, lines...)
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Host:") }) {
		head = append(head, "Host: localhost")
	}
	return strings.Join(head, "\r\n") + "\r\nConnection: close\r\n\r\n"
}

// dial connects to a server for the life of a test.
func dial(t testing.TB, network, address string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout(network, address, wstest.Guard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return wstest.Guarded(c)
}

// ask sends a request as it is and returns the answer.
func ask(t testing.TB, network, address, request string) (*http.Response, string) {
	t.Helper()
	return answer(t, dial(t, network, address), request)
}

// answer sends a request on a connection and returns the answer.
func answer(t testing.TB, c net.Conn, request string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	r, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer to %.60q: %v", request, err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("body of the answer to %.60q: %v", request, err)
	}
	return r, string(body)
}
