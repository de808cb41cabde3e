package admin

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/internal/outline"
)

// endpoint is a method of a resource. The table of them is the router, the source of the OpenAPI
// document and the list in docs/admin.md.
type endpoint struct {
	method, path string
	doc          string
	open         bool // nobody has to show a token
	changes      bool // refused where everything is read-only, and while a restart is under way
	restarts     bool // of those, the one that begins one
	parameters   []Parameter
	body         reflect.Type // of the request in JSON; nil where it has none
	result       reflect.Type // of the answer in JSON; nil where it is none
	also         int          // a status besides 200 that the same answer may have; 0 means none
	serve        func(*Server, *call) (any, error)
}

// call is a request on its way.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	kind  string // of the listener
	query query
	body  any // a pointer to a value of the endpoint's body; nil where it has none
	who   Who
}

// EndParameters returns the parameters of how sessions are ended, for endpoints and for commands.
func EndParameters() []Parameter {
	return []Parameter{
		{"code", "integer", "Close code for the client, one that may be sent (RFC 6455, section 7.4). Default: 1008."},
		{"reason", "string", "Reason for the client, at most 123 bytes of UTF-8."},
	}
}

func endpoints() []endpoint {
	return []endpoint{
		{method: "GET", path: "/healthz", open: true, doc: "Whether the process works: 200 as long as it answers.",
			result: reflect.TypeFor[Health](), serve: func(*Server, *call) (any, error) { return Health{"ok"}, nil }},
		{method: "GET", path: "/readyz", open: true, doc: "Whether clients may be sent here: 200, or 503 while the gateway starts, drains or has no listener.",
			result: reflect.TypeFor[Ready](), also: http.StatusServiceUnavailable, serve: (*Server).ready},
		{method: "GET", path: "/status", doc: "What the gateway is and how much of its limits it uses.",
			result: reflect.TypeFor[Status](), serve: (*Server).status},
		{method: "GET", path: "/config", doc: "The configuration in force with all its defaults, keyed and written as in a file. Secrets are REDACTED, and variables stand in place of their values.",
			serve: func(s *Server, _ *call) (any, error) { return s.gateway.Config(), nil }},
		{method: "GET", path: "/routes", doc: "Routes with a backend, and what their sessions have done.",
			result: reflect.TypeFor[[]Route](), serve: func(s *Server, _ *call) (any, error) { return list(s.gateway.Routes()), nil }},
		{method: "GET", path: "/backends", doc: "Backends and their endpoints.",
			result: reflect.TypeFor[[]Backend](), serve: func(s *Server, _ *call) (any, error) { return list(s.gateway.Backends()), nil }},
		{method: "GET", path: "/certificates", doc: "Certificates of the listeners, and those that are ordered.",
			result: reflect.TypeFor[[]Certificate](), serve: func(s *Server, _ *call) (any, error) { return list(s.gateway.Certificates()), nil }},
		{method: "GET", path: "/history", doc: "What the gateway did in the last 15 minutes, at steps of 5 seconds.",
			result: reflect.TypeFor[History](), serve: (*Server).history},
		{method: "GET", path: "/ends", doc: "How the last 100 sessions ended, the newest first, in memory of the process.",
			result: reflect.TypeFor[[]End](), serve: func(s *Server, _ *call) (any, error) { return list(s.gateway.Ends()), nil }},
		{method: "GET", path: "/sessions", doc: "Open sessions that match a filter.",
			parameters: slices.Concat(FilterParameters(), []Parameter{
				{"sort", "string", "Order of the list: opened, last, messages, bytes, rate, client, route or endpoint, with a - in front for the largest first. Without it the list has no order."},
				{"limit", "integer", "Most sessions in the list; 0 means all. Default: 1000."},
			}),
			result: reflect.TypeFor[[]Session](), serve: (*Server).sessions},
		{method: "DELETE", path: "/sessions", changes: true, doc: "Ends the open sessions that match a filter. Without one, all=true must say that all are meant.",
			parameters: slices.Concat(FilterParameters(), EndParameters(), []Parameter{
				{"all", "boolean", "All sessions are meant; there may be no filter then."},
				{"spread", "duration", "The sessions end evenly over this time. Default: 0s."},
				{"dry_run", "boolean", "The sessions are only counted."},
			}),
			result: reflect.TypeFor[Ended](), serve: (*Server).endSessions},
		{method: "GET", path: "/sessions/{session}", doc: "One open session.",
			result: reflect.TypeFor[Session](), serve: (*Server).session},
		{method: "DELETE", path: "/sessions/{session}", changes: true, doc: "Ends one session.",
			parameters: EndParameters(), result: reflect.TypeFor[Ended](), serve: (*Server).endSession},
		{method: "GET", path: "/sessions/{session}/tap", doc: "The frames of one session while they pass, a line of JSON for each, as in Frame; {\"lost\":N} says how many a slow reader has missed, {\"over\":true} that the session has ended, {\"stopped\":\"...\"} why the tap has. Payloads are shown only where they are asked for and the route allows it; else the answer is 403.",
			parameters: TapParameters(), serve: (*Server).tap},
		{method: "POST", path: "/backends/{backend}/endpoints/{endpoint}/drain", changes: true,
			doc:    "Drains an endpoint: it gets no new work, and its sessions end over the backend's drain_time. That lasts until undrain or the end of the process.",
			result: reflect.TypeFor[[]Backend](), serve: func(s *Server, c *call) (any, error) { return s.drain(c, true) }},
		{method: "POST", path: "/backends/{backend}/endpoints/{endpoint}/undrain", changes: true, doc: "Gives an endpoint work again.",
			result: reflect.TypeFor[[]Backend](), serve: func(s *Server, c *call) (any, error) { return s.drain(c, false) }},
		{method: "POST", path: "/reload", changes: true, doc: "Reads the configuration again. With a mistake in it nothing changes, and the answer is 422 with every mistake.",
			result: reflect.TypeFor[Reload](), also: http.StatusUnprocessableEntity, serve: (*Server).reload},
		{method: "POST", path: "/restart", changes: true, restarts: true, doc: "Starts the program that is installed as a new process, which takes over the listeners and the live sessions, and answers when it has. If that fails, the answer is 409 and this process goes on.",
			result: reflect.TypeFor[Restart](), serve: (*Server).restart},
		{method: "POST", path: "/outlook", doc: "What a configuration would do to the sessions that are open now if a reload brought it into force, in the words of /reload: its routes, backends and endpoints are the body. 'sluice check --against running' asks for it. Nothing changes.",
			body: reflect.TypeFor[outline.Outline](), result: reflect.TypeFor[outline.Report](), serve: (*Server).outlook},
		{method: "POST", path: "/loglevel", changes: true, doc: "Changes the least severe level that is logged, until the next reload.",
			parameters: []Parameter{{"level", "string", "debug, info, warn or error."}}, result: reflect.TypeFor[Level](), serve: (*Server).logLevel},
		{method: "GET", path: "/events", doc: "The records of the log as server-sent events, as they are written: sessions that open and end (without an access log too), requests, health changes, reloads, certificates, operators. The name of an event is the message of its record up to a colon; 'lost' says how many a slow reader has missed.",
			parameters: []Parameter{{"name", "string", "Names of the events to send, with commas between, as in session opened,session ended. Default: all."}}, serve: (*Server).events},
		{method: "GET", path: metricsPath, doc: "Metrics for Prometheus, in the form that the request accepts.", serve: (*Server).metrics},
		{method: "GET", path: "/dashboard", doc: "The dashboard: a page for browsers that shows this interface. 'sluice dashboard' opens it.",
			serve: func(_ *Server, c *call) (any, error) { return nil, c.serveDashboard("index.html") }},
		{method: "GET", path: "/dashboard/{file}", doc: "A file of the dashboard.",
			serve: func(_ *Server, c *call) (any, error) { return nil, c.serveDashboard(c.r.PathValue("file")) }},
		{method: "GET", path: "/debug/pprof/{profile}", doc: "A profile of the process for 'go tool pprof': profile is that of the CPU, heap, goroutine, allocs, block, mutex and threadcreate are as Go has them, trace is for 'go tool trace'. Only where admin.pprof is set.",
			parameters: []Parameter{{"seconds", "integer", "How long profile and trace take, 1 to 300. Default: 30."}}, serve: (*Server).profile},
		{method: "GET", path: "/openapi.json", doc: "This interface as an OpenAPI 3.1 document.",
			serve: func(*Server, *call) (any, error) { return OpenAPI(), nil }},
	}
}

