// Package importer turns configurations of other proxies into one of sluice. It has what a reader below
// it needs: the plan that it fills, the rules that routes are made of, and the writer.
//
// The law of the package: what is written is never less strict than its source. A rule of the source
// that limits who may do what, and that sluice cannot follow, becomes a route that answers 403.
package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sluice/cmd/sluice/importer/mapping"
)

// Bounds of what is read and written. A source beyond them is refused.
const (
	MaxSize   = 4 << 20 // of all files of a source together, in bytes
	MaxDepth  = 50      // of blocks in blocks
	MaxRoutes = 5_000   // that are written
	maxWork   = 2_000_000
)

// A Source is what a reader reads.
type Source struct {
	Files []File
	// Include returns the files that a pattern in a file stands for; nil where nothing can be
	// included. It bounds their number and size.
	Include func(pattern string) ([]File, error)
}

// A File is one file of a source.
type File struct {
	Name string // as messages say it
	Text string
}

// Pos is a place in a source; the zero value is none.
type Pos struct {
	File string
	Line int
}

func (p Pos) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// Errorf returns an error that names the place.
func (p Pos) Errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", p, fmt.Errorf(format, args...))
}

// Kind says what became of a part of a source.
type Kind int

const (
	Remark  Kind = iota // it was carried, and there is something to know about it
	Lost                // it was not, which makes nothing less strict
	Refused             // it was not, and so its route answers 403
)

// A Note is about a part of a source that is not simply carried over.
type Note struct {
	Kind Kind
	Pos  Pos
	Text string // the part as the source has it
	Why  string
}

func (n Note) String() string {
	text, _, more := strings.Cut(strings.TrimSpace(n.Text), "\n")
	if more {
		text += " ..."
	}
	if text == "" {
		return fmt.Sprintf("%s: %s", n.Pos, mapping.Clean(n.Why))
	}
	return fmt.Sprintf("%s: %s: %s", n.Pos, mapping.Clean(text), mapping.Clean(n.Why))
}

// A Plan is a configuration of sluice as a reader makes it. Keys, in all parts, are those of the
// configuration file.
type Plan struct {
	From      string      // what the source was for, as in nginx
	Keys      mapping.Map // top-level sections besides the following
	Listeners []Listener
	Backends  []*Backend
	Rules     []*Rule // in the order of the source: the first that takes a request decides
	Notes     []Note  // about what belongs to no rule and no backend

	// MergesSlashes says that the source takes // in a path for /.
	MergesSlashes bool

	dropped []*Backend // that the check does not take
}

// A Listener is an address to listen on, and its keys.
type Listener struct {
	Address string
	Keys    mapping.Map
	Notes   []Note
}

// A Backend is a named group of endpoints, and its keys.
type Backend struct {
	Name  string
	Keys  mapping.Map
	Notes []Note
}

// Note adds a note about the plan as a whole.
func (p *Plan) Note(kind Kind, pos Pos, text, why string) {
	p.Notes = append(p.Notes, Note{kind, pos, text, why})
}

// Backend returns the backend of a name, or nil.
func (p *Plan) Backend(name string) *Backend {
	for _, b := range p.Backends {
		if b.Name == name {
			return b
		}
	}
	return nil
}

// AddBackend adds a backend under a name like the one given, which no other backend has.
func (p *Plan) AddBackend(like string) *Backend {
	name := strings.Trim(strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' {
			return c
		}
		return '-'
	}, like), "-")
	name = cmp.Or(name[:min(len(name), 60)], "backend")
	if name[0] >= '0' && name[0] <= '9' {
		name = "to-" + name
	}
	unique := name
	for i := 2; p.Backend(unique) != nil; i++ {
		unique = fmt.Sprintf("%s-%d", name, i)
	}
	b := &Backend{Name: unique}
	p.Backends = append(p.Backends, b)
	return b
}

// A Rule is what a source does with some requests. Where several take one, the first does.
type Rule struct {
	Pos     Pos
	Hosts   []string // exact, or *.name; none for any
	Paths   []Paths  // none for any
	Methods []string
	Headers []Pair // that must be there; the value * is any
	Query   []Pair
	Action  Action
	Notes   []Note

	Protocol string // websocket for handshakes alone, or "" for all requests

	FoldCase bool // its paths ignore case
	Guard    bool // it keeps requests from something: it must not take fewer than in the source
	Unsure   bool // of those that it takes here, the source may leave some to later rules
	Aside    bool // a refused rule before it has all its requests: it is told of, and no route

	origin *Rule // that it is a copy of, for other paths
}

// At returns the rule for other paths.
func (r *Rule) At(paths ...Paths) *Rule {
	other := *r
	other.Paths, other.origin = paths, r.source()
	return &other
}

// source returns the rule that r is a copy of, or r.
func (r *Rule) source() *Rule { return cmp.Or(r.origin, r) }

// A Pair is a name and a value.
type Pair struct{ Name, Value string }

// Note adds a note about the rule.
func (r *Rule) Note(kind Kind, pos Pos, text, why string) {
	r.Notes = append(r.Notes, Note{kind, pos, text, why})
}

// Refused reports whether the rule has to answer 403 because of something in it.
func (r *Rule) Refused() bool {
	return slices.ContainsFunc(r.Notes, func(n Note) bool { return n.Kind == Refused })
}

// guards reports whether the rule must not take fewer requests than in the source.
func (r *Rule) guards() bool { return r.Guard || r.Refused() }

// harmless reports whether the rule gives nothing away.
func (r *Rule) harmless() bool { return r.Refused() || r.harmlessAction() }

func (r *Rule) harmlessAction() bool {
	return r.Action.Redirect != nil || r.Action.Respond != nil && r.Action.Respond.Status >= 300
}

// An Action is what is done with a request: exactly one of its first five fields.
type Action struct {
	Backend  string
	Split    []Part
	Redirect *Redirect
	Respond  *Respond
	Files    *Files

	// Prefix, a beginning of the path, is replaced by With on the way to a backend or to files.
	Prefix, With string

	Keys mapping.Map // of the route besides: request, response, websocket, timeouts, ...
}

// backends returns the names of those that an action sends requests to.
func (a Action) backends() (names []string) {
	for _, part := range append([]Part{{Backend: a.Backend}}, a.Split...) {
		if part.Backend != "" {
			names = append(names, part.Backend)
		}
	}
	if name, ok := a.Keys.Get("mirror").(string); ok {
		names = append(names, name)
	}
	return names
}

// A Part is a backend of several, by weight.
type Part struct {
	Backend string
	Weight  int
}

// A Redirect leads to To. With Keep the path of the request follows, in which the action's Prefix has
// been replaced.
type Redirect struct {
	To     string
	Keep   bool
	Status int
}

// A Respond is a fixed answer.
type Respond struct {
	Status            int
	Body, ContentType string
}

// Files is a directory to serve.
type Files struct {
	Root, Index, Fallback string
	Browse                bool
}
