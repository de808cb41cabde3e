package top

import (
	"slices"
	"strings"

	"github.com/gdamore/tcell/v2"
)

// prompt asks for texts and then, where it has a question, for a yes.
type prompt struct {
	title    string
	fields   []input
	check    func(*prompt) error  // of the field that is being written; nil means that anything goes
	question func(*prompt) string // nil means that none is asked
	done     func(*model, *prompt)

	at      int    // the field that is being written; len(fields) means the question
	wrong   string // what is wrong with what was written
	waiting bool   // the gateway is being asked about it
}

// input is a text that is being written.
type input struct {
	label string
	text  []rune
	pos   int // of the cursor
}

const mostInput = 1000 // runes

func newInput(label, text string) input {
	return input{label: label, text: []rune(text), pos: len([]rune(text))}
}

// value returns what was written into a field.
func (p *prompt) value(field int) string { return string(p.fields[field].text) }

// trimmed returns it without spaces around it.
func (p *prompt) trimmed(field int) string { return strings.TrimSpace(p.value(field)) }

// key does what a key means while a prompt is open.
func (p *prompt) key(m *model, k *tcell.EventKey) {
	if k.Key() == tcell.KeyEscape {
		m.prompt, m.trying, m.asking = nil, nil, false
		return
	}
	if p.waiting {
		return
	}
	if p.at == len(p.fields) {
		m.prompt = nil
		if k.Key() == tcell.KeyRune && (k.Rune() == 'y' || k.Rune() == 'Y') {
			p.done(m, p)
		}
		return
	}
	p.wrong = ""
	if k.Key() != tcell.KeyEnter {
		p.fields[p.at].key(k)
		return
	}
	if p.check != nil {
		if err := p.check(p); err != nil {
			p.wrong = err.Error()
			return
		}
	}
	if p.at++; p.at == len(p.fields) && p.question == nil {
		p.at--
		p.done(m, p)
	}
}

// key edits the text.
func (i *input) key(k *tcell.EventKey) {
	switch k.Key() {
	case tcell.KeyRune:
		if len(i.text) < mostInput {
			i.text = slices.Insert(i.text, i.pos, k.Rune())
			i.pos++
		}
	case tcell.KeyBackspace, tcell.KeyBackspace2:
		if i.pos > 0 {
			i.pos--
			i.text = slices.Delete(i.text, i.pos, i.pos+1)
		}
	case tcell.KeyDelete:
		if i.pos < len(i.text) {
			i.text = slices.Delete(i.text, i.pos, i.pos+1)
		}
	case tcell.KeyCtrlU:
		i.text, i.pos = i.text[:0], 0
	case tcell.KeyLeft:
		i.pos = max(0, i.pos-1)
	case tcell.KeyRight:
		i.pos = min(len(i.text), i.pos+1)
	case tcell.KeyHome, tcell.KeyCtrlA:
		i.pos = 0
	case tcell.KeyEnd, tcell.KeyCtrlE:
		i.pos = len(i.text)
	}
}