// metricsPath is the one that listeners for metrics have.
const metricsPath = "/metrics"

// Health is the answer to the question whether the process works.
type Health struct {
	Status string `json:"status" doc:"ok."`
}

// Level is the level of the log.
type Level struct {
	Level string `json:"level" doc:"Least severe level that is logged."`
}

// list returns s, and an empty list for nil.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (s *Server) status(*call) (any, error) {
	v := s.gateway.Status()
	v.ReadOnly = s.access.Load().readOnly
	v.Listeners, v.Loops = list(v.Listeners), list(v.Loops)
	return v, nil
}

func (s *Server) ready(c *call) (any, error) {
	r := s.gateway.Ready()
	r.Reasons, r.Notes = list(r.Reasons), list(r.Notes)
	if !r.Ready {
		writeJSON(c.w, http.StatusServiceUnavailable, r)
		return nil, nil
	}
	return r, nil
}

// named returns a test for the session that the path names.
func (c *call) named() (func(*Session) bool, error) {
	name := c.r.PathValue("session")
	if _, err := strconv.ParseUint(name, 16, 64); err != nil || len(name) != 16 || strings.ToLower(name) != name {
		return nil, wrong(fmt.Errorf("%q is not the name of a session, which has 16 hexadecimal digits: see /sessions", shorten(name)))
	}
	return func(s *Session) bool { return s.Session == name }, nil
}

