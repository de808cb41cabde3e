// Package traefik reads configurations of Traefik: its own file, and those of the file provider.
package traefik

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/match"
	"sluice/cmd/sluice/importer/traefik/document"
)

// config is a configuration while it is read.
type config struct {
	plan     *importer.Plan
	rules    match.Rules
	dir      string // what relative names of files start from
	root     *document.Node
	entries  []*entryPoint
	routers  []*router
	main     []importer.Listen // the listeners
	backends map[string]string // by what they are, their names
	steps    int
	err      error
}

const maxSteps = 20_000

var errTooMuch = errors.New("the rules and middlewares make too many routes: import the routers in parts")

// Read reads the files of a source, all of which are one configuration.
func Read(source importer.Source) (*importer.Plan, error) {
	plan := &importer.Plan{From: "Traefik", MergesSlashes: true}
	c := &config{plan: plan, rules: match.Rules{Plan: plan}, dir: filepath.Dir(source.Files[0].Name), backends: map[string]string{}}
	root, err := readAll(source)
	if err != nil {
		return nil, err
	}
	c.root = root
	if c.root.Get("http", "routers") == nil {
		return nil, errors.New(source.Files[0].Name + ": there is no router for HTTP in it: name the files with routers too")
	}
	if err := c.entryPoints(); err != nil {
		return nil, err
	}
	if err := c.readRouters(); err != nil {
		return nil, err
	}
	c.listeners()
	c.certificates()
	c.others()
	c.run(0, state{Requests: match.Everything(nil)})
	return c.plan, c.err
}

// readAll reads the files, and those that the file provider names.
func readAll(source importer.Source) (*document.Node, error) {
	var root *document.Node
	add := func(f importer.File) error {
		n, err := read(f)
		if err != nil {
			return err
		}
		if root == nil {
			root = n
			return nil
		}
		return root.Merge(n, "certificates")
	}
	for _, f := range source.Files {
		if err := add(f); err != nil {
			return nil, err
		}
	}
	provider := root.Get("providers", "file")
	if provider == nil || source.Include == nil {
		return root, nil
	}
	for _, pattern := range patterns(provider) {
		files, err := source.Include(pattern)
		if err != nil && len(source.Files) == 1 {
			return nil, provider.Pos.Errorf("the file provider: %w", err)
		}
		for _, f := range files {
			given := func(other importer.File) bool {
				return f.Text == other.Text || pattern == provider.String("filename") && filepath.Base(f.Name) == filepath.Base(other.Name)
			}
			if slices.ContainsFunc(source.Files, given) {
				continue
			}
			if err := add(f); err != nil {
				return nil, err
			}
		}
	}
	return root, nil
}

// patterns returns those for the files of the provider: one file, or those of a directory and of what is
// below it.
func patterns(provider *document.Node) (all []string) {
	const levels = 5
	directory := provider.String("directory")
	if directory == "" {
		if name := provider.String("filename"); name != "" {
			all = append(all, name)
		}
		return all
	}
	for range levels {
		for _, ending := range []string{"*.yml", "*.yaml", "*.toml"} {
			all = append(all, filepath.Join(directory, ending))
		}
		directory = filepath.Join(directory, "*")
	}
	return all
}

// read reads one file.
func read(f importer.File) (*document.Node, error) {
	if before, _, found := strings.Cut(f.Text, "{{"); found {
		pos := importer.Pos{File: f.Name, Line: 1 + strings.Count(before, "\n")}
		return nil, pos.Errorf("{{: a template of Go: write its values in its place first")
	}
	if strings.EqualFold(filepath.Ext(f.Name), ".toml") {
		return document.ReadTOML(f)
	}
	return document.ReadYAML(f)
}

// absolute returns the name of a file that does not depend on where the configuration is.
func (c *config) absolute(name string) string {
	if abs, err := filepath.Abs(filepath.Join(c.dir, name)); err == nil && !filepath.IsAbs(name) {
		return abs
	}
	return name
}

// lost adds a note about the plan.
func (c *config) lost(n *document.Node, why string) {
	c.plan.Note(importer.Lost, n.Pos, n.Text(), why)
}

// others tells what sluice does not do at all.
func (c *config) others() {
	for _, name := range []string{"tcp", "udp"} {
		if n := c.root.Get(name); n != nil {
			c.lost(n, "sluice carries HTTP and WebSockets alone")
		}
	}
	c.root.Get("providers").Each(func(name string, n *document.Node) {
		if !strings.EqualFold(name, "file") && !strings.EqualFold(name, "providersThrottleDuration") {
			c.lost(n, "sluice has no providers: what "+name+" says of routers has to be in files")
		}
	})
	if n := c.root.Get("experimental", "plugins"); n != nil {
		c.lost(n, "sluice has no plugins; routers with their middlewares answer 403")
	}
	if n := c.root.Get("tracing"); n != nil {
		c.lost(n, "sluice sends spans as OTLP over HTTP: see 'tracing'")
	}
}

// A state is a set of requests on their way through the middlewares of a router.
type state struct {
	match.Requests
	retry   int   // how often a backend is tried, if that is said
	maxBody int64 // the largest size of a body, if that is said
}

// Meet is that of [match.State].
func (s state) Meet(m *match.Matcher) (part state, whole, some, sure bool) {
	part = s
	part.Requests, whole, some, sure = s.Requests.Meet(m)
	return part, whole, some, sure
}

func (s state) note(kind importer.Kind, n *document.Node, why string) state {
	s.Requests = s.Note(kind, n.Pos, n.Text(), why)
	return s
}

func (s state) refuse(n *document.Node, why string) state { return s.note(importer.Refused, n, why) }

func (s state) set(value any, keys ...string) state {
	s.Requests = s.Set(value, keys...)
	return s
}

func (s state) add(value string, keys ...string) state {
	s.Requests = s.Add(value, keys...)
	return s
}

// step counts what is done, and reports whether there is room for more.
func (c *config) step() bool {
	if c.steps++; c.steps > maxSteps && c.err == nil {
		c.err = errTooMuch
	}
	return c.err == nil
}

// run takes the requests of s through the routers, the one with the highest priority first.
func (c *config) run(at int, s state) {
	if !c.step() {
		return
	}
	if at == len(c.routers) {
		if s.Narrowed {
			c.rules.Add(s.Requests, importer.Rule{Pos: c.routers[0].n.Pos, Action: importer.Action{Respond: &importer.Respond{Status: 404}}, Guard: true})
		}
		return
	}
	r := c.routers[at]
	rest := func(s state) { c.run(at+1, s) }
	known := true // which requests the router takes; else the others are told of behind those that are refused
	pass := func(part state, sure bool) {
		known = known && sure && !r.unsure
		c.pass(r, 0, r.shutOut(part))
	}
	if !match.Take(s, r.match, pass, func(others state, sure bool) {
		if !sure {
			pass(others, false)
			return
		}
		rest(others)
	}) || !known {
		rest(s)
	}
}

// answer makes the rule for the requests of s.
func (c *config) answer(r *router, s state, a importer.Action) {
	if c.step() {
		c.rules.Add(s.Requests, importer.Rule{Pos: r.n.Pos, Action: a})
	}
}

// local returns a name without the provider behind it, if that is files, as in auth@file.
func local(name string) string { return strings.TrimSuffix(strings.TrimSpace(name), "@file") }

func missing(kind, name string) string {
	return fmt.Sprintf("there is no %s %s in these files", kind, name)
}
