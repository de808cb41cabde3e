package top

import (
	"fmt"
	"strings"
	"time"

	"github.com/gdamore/tcell/v2"

	"sluice/cmd/sluice/remote/show"
)

// Heights of a screen from which on something has room.
const (
	heightForHints = 8
	heightForHead  = 16 // all of its lines
	heightForTwo   = 9  // of them
)

// resize takes the size of the screen.
func (m *model) resize(width, height int) { m.width, m.height = width, height }

// headHeight returns how many lines the head has.
func (m *model) headHeight() int {
	switch {
	case m.height >= heightForHead:
		return headLines
	case m.height >= heightForTwo:
		return 2
	case m.height >= heightForHints-1:
		return 1
	}
	return 0
}

// page returns how many rows the table has room for, below the head, its title and its head.
func (m *model) page() int {
	return max(1, m.height-m.headHeight()-2-len(m.footers()))
}

// draw draws everything.
func draw(screen tcell.Screen, m *model) {
	screen.Clear()
	screen.HideCursor()
	c := &canvas{screen: screen, colours: screen.Colors() >= 8}
	c.style = c.style.Dim(m.lost != nil || m.stale() > 0)
	if m.help {
		c.help(m)
	} else if m.picture != nil {
		c.head(m)
		y := m.headHeight()
		if m.tap != nil {
			c.tap(m, y)
		} else {
			c.title(m, y)
			c.table(m, y+1)
		}
	}
	c.footers(m)
	screen.Show()
}

// canvas draws texts on a screen. A text never goes beyond its room, and nothing in it can change the
// terminal.
type canvas struct {
	screen  tcell.Screen
	style   tcell.Style // of what has no other
	colours bool
}

// bad returns a style for what is wrong.
func (c *canvas) bad(s tcell.Style) tcell.Style {
	if c.colours {
		s = s.Foreground(tcell.ColorMaroon) // red, as the palette of the terminal has it
	}
	return s.Bold(true)
}

// text draws as much of a text as there is room for, and returns how many cells it takes.
func (c *canvas) text(x, y, room int, text string, style tcell.Style) int {
	used := 0
	for cluster, width := range show.Clusters(show.Cut(text, room)) {
		c.screen.Put(x+used, y, cluster, style)
		used += width
	}
	return used
}

// fill draws spaces.
func (c *canvas) fill(x, y, width int, style tcell.Style) {
	for i := range max(0, width) {
		c.screen.Put(x+i, y, " ", style)
	}
}

// title draws what the table is, or that the gateway does not answer.
func (c *canvas) title(m *model, y int) {
	if c.outage(m, y) {
		return
	}
	x := 0
	for i, name := range [views]string{"sessions", "backends", "routes"} {
		style := c.style
		if i == m.view {
			style = style.Reverse(true)
		}
		x += c.text(x, y, m.width-x, fmt.Sprintf(" %d %s ", i+1, name), style)
	}
	text := m.describe()
	if delay := m.delay(); delay != "" {
		text = delay + "; " + text
	}
	c.text(x+gap, y, m.width-x-gap, text, c.style)
}

// outage draws that the gateway does not answer, if that is so.
func (c *canvas) outage(m *model, y int) bool {
	o := m.lost
	if o == nil {
		return false
	}
	next := "asking again"
	if wait := m.due.Sub(m.now); wait > 0 {
		next = "next try in " + seconds(wait)
	}
	what := "No answer"
	if o.refused {
		what = "The gateway refuses"
	}
	c.text(0, y, m.width, fmt.Sprintf("%s for %s, %s: %s", what, seconds(m.now.Sub(o.since)), next, o.why), c.bad(tcell.StyleDefault))
	return true
}

// seconds writes a time in whole seconds.
func seconds(d time.Duration) string { return show.Age(d.Round(time.Second)) }