func (s *Server) session(c *call) (any, error) {
	match, err := c.named()
	if err != nil {
		return nil, err
	}
	var found *Session
	s.gateway.EachSession(match, func(v *Session) bool {
		one := *v
		found = &one
		return false
	})
	if found == nil {
		return nil, noSession(c)
	}
	return found, nil
}

func noSession(c *call) error {
	return &failure{http.StatusNotFound, fmt.Sprintf("there is no open session %s: it may have ended, see the log", c.r.PathValue("session"))}
}

// ending reads how sessions are to end.
func (q query) ending() (e Ending, err error) {
	if text, ok := q["code"]; ok {
		if e.Code, err = ParseCode(text); err != nil {
			return e, wrong(err)
		}
	}
	e.Reason = q["reason"]
	if err := CheckReason(e.Reason); err != nil {
		return e, wrong(err)
	}
	return e, nil
}

// ParseCode reads the code with which a session is to end.
func ParseCode(text string) (int, error) {
	code, err := strconv.Atoi(text)
	if err != nil || !mayClose(code) {
		return 0, fmt.Errorf("code %q is not a close code that may be sent: 1000 to 1003, 1007 to 1014, or 3000 to 4999", shorten(text))
	}
	return code, nil
}

// CheckReason returns what is wrong with the reason for which a session is to end.
func CheckReason(text string) error {
	if len(text) > 123 || !utf8.ValidString(text) {
		return fmt.Errorf("reason has %d bytes; a Close frame takes 123 of UTF-8", len(text))
	}
	return nil
}

// mayClose reports whether a Close frame may have a code (RFC 6455, section 7.4, and the IANA
// registry).
func mayClose(code int) bool {
	return code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
}

func (s *Server) endSession(c *call) (any, error) {
	match, err := c.named()
	if err != nil {
		return nil, err
	}
	e, err := c.query.ending()
	if err != nil {
		return nil, err
	}
	n := s.gateway.EndSessions(match, e, 0)
	if n == 0 {
		v, err := s.session(c)
		if err != nil {
			return nil, err
		}
		return nil, &failure{http.StatusConflict, fmt.Sprintf("session %s is ending already: %s", c.r.PathValue("session"), v.(*Session).Ending)}
	}
	s.gateway.Audit(Action{c.who, "end session", c.r.PathValue("session"), n, nil})
	return Ended{Sessions: n}, nil
}

