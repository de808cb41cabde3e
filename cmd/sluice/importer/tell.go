package importer

import (
	"fmt"
	"slices"

	"sluice/cmd/sluice/importer/mapping"
)

// Bounds in bytes.
const (
	mostTold = 1 << 20 // of what is told in comments
	mostFile = 4 << 20 // of a file that sluice reads
)

// A telling is lines that are comments. Where they get too many, the rest is left out.
type telling struct {
	*writer
	room int
}

// tell adds, as comments, the backends that no route uses and the routes of the source that have no place in the
// file. more says that these are not all. The file passes the check with them too.
func (w *writer) tell(hidden []placed, more bool) {
	t := &telling{writer: &writer{plan: w.plan, said: w.said, result: w.result}}
	if t.room = min(mostTold, mostFile-len(w.text())-2<<10); t.room < 0 {
		w.result.Text = w.text()
		return
	}
	w.lines = slices.Insert(w.lines, w.backends, t.unused(w)...)
	if len(hidden) > 0 || more {
		const line = "# Routes of the source that others, which answer 403, leave no place for are at its end, as comments."
		w.lines = append(slices.Insert(w.lines, 2, line), t.hidden(hidden, more)...)
	}
	w.result.Text = w.text()
}

// commented makes a comment of each line that is written by a function: without its # it is what it was. It returns
// false, and leaves them out, if there is no room for them or was none before.
func (t *telling) commented(write func()) bool {
	from := len(t.lines)
	write()
	for i, line := range t.lines[from:] {
		t.lines[from+i] = "#" + line
		t.room -= len("#" + line + "\n")
	}
	if t.room < 0 {
		t.lines = t.lines[:from]
	}
	return t.room >= 0
}

// unused returns lines with the backends that no route uses, or that the check does not take.
func (t *telling) unused(w *writer) []string {
	t.lines = nil
	if !slices.Contains(w.lines, "backends:") {
		t.lines = []string{"", "#backends:"}
	}
	some := false
	for _, b := range slices.Concat(t.plan.Backends, t.plan.dropped) {
		if b.inRoute() || w.used[b.Name] && t.plan.Backend(b.Name) == b {
			continue
		}
		some = true
		if !t.commented(func() { t.backend(b) }) {
			t.lines = append(t.lines, "  # The source has more backends that no route uses.")
			break
		}
	}
	if !some {
		return nil
	}
	return t.lines
}

// hidden returns lines with the routes of the source that have no place in the file.
func (t *telling) hidden(left []placed, more bool) []string {
	t.lines = append([]string{""}, mapping.Comment("  ", "What follows is in the source too, and gets 403 by a route above because of what is refused there. To use it,\n"+
		"remove the # before its lines, and before those of its backend at the top, then change that route, or remove\n"+
		"it where both are for the same paths.\n"+
		"What answers 403 here keeps clients out: use it before you use a route for more paths.")...)
	written, said := map[*Rule]bool{}, map[string]bool{}
	for _, rules := range bySource(left) {
		for _, e := range t.group(rules) {
			// A reader may make several rules of one part of its source.
			text := fmt.Sprintln(e.rule.Pos, t.key(e.placed), e.matchers().Lines(""))
			if said[text] || t.room < 0 {
				continue
			}
			said[text] = true
			t.settleAlone(e)
			t.line("")
			if !t.commented(func() {
				if len(e.rule.Notes) == 0 {
					t.lines = append(t.lines, mapping.Comment("  ", e.rule.Pos.String())...)
				}
				t.route(e, written[e.rule])
			}) {
				t.lines = t.lines[:len(t.lines)-1]
			}
			written[e.rule] = true
		}
	}
	if more || t.room < 0 {
		t.line("")
		t.lines = append(t.lines, mapping.Comment("  ", "The source has more of them: import its hosts one by one.")...)
	}
	return t.lines
}

// bySource returns rules in parts, each of which has one place in the source.
func bySource(all []placed) (parts [][]placed) {
	at := map[*Rule]int{}
	for _, one := range all {
		source := one.rule.source()
		i, ok := at[source]
		if !ok {
			i = len(parts)
			at[source], parts = i, append(parts, nil)
		}
		parts[i] = append(parts[i], one)
	}
	return parts
}

// settleAlone refuses a route that the check does not take with its backends, as Write does with others.
func (t *telling) settleAlone(e entry) {
	for !e.answers403() {
		alone := newWriter(&Plan{Listeners: t.plan.Listeners, Keys: t.plan.Keys, Rules: []*Rule{e.rule}})
		alone.routes = []entry{e}
		for _, name := range e.rule.Action.backends() {
			if b := t.plan.Backend(name); b != nil && alone.plan.Backend(name) == nil {
				alone.plan.Backends = append(alone.plan.Backends, b)
			}
		}
		alone.write()
		err := alone.check()
		if err == nil {
			return
		}
		if again, err := alone.settle(err); !again {
			e.rule.Note(Refused, e.rule.Pos, "", err.Error())
		}
	}
}
