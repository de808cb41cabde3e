package top

import (
	"github.com/gdamore/tcell/v2"

	"sluice/cmd/sluice/remote/show"
)

// footer is a line at the end of the screen.
type footer struct {
	text   string
	hints  []item // in place of the text
	bad    bool
	strong bool
	cursor int // where it is; -1 means nowhere
}

// mostWrapped is how many lines a message may have.
const mostWrapped = 3

// footers returns the lines at the end of the screen: what is asked or what has happened, and keys.
func (m *model) footers() (all []footer) {
	wrapped := func(text string, bad, strong bool) {
		for _, line := range show.Wrap(text, m.width, mostWrapped) {
			all = append(all, footer{text: line, bad: bad, strong: strong, cursor: -1})
		}
	}
	switch p := m.prompt; {
	case p != nil && p.at == len(p.fields):
		wrapped(p.question(p), false, true)
	case p != nil:
		switch {
		case p.waiting:
			wrapped("asking the gateway ...", false, false)
		case p.wrong != "":
			wrapped(p.wrong, true, false)
		default:
			wrapped(p.title, false, false)
		}
		text, cursor := p.fields[p.at].visible(m.width)
		all = append(all, footer{text: text, strong: true, cursor: cursor})
	case m.message != "":
		wrapped(m.message, m.wrong, !m.wrong)
	}
	if m.height >= heightForHints {
		all = append(all, footer{hints: m.hints(), cursor: -1})
	}
	return all
}

// visible returns what of a field there is room for, and where the cursor is in it.
func (i *input) visible(width int) (text string, cursor int) {
	start, room := 0, width-show.Width(i.label)-1
	for start < i.pos && show.Width(string(i.text[start:i.pos])) > room {
		start++
	}
	return i.label + string(i.text[start:]), show.Width(i.label) + show.Width(string(i.text[start:i.pos]))
}

// hints returns the keys that mean something, the most important ones first.
func (m *model) hints() []item {
	switch {
	case m.help:
		return []item{{value: "any key", label: "back"}}
	case m.prompt != nil && m.prompt.at == len(m.prompt.fields):
		return []item{{value: "y", label: "yes"}, {value: "any other key", label: "no"}}
	case m.prompt != nil:
		return []item{{value: "Enter", label: "go on"}, {value: "Esc", label: "leave it"}, {value: "Ctrl-U", label: "clear"}}
	}
	readOnly := m.picture != nil && m.picture.status.ReadOnly
	if m.tap != nil {
		all := []item{{value: "Esc", label: "back"}, {value: "Space", label: "pause"}, {value: "f", label: "kind of frames"}, {value: "p", label: "payloads"}}
		if !readOnly {
			all = append(all, item{value: "k", label: "kill"})
		}
		return append(all, item{value: "?", label: "help"})
	}
	all := []item{{value: "q", label: "quit"}, {value: "?", label: "help"}, {value: "Tab", label: "view"}, {value: "< >", label: "sort"}, {value: "r", label: "reverse"}}
	switch {
	case m.view == sessionsView:
		all = append(all, item{value: "/", label: "filter"}, item{value: "t", label: "tap"})
		if !readOnly {
			all = append(all, item{value: "k", label: "kill"})
		}
	case m.view == backendsView && !readOnly:
		all = append(all, item{value: "d", label: "drain"}, item{value: "u", label: "undrain"})
	}
	return all
}

// footers draws the lines at the end of the screen. They are never greyed: keys go on to work.
func (c *canvas) footers(m *model) {
	all := m.footers()
	for i, f := range all {
		y := m.height - len(all) + i
		if f.hints != nil {
			c.hints(y, m.width, f.hints)
			continue
		}
		style := tcell.StyleDefault.Bold(f.strong)
		if f.bad {
			style = c.bad(tcell.StyleDefault)
		}
		c.fill(0, y, m.width, tcell.StyleDefault)
		c.text(0, y, m.width, f.text, style)
		if f.cursor >= 0 {
			c.screen.ShowCursor(f.cursor, y)
		}
	}
}

// hints draws as many keys and what they mean as there is room for.
func (c *canvas) hints(y, width int, hints []item) {
	x := 0
	for _, h := range hints {
		if x+show.Width(h.value)+1+show.Width(h.label) > width {
			return
		}
		x += c.text(x, y, width, h.value, tcell.StyleDefault.Bold(true)) + 1
		x += c.text(x, y, width-x, h.label, tcell.StyleDefault) + gap
	}
}

// help draws what the keys mean.
func (c *canvas) help(m *model) {
	lines := []string{
		"SESSIONS, BACKENDS, ROUTES",
		"  1 2 3, Tab         show the sessions, the backends, the routes",
		"  arrows, PgUp PgDn  select a row; Home and End: the first, the last; Esc: none",
		"  < > or left right  sort by another column;  r  the other way around",
		"  / sessions         filter: keys as 'sluice sessions' has flags, with _ for -",
		"  t or Enter         tap: the frames of the session that is selected",
		"  k                  kill: end that session with a Close frame",
		"  d u                drain, undrain the endpoint that is selected",
		"TAP",
		"  Space  pause;  arrows  scroll;  End  go on;  f  one kind of frames;  Esc  back",
		"  p      payloads too, where the route allows it; the gateway's log says who asked",
		"WHAT IS SHOWN",
		"  IN/S, OUT/S are bytes a second from the client and to it since the last look,",
		"  MSG IN/S and MSG OUT/S messages. IDLE is the time since the last data frame.",
		"  Of more sessions the gateway lists 1000: those with the most bytes for IN/S and",
		"  OUT/S, the first in the order for the others; any for SESSION, ENDING, PATH.",
		"  Narrow screens leave out columns. What is selected stays selected when the",
		"  order changes.",
		"  q or Ctrl-C quits.",
	}
	for y, line := range lines[:max(0, min(len(lines), m.height-len(m.footers())))] {
		style := c.style
		if line[0] != ' ' {
			style = style.Bold(true)
		}
		c.text(0, y, m.width, line, style)
	}
}