func (s *Server) endSessions(c *call) (any, error) {
	f, err := newFilter(c.query, time.Now())
	if err != nil {
		return nil, wrong(err)
	}
	e, err := c.query.ending()
	if err != nil {
		return nil, err
	}
	all, err := c.query.flag("all")
	if err != nil {
		return nil, wrong(err)
	}
	dry, err := c.query.flag("dry_run")
	if err != nil {
		return nil, wrong(err)
	}
	var spread time.Duration
	if text, ok := c.query["spread"]; ok {
		if spread, err = parseDuration(text); err != nil || spread > time.Hour {
			return nil, wrong(fmt.Errorf("spread %q is not a duration of an hour at most", shorten(text)))
		}
	}
	switch {
	case len(f.tests) == 0 && !all:
		return nil, wrong(errNoFilter)
	case len(f.tests) > 0 && all:
		return nil, wrong(errors.New("all=true means all sessions: leave the filter or all out"))
	case dry:
		n := 0
		s.gateway.EachSession(f.match, func(v *Session) bool {
			if v.Ending == "" {
				n++
			}
			return true
		})
		return Ended{n, true}, nil
	}
	n := s.gateway.EndSessions(f.match, e, spread)
	s.gateway.Audit(Action{c.who, "end sessions", c.r.URL.RawQuery, n, nil})
	return Ended{Sessions: n}, nil
}

func (s *Server) drain(c *call, on bool) (any, error) {
	backend, name := c.r.PathValue("backend"), c.r.PathValue("endpoint")
	if err := s.gateway.Drain(backend, name, on); err != nil {
		if errors.Is(err, ErrUnknown) {
			return nil, &failure{http.StatusNotFound, err.Error()}
		}
		return nil, &failure{http.StatusConflict, err.Error()}
	}
	what := "drain"
	if !on {
		what = "undrain"
	}
	s.gateway.Audit(Action{c.who, what, backend + " " + name, -1, nil})
	return list(slices.DeleteFunc(s.gateway.Backends(), func(b Backend) bool { return b.Backend != backend })), nil
}

func (s *Server) reload(c *call) (any, error) {
	r, err := s.gateway.Reload()
	s.gateway.Audit(Action{c.who, "reload", "", -1, err})
	if err != nil {
		writeJSON(c.w, http.StatusUnprocessableEntity, r)
		return nil, nil
	}
	return r, nil
}

func (s *Server) restart(c *call) (any, error) {
	r, err := s.gateway.Restart()
	s.gateway.Audit(Action{c.who, "restart", "", -1, err})
	if err != nil {
		return nil, &failure{http.StatusConflict, err.Error()}
	}
	return r, nil
}

func (s *Server) outlook(c *call) (any, error) {
	return s.gateway.Outlook(c.body.(*outline.Outline)), nil
}

func (s *Server) logLevel(c *call) (any, error) {
	level, ok := c.query["level"]
	if !ok {
		return nil, wrong(errors.New("the parameter level is missing: debug, info, warn or error"))
	}
	if err := s.gateway.SetLogLevel(level); err != nil {
		return nil, wrong(err)
	}
	s.gateway.Audit(Action{c.who, "log level", level, -1, nil})
	return Level{level}, nil
}

// openScrapes is how many may read the metrics at once by the listener for them, which asks for no
// token: fewer than all together may, so that operators can too.
const openScrapes = 2

func (s *Server) metrics(c *call) (any, error) {
	if c.kind == kindMetrics {
		select {
		case s.scrapes <- struct{}{}:
			defer func() { <-s.scrapes }()
		default:
			return nil, &failure{http.StatusServiceUnavailable, "the metrics are being read already, by as many as may at once"}
		}
	}
	s.gateway.Metrics().ServeHTTP(c.w, c.r)
	return nil, nil
}
