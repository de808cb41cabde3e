package top

import "github.com/gdamore/tcell/v2"

// key does what a key means. What is pasted is text for a prompt, and means nothing elsewhere.
func (m *model) key(k *tcell.EventKey) {
	if m.pasting && (k.Key() != tcell.KeyRune || m.prompt == nil || m.prompt.at == len(m.prompt.fields)) {
		return
	}
	m.dismiss()
	switch {
	case k.Key() == tcell.KeyCtrlC:
		m.quit = true
	case m.help:
		m.help = false
	case m.prompt != nil:
		m.prompt.key(m, k)
	case m.tap != nil:
		m.tap.key(m, k)
	default:
		m.tableKey(k)
	}
}

// tableKey does what a key means while a table is shown.
func (m *model) tableKey(k *tcell.EventKey) {
	t := m.table()
	switch k.Key() {
	case tcell.KeyEscape:
		t.deselect()
	case tcell.KeyTab:
		m.show((m.view + 1) % views)
	case tcell.KeyBacktab:
		m.show((m.view + views - 1) % views)
	case tcell.KeyUp:
		t.move(-1)
	case tcell.KeyDown:
		t.move(1)
	case tcell.KeyPgUp:
		t.move(-m.page())
	case tcell.KeyPgDn:
		t.move(m.page())
	case tcell.KeyHome:
		t.choose(0)
	case tcell.KeyEnd:
		t.choose(len(t.rows) - 1)
	case tcell.KeyLeft:
		t.sortBy(-1)
		m.fresh()
	case tcell.KeyRight:
		t.sortBy(1)
		m.fresh()
	case tcell.KeyEnter:
		m.openTap()
	case tcell.KeyRune:
		m.letter(k.Rune())
	}
}

// letter does what a letter means while a table is shown.
func (m *model) letter(r rune) {
	switch r {
	case 'q':
		m.quit = true
	case '?', 'h':
		m.help = true
	case '1', '2', '3':
		m.show(int(r - '1'))
	case '<':
		m.table().sortBy(-1)
		m.fresh()
	case '>':
		m.table().sortBy(1)
		m.fresh()
	case 'r':
		m.table().reverse()
		m.fresh()
	case '/':
		m.askFilter()
		m.fresh()
	case 't':
		m.openTap()
	case 'k':
		if session, about := m.chosenSession(); session != "" {
			m.askKill(session, about)
		}
	case 'd':
		m.drain(true)
	case 'u':
		m.drain(false)
	}
}

// show shows another view.
func (m *model) show(view int) {
	m.view = view
	m.fresh()
}

// chosenSession returns the session that is selected and a word about it, or says how to select one.
func (m *model) chosenSession() (session, about string) {
	t := m.table()
	if m.view != sessionsView {
		m.warn("this is for sessions: 1 shows them")
		return "", ""
	}
	if t.selected == "" {
		m.warn(m.unselected("select a session first, with the arrow keys"))
		return "", ""
	}
	for _, s := range m.picture.sessions {
		if s.Session == t.selected {
			about = s.Client + ", route " + s.Route
		}
	}
	return t.selected, about
}

// unselected says why nothing is selected. Otherwise is the text for where nothing ever was.
func (m *model) unselected(otherwise string) string {
	name := m.table().lost
	switch {
	case name == "":
		return otherwise
	case m.view == sessionsView && len(m.table().rows) < mostSessions && m.filter == nil:
		return "session " + name + " has ended: select another"
	case m.view == sessionsView:
		return "session " + name + " has ended or is not in this list any more: select another"
	}
	if backend, endpoint := endpointOf(name); endpoint != "" {
		name = endpoint + " of " + backend
	}
	return name + " is not in this list any more: select another"
}

// openTap shows the frames of the session that is selected.
func (m *model) openTap() {
	if session, about := m.chosenSession(); session != "" {
		m.tap = &tap{session: session, about: about}
	}
}

// drain asks whether the endpoint that is selected is to be drained.
func (m *model) drain(on bool) {
	switch backend, endpoint := endpointOf(m.tables[backendsView].selected); {
	case m.view != backendsView:
		m.warn("this is for endpoints: 2 shows them")
	case endpoint == "":
		m.warn(m.unselected("select an endpoint first, with the arrow keys"))
	default:
		m.askDrain(backend, endpoint, on)
	}
}
