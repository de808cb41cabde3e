package importer

import (
	"slices"
)

// hidden returns rules at cells where routes answer 403 because of another rule, which in the source may leave them
// requests there: nothing beside those routes says what the source does. more is true if there are too many.
func (g *grid) hidden(rules []*Rule) (all []placed, more bool) {
	if !g.shuts() {
		return nil, false
	}
	const most = 50 * maxWork // steps, each of them small
	g.asked = 0
	type place struct {
		placed
		refused bool
	}
	seen := map[place]bool{}
	taken := map[string][]Paths{} // by hosts, for which the source asks no further rule
	for _, r := range rules {
		for _, host := range r.hosts() {
			for _, paths := range r.paths() {
				for _, c := range paths.cells() {
					at := placed{host: host, cell: c, rule: r}
					once := place{placed{host: host, cell: c, rule: r.source()}, r.Refused()}
					switch {
					case g.asked > most || len(all) == MaxRoutes:
						return all, true
					case !seen[once] && !g.isTaken(taken, at) && g.resolve(host, c).hides(r):
						all = append(all, at)
					}
					seen[once] = true
				}
			}
		}
		if !r.Unsure && !r.conditional() {
			for _, host := range r.hosts() {
				taken[host] = append(taken[host], r.paths()...)
			}
		}
	}
	return all, false
}

// isTaken reports whether all requests of a cell are taken by rules before.
func (g *grid) isTaken(taken map[string][]Paths, at placed) bool {
	g.asked += len(taken)
	for host, paths := range taken {
		if !HostContains(host, at.host) {
			continue
		}
		g.asked += len(paths)
		if slices.ContainsFunc(paths, func(p Paths) bool { return p.Contains(at.cell) }) {
			return true
		}
	}
	return false
}

// shuts reports whether any route answers 403 because of something refused that may leave requests to others.
func (g *grid) shuts() bool {
	for _, decisions := range g.kept {
		if slices.ContainsFunc(decisions, decision.shuts) {
			return true
		}
	}
	return false
}

// shuts reports whether some requests get 403 that in the source may get what other rules say. The paths with //
// that whySlash is about are no others there.
func (d decision) shuts() bool {
	if d.why != "" && d.why != whySlash {
		return true
	}
	return slices.ContainsFunc(d.deciding(), func(r *Rule) bool { return r.Unsure && r.Refused() })
}

// deciding returns the rules that say what requests get.
func (d decision) deciding() []*Rule {
	if d.why != "" {
		return d.rules[:len(d.rules)-1]
	}
	return d.rules
}

// hides reports whether some requests get 403 in place of what a rule does with them or, if that is refused, in
// place of what it says.
func (d decision) hides(r *Rule) bool {
	return d.shuts() && !slices.ContainsFunc(d.deciding(), func(other *Rule) bool { return other.same(r) && other.Refused() == r.Refused() })
}
