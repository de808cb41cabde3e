package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sluice/cmd/sluice/importer/mapping"
)

// An entry is one route of the file: what is done with each of its hosts and paths is the same.
type entry struct {
	placed // at one of them
	hosts  []string
	cells  []cell
}

// maxPairs bounds hosts times paths of one route, as package config does.
const maxPairs = 1000

// group makes one route of those that differ in host and path alone, as far as all the hosts have all the
// paths.
func (w *writer) group(all []placed) (entries []entry) {
	type place struct{ key, host string }
	cells := map[place][]cell{}
	hosts := map[string][]string{} // by key, in order
	keys := make([]string, len(all))
	for i, r := range all {
		keys[i] = w.key(r)
		at := place{keys[i], r.host}
		if cells[at] == nil {
			hosts[keys[i]] = append(hosts[keys[i]], r.host)
		}
		cells[at] = append(cells[at], r.cell)
	}
	done := map[place]bool{}
	for i, r := range all {
		at := place{keys[i], r.host}
		if done[at] {
			continue
		}
		e := entry{placed: r, cells: cells[at]}
		slices.SortFunc(e.cells, compareCells)
		for _, host := range hosts[keys[i]] {
			other := place{keys[i], host}
			slices.SortFunc(cells[other], compareCells)
			// No host is all of them, so it is in no list.
			if !done[other] && slices.Equal(cells[other], e.cells) && (host == "") == (r.host == "") {
				done[other] = true
				e.hosts = append(e.hosts, host)
			}
		}
		entries = append(entries, e.split()...)
	}
	return entries
}

// split returns the entry as several with not too many pairs of a host and a path each.
func (e entry) split() (all []entry) {
	for hosts := range slices.Chunk(e.hosts, maxPairs) {
		for cells := range slices.Chunk(e.cells, maxPairs/len(hosts)) {
			part := e
			part.hosts, part.cells = hosts, cells
			part.host, part.cell = hosts[0], cells[0]
			all = append(all, part)
		}
	}
	return all
}

// compareCells puts a path before what is below it.
func compareCells(a, b cell) int {
	text := func(c cell) string { return strings.TrimSuffix(c.Text, "/") }
	exact := func(c cell) int {
		if c.Exact {
			return 0
		}
		return 1
	}
	return cmp.Or(strings.Compare(text(a), text(b)), cmp.Compare(exact(a), exact(b)), strings.Compare(a.Text, b.Text), strings.Compare(a.Suffix, b.Suffix))
}

// key returns all that is written about a route but its hosts and paths.
func (w *writer) key(r placed) string {
	action := w.action(r)
	if r.why != "" {
		action = mapping.Map{{Key: "rule", Value: fmt.Sprintf("%p", r.rule.source())}}
	}
	return fmt.Sprintln(r.why, r.rule.Notes) + strings.Join(append(r.rule.asks().Lines(""), action.Lines("")...), "\n")
}

// matchers returns the keys that say what the route takes.
func (e entry) matchers() (m mapping.Map) {
	if e.hosts[0] != "" {
		m.Set(oneOrAll(e.hosts), "host")
	}
	var paths []string
	for _, c := range e.cells {
		paths = append(paths, written(c))
	}
	m.Set(oneOrAll(paths), "path")
	return append(m, e.rule.asks()...)
}

func oneOrAll(list []string) any {
	if len(list) == 1 {
		return list[0]
	}
	return list
}

// asks returns the keys that say what the rule asks for besides host and path.
func (r *Rule) asks() (m mapping.Map) {
	if r.Protocol != "" {
		m.Set(r.Protocol, "protocol")
	}
	if len(r.Methods) > 0 {
		m.Set(r.Methods, "methods")
	}
	for _, h := range r.Headers {
		m.Set(h.Value, "headers", h.Name)
	}
	for _, q := range r.Query {
		m.Set(q.Value, "query", q.Name)
	}
	return m
}
