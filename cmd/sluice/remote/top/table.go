package top

import (
	"cmp"
	"slices"
	"strings"

	"sluice/cmd/sluice/remote/show"
)

// A column of a table, whatever its rows are.
type column struct {
	title    string
	number   bool   // stands to the right, and the largest is the first
	rank     int    // where there is no room for all, those with the highest rank are left out
	most     int    // cells of the screen that a text may take, which may be cut; 0 means what it needs
	least    int    // cells of the screen that it takes at least, so that it does not change all the time
	optional bool   // left out while it is empty
	order    string // what the interface calls a list in this order; "" where it has no such order
	turned   bool   // that order has the smallest number first: it is that of a time, and the column has an age
}

// cell is what a row has in a column. Numbers are compared as numbers.
type cell struct {
	text   string
	number float64
}

// row is a row of a table.
type row struct {
	name  string // it is the same row in the next look if it has the same name
	cells []cell
	busy  float64 // among equal rows the busiest is the first
	dim   bool    // it is about to go
	bad   bool    // something is wrong with it
}

// table is rows in an order, one of which may be selected.
type table struct {
	columns  []column
	rows     []row
	sort     int // index of the column
	reversed bool
	selected string // name of the row; "" means none
	lost     string // name of the row that was selected and is in the table no more; "" means none
	at       int    // where the selected row is, or was
	offset   int    // the first row that is shown
}

// set replaces the rows. The selection stays on its row; if that is gone, nothing is selected, because
// what is done to the selection must not be done to another row.
func (t *table) set(rows []row) {
	t.rows = rows
	t.arrange()
}

// arrange sorts the rows.
func (t *table) arrange() {
	c := t.columns[t.sort]
	slices.SortFunc(t.rows, func(a, b row) int {
		x, y := a.cells[t.sort], b.cells[t.sort]
		order := cmp.Or(cmp.Compare(x.number, y.number), strings.Compare(x.text, y.text))
		if c.number {
			order = cmp.Compare(y.number, x.number)
		}
		if t.reversed {
			order = -order
		}
		return cmp.Or(order, cmp.Compare(b.busy, a.busy), strings.Compare(a.name, b.name)) // what is equal in all stays where it is
	})
	if t.selected == "" {
		return
	}
	if i := slices.IndexFunc(t.rows, func(r row) bool { return r.name == t.selected }); i >= 0 {
		t.at = i
		return
	}
	t.selected, t.lost = "", t.selected
	t.at = min(t.at, max(0, len(t.rows)-1))
}

// sortBy sorts by the column that is so many further, around the end.
func (t *table) sortBy(step int) {
	t.sort = (t.sort + step + len(t.columns)) % len(t.columns)
	t.reversed = false
	t.arrange()
}

// reverse turns the order around.
func (t *table) reverse() {
	t.reversed = !t.reversed
	t.arrange()
}

// order returns what the interface calls the order, or "".
func (t *table) order() string {
	c := t.columns[t.sort]
	if descending := c.number != t.reversed; c.order != "" && descending != c.turned {
		return "-" + c.order
	}
	return c.order
}

// move selects the row that is so many further. Without a selection it selects the first or the last,
// or goes on from where a row is lost.
func (t *table) move(step int) {
	switch {
	case t.selected != "" || t.lost != "":
		t.choose(t.at + step)
	case step > 0:
		t.choose(0)
	default:
		t.choose(len(t.rows) - 1)
	}
}

// choose selects the row at an index, or the nearest one.
func (t *table) choose(i int) {
	t.lost = ""
	if len(t.rows) == 0 {
		t.selected, t.at = "", 0
		return
	}
	t.at = max(0, min(i, len(t.rows)-1))
	t.selected = t.rows[t.at].name
}

// deselect selects nothing, and goes to the beginning.
func (t *table) deselect() { t.selected, t.lost, t.at, t.offset = "", "", 0, 0 }

// window returns the rows to show where there is room for so many, the selected one among them.
func (t *table) window(room int) []row {
	if t.selected != "" {
		t.offset = max(min(t.offset, t.at), t.at-room+1)
	}
	t.offset = max(0, min(t.offset, len(t.rows)-room))
	return t.rows[t.offset:min(len(t.rows), t.offset+max(0, room))]
}

const (
	gap       = 2  // cells of the screen between two columns
	leastText = 12 // cells of the screen that a text which may be cut has at least
)

// placed is a column with its place on the screen.
type placed struct {
	index, x, width int
}

// layout returns the columns that fit into a width, from left to right. The most important are there
// whatever the width is.
func (t *table) layout(width int) []placed {
	var ranked []placed
	for i, c := range t.columns {
		widest, empty := max(c.least, show.Width(c.title)), true
		for _, r := range t.rows {
			text := r.cells[i].text
			widest, empty = max(widest, show.Width(text)), empty && text == ""
		}
		if c.most > 0 {
			widest = min(widest, c.most)
		}
		if !empty || !c.optional {
			ranked = append(ranked, placed{index: i, width: widest})
		}
	}
	slices.SortStableFunc(ranked, func(a, b placed) int { return cmp.Compare(t.columns[a.index].rank, t.columns[b.index].rank) })
	var fit []placed
	used := 0
	for _, p := range ranked {
		need := p.width
		if used > 0 {
			need += gap
		}
		if used > 0 && used+need > width {
			if left := width - used - gap; t.columns[p.index].most > 0 && left >= leastText {
				p.width = left
				fit = append(fit, p)
			}
			break // a column that is less important must not stay in its place
		}
		used += need
		fit = append(fit, p)
	}
	slices.SortFunc(fit, func(a, b placed) int { return cmp.Compare(a.index, b.index) })
	x := 0
	for i := range fit {
		fit[i].x = x
		x += fit[i].width + gap
	}
	return fit
}
