package top

import (
	"fmt"
	"slices"

	"github.com/gdamore/tcell/v2"

	"sluice/cmd/sluice/remote/show"
	"sluice/internal/admin"
)

// mostLines is how many lines of a tap are kept.
const mostLines = 2000

// tap is a session whose frames are shown.
type tap struct {
	session, about string
	payloads       bool      // payloads are asked for too
	lines          []tapLine // the last ones
	frames         uint64    // that have come
	op             int       // index in tapOps of what is shown
	paused         []tapLine // what is shown while it is paused; nil means that it is not
	missed         uint64    // frames that have come meanwhile
	back           int       // lines between the last one that is shown and the end
	ended          bool
}

// tapLine is a line on the screen. Op is "" where it is no frame.
type tapLine struct{ op, text string }

// tapOps returns what can be shown alone; the first is everything.
func tapOps() []string {
	return []string{"", "text", "binary", "continuation", "ping", "pong", "close"}
}

// add takes what has come.
func (t *tap) add(l admin.TapLine) {
	if l.Lost > 0 {
		t.note(fmt.Sprintf("(%s missed: they came too fast to be shown)", show.Plural(l.Lost, "frame")))
	}
	switch {
	case l.Over:
		t.end("(the session has ended)")
	case l.Lost == 0:
		t.frames++
		if t.paused != nil {
			t.missed++
		}
		t.keep(tapLine{l.Op, show.Frame(&l.Frame)})
	}
}

// end says that nothing comes any more.
func (t *tap) end(why string) {
	if !t.ended {
		t.ended = true
		t.note(why)
	}
}

// failed takes why the tap has ended before its session. Without payloads it may go on.
func (t *tap) failed(why string) {
	if why = "(" + why + ")"; t.payloads {
		t.payloads = false
		t.note(why)
	} else {
		t.end(why)
	}
}

func (t *tap) note(text string) { t.keep(tapLine{text: text}) }

func (t *tap) keep(l tapLine) {
	if len(t.lines) == mostLines {
		t.lines = slices.Delete(t.lines, 0, mostLines/4) // not one at a time
	}
	t.lines = append(t.lines, l)
}

// shown returns the lines to show where there is room for so many.
func (t *tap) shown(room int) []tapLine {
	all := t.lines
	if t.paused != nil {
		all = t.paused
	}
	if op := tapOps()[t.op]; op != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(l tapLine) bool { return l.op != "" && l.op != op })
	}
	t.back = max(0, min(t.back, len(all)-room))
	end := len(all) - t.back
	return all[max(0, end-room):end]
}

// pause stops what is shown, or lets it go on at the end.
func (t *tap) pause() {
	if t.paused == nil {
		t.paused, t.missed = append([]tapLine{}, t.lines...), 0
	} else {
		t.paused, t.back = nil, 0
	}
}

// scroll goes back by so many lines, which pauses.
func (t *tap) scroll(lines int) {
	if t.paused == nil {
		t.pause()
	}
	t.back += lines
}

// key does what a key means while a session is tapped.
func (t *tap) key(m *model, k *tcell.EventKey) {
	switch k.Key() {
	case tcell.KeyEscape:
		m.tap = nil
	case tcell.KeyUp:
		t.scroll(1)
	case tcell.KeyDown:
		t.scroll(-1)
	case tcell.KeyPgUp:
		t.scroll(m.page())
	case tcell.KeyPgDn:
		t.scroll(-m.page())
	case tcell.KeyHome:
		t.scroll(mostLines)
	case tcell.KeyEnd:
		if t.paused != nil {
			t.pause()
		}
	case tcell.KeyRune:
		switch k.Rune() {
		case 'q':
			m.tap = nil
		case 'p':
			t.payloads, t.ended = !t.payloads, false
		case ' ':
			t.pause()
		case 'f':
			t.op = (t.op + 1) % len(tapOps())
		case 'k':
			m.askKill(t.session, t.about)
		case '?':
			m.help = true
		}
	}
}
