package importer

import (
	"fmt"
	"slices"

	"sluice/route"
)

// leaveOut removes the rules for nothing but paths that no request has.
func (p *Plan) leaveOut() {
	p.Rules = slices.DeleteFunc(p.Rules, func(r *Rule) bool {
		if len(r.Paths) == 0 {
			return false
		}
		if r.Paths = slices.DeleteFunc(slices.Clone(r.Paths), Paths.impossible); len(r.Paths) > 0 {
			return false
		}
		p.Notes = append(p.Notes, r.Notes...)
		p.Note(Remark, r.Pos, "", "this is for paths with a NUL in them, and sluice answers 400 to these")
		return true
	})
}

// needed leaves out routes whose requests others take, as the table of routes itself tells. It is an error
// if that refuses two routes beside each other.
func needed(all []placed) (some []placed, _ error) {
	entries := make([]route.Entry[struct{}], len(all))
	for i, r := range all {
		entries[i].Pattern = r.pattern()
	}
	_, conflicts := route.Compile(entries)
	never := map[int]bool{}
	for _, c := range conflicts {
		if c.By == nil {
			continue // the check says what is wrong with it, and then it answers 403
		}
		if by := all[c.By.Route]; by.cell != all[c.Route].cell {
			return nil, fmt.Errorf("%s: %s", all[c.Route].rule.Pos, c.Message)
		}
		never[c.Route] = true
	}
	for i, r := range all {
		if !never[i] {
			some = append(some, r)
		}
	}
	return some, nil
}

// pattern returns what the route takes, as the table of routes compares it.
func (r placed) pattern() route.Pattern {
	p := route.Pattern{Paths: []string{written(r.cell)}, Methods: r.rule.Methods, Protocol: r.rule.Protocol}
	if r.host != "" {
		p.Hosts = []string{r.host}
	}
	pairs := func(list []Pair) map[string]string {
		m := map[string]string{}
		for _, pair := range list {
			m[pair.Name] = pair.Value
		}
		return m
	}
	p.Headers, p.Query = pairs(r.rule.Headers), pairs(r.rule.Query)
	return p
}
