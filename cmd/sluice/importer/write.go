package importer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sluice/cmd/sluice/importer/mapping"
	"sluice/config"
)

// A Result is what [Write] has made.
type Result struct {
	Text    []byte
	Notes   []Note // all of them, in the order of the file
	Routes  int
	Refused int // of the routes, those that answer 403 in place of what the source does
}

// Complete reports whether everything of the source was carried over.
func (r *Result) Complete() bool {
	return r.Refused == 0 && !slices.ContainsFunc(r.Notes, func(n Note) bool { return n.Kind != Remark })
}

// Write writes the configuration of a plan. It passes the check of the configuration; a route with a
// value that the check does not take answers 403, and says so. An error tells what else is wrong.
func Write(p *Plan) (*Result, error) {
	const tries = 8
	p.refuse()
	p.leaveOut()
	var refused error
	for range tries {
		routes, g, err := p.place()
		if err == nil {
			routes, err = needed(routes)
		}
		if err != nil {
			return nil, err
		}
		if len(routes) == 0 {
			return nil, errors.New("there is nothing in it that sluice could serve: no host, no path, no backend")
		}
		w := newWriter(p)
		w.routes = w.group(routes)
		w.result.Routes = len(w.routes)
		w.write()
		if err = w.check(); err == nil {
			w.tell(g.hidden(p.Rules))
			return w.result, nil
		}
		if again, err := w.settle(err); !again {
			return nil, err
		}
		refused = err
	}
	return nil, fmt.Errorf("sluice does not take it, and what is wrong cannot be left out: %w", refused)
}

// check checks what is written.
func (w *writer) check() error {
	_, err := config.Parse("imported", w.text(), config.Options{Getenv: func(string) (string, bool) { return "", false }})
	return err
}

// refuse refuses what leads to backends that cannot be as in the source.
func (p *Plan) refuse() {
	for _, b := range p.Backends {
		for _, n := range b.Notes {
			if n.Kind != Refused {
				continue
			}
			for _, r := range p.Rules {
				if r.leadsTo(b.Name) {
					r.Notes = append(r.Notes, n)
				}
			}
		}
		b.Notes = slices.DeleteFunc(b.Notes, func(n Note) bool { return n.Kind == Refused })
	}
}

// leadsTo reports whether the rule sends requests to a backend.
func (r *Rule) leadsTo(backend string) bool {
	return slices.Contains(r.Action.backends(), backend)
}

// inRoute reports whether a route writes the address of the backend in place of its name.
func (b *Backend) inRoute() bool {
	endpoints, ok := b.Keys.Get("endpoints").([]string)
	return ok && len(endpoints) == 1 && len(b.Keys) == 1 && len(b.Notes) == 0 && strings.Contains(endpoints[0], ":")
}

// reference returns what a route says to send to a backend.
func (p *Plan) reference(name string) string {
	if b := p.Backend(name); b != nil && b.inRoute() {
		return b.Keys.Get("endpoints").([]string)[0]
	}
	return name
}

// settle leaves out what the check does not take. It returns whether to write again.
func (w *writer) settle(err error) (again bool, _ error) {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return false, err
	}
	for _, problem := range problems {
		what, rest, _ := strings.Cut(problem.Path, ".")
		switch index, isRoute := strings.CutPrefix(what, "routes["); {
		case isRoute:
			i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
			if err != nil || i >= len(w.routes) || w.routes[i].answers403() {
				return false, fmt.Errorf("a route cannot be written: %s: %s", problem.Path, problem.Message)
			}
			r := w.routes[i].rule
			r.Note(Refused, r.Pos, problem.Path[len(what):], "sluice does not take this value: "+problem.Message)
			again = true
		case what == "backends":
			name, _, _ := strings.Cut(rest, ".")
			if i := slices.IndexFunc(w.plan.Backends, func(b *Backend) bool { return b.Name == name }); i >= 0 {
				w.plan.dropBackend(i, problem.Message)
				again = true
			}
		default:
			return false, fmt.Errorf("sluice does not take it: %s: %s", problem.Path, problem.Message)
		}
	}
	return again, errors.New("sluice does not take it: " + problems.Error())
}