// describe says what the table has and in which order.
func (m *model) describe() string {
	t := m.table()
	what := show.Plural(len(t.rows), [views]string{"session", "endpoint", "route"}[m.view])
	if all := m.picture.status.Sessions.Used; m.view == sessionsView && (m.filter != nil || len(t.rows) >= mostSessions) {
		what = fmt.Sprintf("%d of %s", len(t.rows), show.Plural(all, "session"))
	}
	first := [2][2]string{{"a to z", "z to a"}, {"largest first", "smallest first"}}
	number, reversed := 0, 0
	if t.columns[t.sort].number {
		number = 1
	}
	if m.view == sessionsView && len(t.rows) >= mostSessions && m.picture.status.Sessions.Used > mostSessions {
		what += ": " + picked(m.picture.order)
	}
	if t.reversed {
		reversed = 1
	}
	if m.view == sessionsView && m.filter != nil {
		what += ", filter " + m.filter.String()
	}
	return what + ", by " + t.columns[t.sort].title + ", " + first[number][reversed]
}

// picked says which sessions the gateway lists of more than it may.
func picked(order string) string {
	turned, name := 0, order
	if rest, ok := strings.CutPrefix(order, "-"); ok {
		turned, name = 1, rest
	}
	names := map[string][2]string{
		"bytes": {"those with the fewest bytes", "those with the most bytes"}, "rate": {"those with the fewest messages a second", "those with the most messages a second"},
		"opened": {"the oldest", "the youngest"}, "last": {"those idle longest", "those idle shortest"},
		"client": {"the first by client", "the last by client"}, "route": {"the first by route", "the last by route"}, "endpoint": {"the first by endpoint", "the last by endpoint"},
	}
	if text := names[name][turned]; text != "" {
		return text
	}
	return "any of them"
}

// table draws the table.
func (c *canvas) table(m *model, y int) {
	t := m.table()
	places := t.layout(m.width)
	for _, p := range places {
		style := c.style.Bold(true).Underline(true)
		if p.index == t.sort {
			style = style.Reverse(true)
		}
		c.cell(p, y, t.columns[p.index], t.columns[p.index].title, style)
	}
	for i, r := range t.window(m.page()) {
		style := c.style
		switch {
		case r.bad:
			style = c.bad(style)
		case r.dim:
			style = style.Dim(true)
		}
		if r.name == t.selected {
			style = style.Reverse(true)
			c.fill(0, y+1+i, m.width, style)
		}
		for _, p := range places {
			c.cell(p, y+1+i, t.columns[p.index], r.cells[p.index].text, style)
		}
	}
	if len(t.rows) == 0 {
		c.text(0, y+1, m.width, m.nothing(), c.style)
	}
}

// nothing says why the table is empty.
func (m *model) nothing() string {
	switch {
	case m.view == sessionsView && m.picture.sessions == nil, m.view == backendsView && m.picture.backends == nil:
		return "asking the gateway ..."
	case m.view == sessionsView && m.filter != nil:
		return "no session matches the filter"
	}
	return [views]string{"no session is open", "no backend is configured", "no route has a backend"}[m.view]
}

// cell draws the text of a column.
func (c *canvas) cell(p placed, y int, of column, text string, style tcell.Style) {
	x := p.x
	if of.number {
		x += max(0, p.width-show.Width(text))
	}
	c.text(x, y, p.width-(x-p.x), text, style)
}

// tap draws the frames of a session.
func (c *canvas) tap(m *model, y int) {
	t := m.tap
	if !c.outage(m, y) {
		text := "Frames of session " + t.session + " (" + t.about + ")"
		if delay := m.delay(); delay != "" {
			text += "; " + delay
		}
		c.text(0, y, m.width, text, c.style.Bold(true))
	}
	what := tapOps()[t.op]
	if what == "" {
		what = "all"
	}
	state := fmt.Sprintf("%s, shown: %s", show.Plural(t.frames, "frame"), what)
	if t.payloads {
		state += ", with payloads"
	}
	if t.paused != nil {
		state += fmt.Sprintf(", paused: %d came meanwhile", t.missed)
	}
	c.fill(0, y+1, m.width, c.style.Reverse(true))
	c.text(0, y+1, m.width, state, c.style.Reverse(true))
	lines := t.shown(m.page())
	for i, l := range lines {
		c.text(0, y+2+i, m.width, l.text, c.style)
	}
	if len(lines) == 0 {
		c.text(0, y+2, m.width, "no such frame has passed yet", c.style)
	}
}
