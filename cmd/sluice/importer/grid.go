package importer

import (
	"cmp"
	"slices"
	"strings"
)

// A grid holds what was decided so far, by host.
type grid struct {
	kept  map[string][]decision
	whole map[string]bool // hosts for which the rules of wider hosts were all looked at
	work  int
	asked int // decisions that were looked at to find those about a cell
}

// decide finds the decisions for the cells of a host, and keeps those that no wider cell stands for. Where
// sluice would refuse two cells beside each other, the rules of one get wider and answer 403.
func (g *grid) decide(host string, rules []*Rule, mergesSlashes bool) error {
	mine := g.taking(host, rules)
	for {
		cells, err := g.cells(mine)
		if err != nil {
			return err
		}
		if mixed := mixed(cells); len(mixed) > 0 {
			mine = widen(mine, "", func(p Paths) bool {
				return p.open() && slices.ContainsFunc(p.cells(), func(c cell) bool { return slices.Contains(mixed, c) })
			})
			continue
		}
		var decisions []decision
		for _, c := range cells {
			if d := decideCell(c, mine); len(d.rules) > 0 {
				decisions = append(decisions, d)
			}
		}
		if mergesSlashes {
			if decisions, err = g.guardSlashes(decisions); err != nil {
				return err
			}
			cells = nil
			for _, d := range decisions {
				cells = append(cells, d.cell)
			}
			if len(mixed(cells)) > 0 {
				mine = widen(mine, "", Paths.open)
				continue
			}
		}
		g.keep(host, decisions)
		longer, shorter, ok := g.refused(host)
		if !ok {
			return nil
		}
		mine = widen(mine, shorter, func(p Paths) bool { return p.Suffix == longer })
	}
}

// taking returns the rules that take requests of a host.
func (g *grid) taking(host string, rules []*Rule) (mine []*Rule) {
	g.whole[host] = true
	for _, r := range rules {
		if !slices.ContainsFunc(r.hosts(), func(h string) bool { return HostContains(h, host) }) {
			continue
		}
		mine = append(mine, r)
		if !r.conditional() && slices.Contains(r.paths(), root) {
			g.whole[host] = slices.Contains(r.hosts(), "") // else those of wider hosts go on
			break
		}
	}
	return mine
}

// cells returns the cells that rules have, and those that two of them have in common.
func (g *grid) cells(rules []*Rule) ([]cell, error) {
	all := map[cell]bool{}
	for _, r := range rules {
		for _, p := range r.paths() {
			for _, c := range p.cells() {
				all[c] = true
			}
			if !r.guards() {
				continue
			}
			if rest, ok := p.rest(); ok {
				all[rest] = true
			}
			if around, ok := p.respelled(); ok {
				all[around] = true
			}
			if r.FoldCase {
				all[root] = true
			}
		}
	}
	list := sorted(all)
	for _, c := range list {
		if c.Suffix == "" {
			continue
		}
		if g.work += len(list); g.work > maxWork {
			return nil, errTooMuch
		}
		for _, other := range list {
			if both, ok := c.Intersect(other); ok && !other.open() {
				for _, part := range both.cells() {
					all[part] = true
				}
			}
		}
	}
	if g.work += len(rules) * len(all); g.work > maxWork {
		return nil, errTooMuch
	}
	return sorted(all), nil
}

// sorted returns cells, those that contain others first.
func sorted(cells map[cell]bool) []cell {
	var all []cell
	for c := range cells {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b cell) int {
		exact := func(c cell) int {
			if c.Exact {
				return 1
			}
			return 0
		}
		return cmp.Or(
			cmp.Compare(exact(a), exact(b)), cmp.Compare(len(a.Text), len(b.Text)), cmp.Compare(len(a.Suffix), len(b.Suffix)),
			strings.Compare(a.Text, b.Text), strings.Compare(a.Suffix, b.Suffix),
		)
	})
	return all
}

// mixed returns the cells with [Any] that have some paths of another one: no cell is for these.
func mixed(cells []cell) (all []cell) {
	for _, c := range cells {
		if c.open() && slices.ContainsFunc(cells, c.ambiguous) {
			all = append(all, c)
		}
	}
	return all
}

// widen replaces some paths of rules by wider ones with a suffix, for which they answer 403.
func widen(rules []*Rule, suffix string, replaced func(Paths) bool) (all []*Rule) {
	for _, r := range rules {
		var same, more []Paths
		for _, p := range r.Paths {
			if replaced(p) {
				more = append(more, p.widened(suffix))
			} else {
				same = append(same, p)
			}
		}
		if len(more) == 0 {
			all = append(all, r)
			continue
		}
		if len(same) > 0 {
			all = append(all, r.At(same...))
		}
		wide := *r
		wide.Paths, wide.origin, wide.Action, wide.Unsure = more, nil, Action{}, true // what it does is for the paths that it had
		wide.Notes = append(slices.Clip(r.Notes), Note{Kind: Refused, Pos: r.Pos, Why: whyMixed})
		all = append(all, &wide)
	}
	return all
}

// keep keeps decisions that no wider cell stands for.
func (g *grid) keep(host string, decisions []decision) {
	g.kept[host] = nil
	for _, d := range decisions {
		wider := g.resolve(host, d.cell)
		if wider.same(d) || d.isPlain403() && wider.is403() || d.cell.isDotName() && d.isFiles() && wider.givesNoDotFiles() {
			continue
		}
		g.kept[host] = append(g.kept[host], d)
	}
}

