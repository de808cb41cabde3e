// Package handle says what the directives in the block of a site do with requests, as rules of a plan.
package handle

import (
	"slices"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/caddy/caddyfile"
	"sluice/cmd/sluice/importer/match"
)

// A Config is what the sites of a configuration share.
type Config struct {
	plan          *importer.Plan
	rules         match.Rules
	dir           string // what relative names of files start from
	routes        map[string][]*caddyfile.Directive
	order         []string          // of directives
	secure, plain bool              // some listeners have TLS, some have not
	backends      map[string]string // by what they are, their names
	made          int               // steps
	taken         int               // steps, and rules
}

// New returns what makes the rules of sites for a plan. dir is what relative names of files start from;
// secure and plain say whether there are listeners with TLS and without.
func New(plan *importer.Plan, file *caddyfile.File, dir string, secure, plain bool) *Config {
	c := &Config{
		plan: plan, rules: match.Rules{Plan: plan}, dir: dir, routes: file.Routes, order: slices.Clone(order), secure: secure, plain: plain, backends: map[string]string{},
	}
	c.reorder(file.Global)
	return c
}

func (c *Config) absolute(name string) string { return caddyfile.Absolute(c.dir, name) }

// reorder changes the order of directives as the options say.
func (c *Config) reorder(options []*caddyfile.Directive) {
	for _, d := range caddyfile.All(options, "order") {
		name := strings.Replace(d.Arg(0), "handle_path", "handle", 1)
		c.order = slices.DeleteFunc(c.order, func(other string) bool { return other == name })
		at := -1
		switch d.Arg(1) {
		case "first":
			at = 0
		case "last":
			at = len(c.order)
		case "before":
			at = slices.Index(c.order, d.Arg(2))
		case "after":
			at = slices.Index(c.order, d.Arg(2)) + 1
		}
		if at >= 0 {
			c.order = slices.Insert(c.order, at, name)
		}
	}
}

// A Site is one for some of its hosts.
type Site struct {
	*caddyfile.Site
	Hosts  []string        // nil is any
	Path   string          // that its address has
	Within bool            // another site would take what this one does not answer
	Shut   []importer.Note // why it answers 403
}

// Rules makes the rules of a site.
func (c *Config) Rules(site Site) error {
	steps, err := c.steps(site.Block, nil, true, 0)
	if err != nil {
		return err
	}
	w := &walk{config: c, site: site, fold: reaches(steps)}
	s := state{Requests: match.Everything(site.Hosts)}
	for _, n := range site.Shut {
		s.Requests = s.Note(n.Kind, n.Pos, n.Text, n.Why)
	}
	for _, d := range caddyfile.All(site.Block, "handle_errors") {
		s = w.handleErrors(s, d)
	}
	var address *match.Matcher
	if site.Path != "" {
		address = paths(&caddyfile.Directive{Name: "path", Pos: site.Pos, Text: site.Path}, []string{site.Path})
	}
	match.Take(s, address, func(s state, _ bool) { w.run(steps, 0, s, w.end) }, func(s state, _ bool) { w.end(s) })
	return w.err
}

// reaches reports whether a block sends requests to a backend, which may take a path for the same in
// another case, as Caddy does. Files on most systems differ by case.
func reaches(b *block) bool {
	return slices.ContainsFunc(b.steps, func(s *step) bool {
		known := slices.Contains(order, s.group())
		return s.Name == "reverse_proxy" || s.Name == "php_fastcgi" || !known || s.inner != nil && reaches(s.inner)
	})
}

// handleErrors carries a page for errors that is a file.
func (w *walk) handleErrors(s state, d *caddyfile.Directive) state {
	files, to := caddyfile.Get(d.Block, "file_server"), caddyfile.Get(d.Block, "rewrite")
	root := caddyfile.Get(w.site.Block, "root")
	if r := caddyfile.Get(d.Block, "root"); r != nil {
		root = r
	}
	plain := files != nil && to != nil && root != nil && len(d.Args) > 0 && len(d.Block) <= 3 && caddyfile.Get(d.Block, "templates") == nil
	if !plain || caddyfile.HasPlaceholder(last(to.Args)) || caddyfile.HasPlaceholder(last(root.Args)) || !strings.HasPrefix(last(to.Args), "/") {
		return s.note(importer.Lost, d, "sluice answers its own errors with a file for a status, 4xx or 5xx: 'error_pages'")
	}
	for _, status := range d.Args {
		if code.MatchString(status) && (status[0] == '4' || status[0] == '5') || status == "4xx" || status == "5xx" {
			s = s.set(strings.TrimSuffix(w.config.absolute(last(root.Args)), "/")+last(to.Args), "error_pages", status)
		}
	}
	return s
}
