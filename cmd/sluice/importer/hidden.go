package importer

import (
	"fmt"
	"slices"
)

// hidden returns rules at cells where routes answer 403 because of another rule: nothing beside those routes says what
// the source does there. more is true if there are too many.
func (g *grid) hidden(rules []*Rule) (all []placed, more bool) {
	if !g.shuts() {
		return nil, false
	}
	const most = 50 * maxWork // steps, each of them small
	left := most
	seen := map[placed]bool{}
	for _, r := range rules {
		for _, host := range r.hosts() {
			for _, paths := range r.paths() {
				for _, c := range paths.cells() {
					if left -= len(g.kept) + len(g.kept[host]); left < 0 || len(all) == MaxRoutes {
						return all, true
					}
					at := placed{host: host, cell: c, rule: r}
					if !seen[at] && g.resolve(host, c).hides(r) {
						all = append(all, at)
					}
					seen[at] = true
				}
			}
		}
	}
	return all, false
}

// shuts reports whether any route answers 403 because of what is refused.
func (g *grid) shuts() bool {
	for _, decisions := range g.kept {
		if slices.ContainsFunc(decisions, func(d decision) bool { return d.why != "" || slices.ContainsFunc(d.rules, (*Rule).Refused) }) {
			return true
		}
	}
	return false
}

// hides reports whether some requests get 403 in place of what a rule does with them or, if that is refused, in
// place of what it says.
func (d decision) hides(r *Rule) bool {
	shut := d.why != ""
	for i, other := range d.rules {
		decides := d.why == "" || i < len(d.rules)-1
		if decides && other.same(r) && other.Refused() == r.Refused() {
			return false
		}
		shut = shut || other.Refused()
	}
	return shut
}

// writeHidden writes, as comments, the routes of the source that have no place in the file.
func (w *writer) writeHidden() {
	if len(w.hidden) == 0 && !w.more {
		return
	}
	w.line("")
	w.lines = append(w.lines, comment("  ", "What follows is in the source too, and gets 403 by a route above because of what is refused there. To use it,\n"+
		"remove the # before its lines, then change that route, or remove it where both are for the same paths.\n"+
		"What answers 403 here keeps clients out: use it before you use a route for more paths.")...)
	written, said := map[*Rule]bool{}, map[string]bool{}
	for left := w.hidden; len(left) > 0; {
		source := left[0].rule.source()
		n := slices.IndexFunc(left, func(r placed) bool { return r.rule.source() != source })
		if n < 0 {
			n = len(left)
		}
		for _, e := range w.group(left[:n]) { // each rule has a place of its own in the source
			// A reader may make several rules of one part of its source.
			text := fmt.Sprintln(e.rule.Pos, w.key(e.placed), e.matchers().lines(""))
			if said[text] {
				continue
			}
			said[text] = true
			w.line("")
			w.commented(func() {
				if len(e.rule.Notes) == 0 {
					w.lines = append(w.lines, comment("  ", e.rule.Pos.String())...)
				}
				w.route(e, written[e.rule])
			})
			written[e.rule] = true
		}
		left = left[n:]
	}
	if w.more {
		w.line("")
		w.lines = append(w.lines, comment("  ", "The source has more of them: import its hosts one by one.")...)
	}
}

// commented makes a comment of each line that is written by a function: without its # it is what it was.
func (w *writer) commented(write func()) {
	from := len(w.lines)
	write()
	for i, line := range w.lines[from:] {
		w.lines[from+i] = "#" + line
	}
}

// backends writes the backends that have a name. Those that only comments name are comments too.
func (w *writer) backends() {
	used := map[string]bool{}
	for _, e := range w.routes {
		if !e.answers403() {
			for _, name := range e.rule.Action.backends() {
				used[name] = true
			}
		}
	}
	write := func(b *Backend) {
		w.notes("  ", b.Notes)
		w.line("  %s:", quote(b.Name))
		w.lines = append(w.lines, b.Keys.lines("    ")...)
	}
	heading := len(w.lines)
	active, some := false, false
	for _, b := range w.plan.Backends {
		switch {
		case b.inRoute():
			continue
		case used[b.Name]:
			write(b)
			active = true
		default:
			w.commented(func() { write(b) })
		}
		some = true
	}
	for _, b := range w.plan.dropped {
		w.commented(func() { write(b) })
		some = true
	}
	if !some {
		return
	}
	title := "backends:"
	if !active {
		title = "#" + title
	}
	w.lines = append(w.lines[:heading], append([]string{"", title}, w.lines[heading:]...)...)
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