// refused returns the suffixes of two cells for which something is kept, and which sluice refuses.
func (g *grid) refused(host string) (longer, shorter string, found bool) {
	for _, d := range g.kept[host] {
		if d.cell.Suffix == "" {
			continue
		}
		for _, other := range g.kept[host] {
			if len(d.cell.Suffix) > len(other.cell.Suffix) && d.cell.ambiguous(other.cell) {
				return d.cell.Suffix, other.cell.Suffix, true
			}
		}
	}
	return "", "", false
}

// decideCell finds the rules for a cell. Of those that keep clients from a part of it, which no route can be
// about, the whole cell answers 403 where it would let somebody through.
func decideCell(c cell, rules []*Rule) (d decision) {
	var taking []placed
	for _, r := range rules {
		all, part, why := r.takes(c)
		if !part && !all || all && slices.ContainsFunc(taking, func(before placed) bool { return before.why == "" && before.rule.asksLess(r) }) {
			continue
		}
		taking = append(taking, placed{rule: r, why: why})
		if all && !r.conditional() {
			break
		}
	}
	d.cell = c
	for i, t := range taking {
		switch {
		case t.why == "":
			d.rules = append(d.rules, t.rule)
		case !slices.ContainsFunc(taking[i:], func(p placed) bool { return p.why == "" && !p.rule.harmless() }):
		case t.rule.conditional():
			d.rules = append(d.rules, t.rule.refused(t.why))
		default:
			d.rules, d.why = append(d.rules, t.rule), t.why
			return d
		}
	}
	return d
}

// refused returns the rule for paths that it has to refuse.
func (r *Rule) refused(why string) *Rule {
	other := r.At(r.Paths...)
	other.Action, other.Unsure = Action{}, true
	other.Notes = append(slices.Clip(r.Notes), Note{Kind: Refused, Pos: r.Pos, Why: why})
	return other
}

// takes reports whether the rule takes all of a cell, by its paths, or a part of it that no route can
// be about.
func (r *Rule) takes(c cell) (all, part bool, why string) {
	for _, p := range r.paths() {
		if p.Contains(c) {
			return true, false, ""
		}
		if !r.guards() {
			continue
		}
		if rest, ok := p.rest(); ok && rest.Contains(c) {
			if _, both := p.Intersect(c); both {
				part, why = true, whyRest
			}
		}
		if around, ok := p.respelled(); ok && around.Contains(c) && (c.open() || c.Text == around.Text && !c.Exact) {
			part, why = true, whyEscape
		}
		if _, both := p.fold().Intersect(c.fold()); r.FoldCase && both && p.fold() != p.upper() {
			part, why = true, whyCase
		}
	}
	return false, part, why
}

// resolve returns what is decided about a cell by what is kept: for the host the smallest cell around
// it, else the same for wider hosts.
func (g *grid) resolve(host string, c cell) decision {
	for {
		g.asked += len(g.kept[host])
		best := around(g.kept[host], c)
		if len(best.rules) > 0 || host == "" || !g.whole[host] {
			return best
		}
		g.asked += len(g.kept)
		host = g.wider(host)
	}
}

// wider returns the next wider pattern of hosts for which something is kept.
func (g *grid) wider(host string) string {
	best := ""
	for h := range g.kept {
		if h != host && HostContains(h, host) && len(h) > len(best) {
			best = h
		}
	}
	return best
}

// guardSlashes adds cells for paths with a // that would lead past a rule that guards something.
func (g *grid) guardSlashes(decisions []decision) ([]decision, error) {
	have := map[cell]bool{}
	for _, d := range decisions {
		have[d.cell] = true
	}
	more := slices.Clip(decisions)
	for _, d := range decisions {
		guards := slices.DeleteFunc(slices.Clone(d.rules), func(r *Rule) bool { return !r.guards() })
		if len(guards) == 0 {
			continue
		}
		if d.cell.Suffix != "" && slices.ContainsFunc(decisions, func(o decision) bool {
			return o.cell == cell{Text: "/", Suffix: d.cell.Suffix, Longer: true} && o.last().source() == d.last().source()
		}) {
			continue // it has these paths too
		}
		for i, c := range d.cell.Text {
			slashes := Beginning(d.cell.Text[:i+1] + "/")
			if c != '/' || i == len(d.cell.Text)-1 && !d.cell.Exact || have[slashes] {
				continue
			}
			have[slashes] = true
			if g.passes(decisions, slashes) {
				more = append(more, decision{cell: slashes, rules: []*Rule{guards[0].unconditional()}, why: whySlash})
			}
			if g.work > maxWork {
				return nil, errTooMuch
			}
		}
	}
	return more, nil
}

// passes reports whether some paths of a cell that none has yet get more than a refusal.
func (g *grid) passes(decisions []decision, c cell) bool {
	g.work += len(decisions)
	return around(decisions, c).givesAway() || slices.ContainsFunc(decisions, func(o decision) bool {
		both, ok := o.cell.Intersect(c)
		if !ok || o.cell.Contains(c) || !o.givesAway() {
			return false
		}
		g.work += len(decisions)
		return around(decisions, both).givesAway()
	})
}

// unconditional returns the rule for all requests with its hosts and paths.
func (r *Rule) unconditional() *Rule {
	other := r.At(r.Paths...)
	other.Methods, other.Headers, other.Query, other.Protocol = nil, nil, nil, ""
	return other
}

// around returns the decision for the smallest cell around c.
func around(decisions []decision, c cell) (best decision) {
	for _, d := range decisions {
		if d.cell.Contains(c) && (len(best.rules) == 0 || d.cell.before(best.cell)) {
			best = d
		}
	}
	return best
}