// dropBackend removes a backend that cannot be, and refuses what leads there.
func (p *Plan) dropBackend(i int, why string) {
	name := p.Backends[i].Name
	p.dropped = append(p.dropped, p.Backends[i])
	p.Backends = slices.Delete(p.Backends, i, i+1)
	for _, r := range p.Rules {
		if r.leadsTo(name) {
			r.Note(Refused, r.Pos, "backend "+name, "sluice does not take this backend: "+why)
		}
	}
}

type writer struct {
	plan     *Plan
	routes   []entry
	lines    []string
	backends int // behind which lines those are that are used
	used     map[string]bool
	said     map[Note]bool
	result   *Result
}

func newWriter(p *Plan) *writer {
	return &writer{plan: p, used: map[string]bool{}, said: map[Note]bool{}, result: &Result{}}
}

// text returns what is written.
func (w *writer) text() []byte { return []byte(strings.Join(w.lines, "\n") + "\n") }

func (w *writer) line(format string, args ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

func (w *writer) write() {
	w.line("# Imported from %s by sluice import; docs/import.md says what is carried over, and how.", w.plan.From)
	w.line("# Read the comments, then: sluice check --config FILE")
	for _, note := range w.plan.Notes {
		w.line("")
		w.note("", note)
	}
	if len(w.plan.Listeners) > 0 {
		w.line("")
		w.line("listeners:")
		for _, l := range w.plan.Listeners {
			w.notes("  ", l.Notes)
			w.item(append(mapping.Map{{Key: "address", Value: l.Address}}, l.Keys...))
		}
	}
	for _, e := range w.plan.Keys {
		w.line("")
		w.lines = append(w.lines, mapping.Map{e}.Lines("")...)
	}
	w.writeBackends()
	w.line("")
	w.line("routes:")
	written := map[*Rule]bool{}
	for i, r := range w.routes {
		if i > 0 {
			w.line("")
		}
		if r.answers403() && r.why != whySlash {
			w.result.Refused++
		}
		w.route(r, written[r.rule.source()])
		written[r.rule.source()] = true
	}
}

// writeBackends writes the backends that routes use and that have a name.
func (w *writer) writeBackends() {
	for _, e := range w.routes {
		if !e.answers403() {
			for _, name := range e.rule.Action.backends() {
				w.used[name] = true
			}
		}
	}
	title := true
	for _, b := range w.plan.Backends {
		if !w.used[b.Name] || b.inRoute() {
			continue
		}
		if title {
			w.line("")
			w.line("backends:")
			title = false
		}
		w.backend(b)
	}
	w.backends = len(w.lines)
}

// backend writes a backend.
func (w *writer) backend(b *Backend) {
	w.notes("  ", b.Notes)
	w.line("  %s:", mapping.Quote(b.Name))
	w.lines = append(w.lines, b.Keys.Lines("    ")...)
}

func (w *writer) notes(indent string, notes []Note) {
	for _, n := range notes {
		w.note(indent, n)
	}
}

// note writes a note, in full where it comes first.
func (w *writer) note(indent string, n Note) {
	if w.said[n] {
		w.lines = append(w.lines, mapping.Comment(indent, fmt.Sprintf("%s: as above", n.Pos))...)
		return
	}
	w.said[n] = true
	w.result.Notes = append(w.result.Notes, n)
	if n.Text == "" {
		w.lines = append(w.lines, mapping.Comment(indent, n.String())...)
		return
	}
	w.lines = append(w.lines, mapping.Comment(indent, fmt.Sprintf("%s: %s", n.Pos, dedent(n.Text)))...)
	w.lines = append(w.lines, mapping.Comment(indent, "  "+n.Why)...)
}

// dedent removes the indentation that all lines but the first share.
func dedent(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	least := -1
	for _, line := range lines[1:] {
		if n := len(line) - len(strings.TrimLeft(line, " \t")); strings.TrimSpace(line) != "" && (least < 0 || n < least) {
			least = n
		}
	}
	for i := range lines[1:] {
		lines[i+1] = lines[i+1][min(max(least, 0), len(lines[i+1])):]
	}
	return strings.Join(lines, "\n")
}

// route writes one route. What its rule has to say is said once.
func (w *writer) route(r entry, again bool) {
	const indent = "  "
	switch {
	case again && (len(r.rule.Notes) > 0 || r.why != ""):
		w.lines = append(w.lines, mapping.Comment(indent, fmt.Sprintf("%s: as above", r.rule.Pos))...)
	case !again:
		w.notes(indent, r.rule.Notes)
	}
	switch {
	case r.why == whySlash:
		w.note(indent, Note{Remark, r.rule.Pos, "", r.why})
	case r.why != "":
		w.note(indent, Note{Refused, r.rule.Pos, "", r.why})
	}
	keys := r.matchers()
	if !r.answers403() {
		w.item(append(keys, w.action(r.placed)...))
		return
	}
	w.item(append(keys, mapping.Entry{Key: "respond", Value: mapping.Map{{Key: "status", Value: 403}}}))
	if instead := w.action(r.placed); (r.why == "" || r.why == whyBehind) && !r.rule.harmlessAction() && instead != nil {
		w.lines = append(w.lines, indent+"  # without what is refused:")
		for _, line := range instead.Lines("") {
			w.lines = append(w.lines, mapping.Comment(indent+"  ", line)...)
		}
	}
}

// item writes a mapping as an item of a list.
func (w *writer) item(m mapping.Map) {
	lines := m.Lines("    ")
	lines[0] = "  - " + strings.TrimPrefix(lines[0], "    ")
	w.lines = append(w.lines, lines...)
}

// action returns the keys that say what the route does, or nil if that is nothing.
func (w *writer) action(r placed) (m mapping.Map) {
	a := r.rule.Action
	switch {
	case a.Backend != "":
		m.Set(w.plan.reference(a.Backend), "backend")
	case len(a.Split) > 0:
		var parts []mapping.Map
		for _, part := range a.Split {
			parts = append(parts, mapping.Map{{Key: "backend", Value: w.plan.reference(part.Backend)}, {Key: "weight", Value: part.Weight}})
		}
		m.Set(parts, "split")
	case a.Redirect != nil:
		to := a.Redirect.To
		if a.Redirect.Keep {
			to = strings.TrimSuffix(to, "/") + changed(r.cell, a.Prefix, a.With)
		}
		m.Set(mapping.Map{{Key: "to", Value: to}, {Key: "status", Value: cmp.Or(a.Redirect.Status, 302)}}, "redirect")
	case a.Respond != nil:
		m.Set(a.Respond.Status, "respond", "status")
		if a.Respond.Body != "" && a.Respond.Status != 204 && a.Respond.Status != 304 {
			m.Set(a.Respond.Body, "respond", "body")
		}
		if a.Respond.ContentType != "" {
			m.Set(a.Respond.ContentType, "respond", "content_type")
		}
	case a.Files != nil:
		m.Set(a.Files.Root, "files", "root")
		if a.Files.Index != "" {
			m.Set(a.Files.Index, "files", "index")
		}
		if a.Files.Fallback != "" {
			m.Set(a.Files.Fallback, "files", "fallback")
		}
		if a.Files.Browse {
			m.Set(true, "files", "browse")
		}
	default:
		return nil
	}
	if a.Backend != "" || len(a.Split) > 0 || a.Files != nil {
		r.change(&m, a)
	}
	for _, e := range a.Keys {
		if name, ok := e.Value.(string); ok && e.Key == "mirror" {
			e.Value = w.plan.reference(name)
		}
		if suits(e.Key, a) && (r.rule.Protocol == "" || !slices.Contains(ofRequests, e.Key)) {
			m.Set(e.Value, e.Key)
		}
	}
	return m
}

// change writes what happens to the path.
func (r placed) change(m *mapping.Map, a Action) {
	prefix := strings.TrimSuffix(a.Prefix, "/")
	switch {
	case a.Prefix == a.With:
	case strings.TrimSuffix(a.With, "/") == "" && prefix != "" && (r.cell.Text == prefix || strings.HasPrefix(r.cell.Text, prefix+"/")):
		m.Set(spell(prefix, "{path."), "strip_prefix")
	default:
		m.Set(changed(r.cell, a.Prefix, a.With), "rewrite")
	}
}

// ofRequests are keys that a route for WebSockets alone cannot have.
var ofRequests = []string{"timeouts", "max_body_size", "compress", "cache_control", "cors"}

// suits reports whether a key may stand beside an action.
func suits(key string, a Action) bool {
	proxied := a.Backend != "" || len(a.Split) > 0
	switch key {
	case "request", "websocket", "timeouts", "max_body_size", "mirror":
		return proxied
	case "split_cookie":
		return len(a.Split) > 0
	case "compress", "error_pages", "cors":
		return a.Redirect == nil
	}
	return true
}
