// Package section reads a configuration of HAProxy as sections with lines, and their places and texts.
package section

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"sluice/cmd/sluice/importer"
)

// A Section is a block of lines behind its first one, as in frontend web.
type Section struct {
	Kind, Name string
	Lines      []Line // those of the defaults that hold for it first
	Pos        importer.Pos
	Text       string
}

// A Line is a line with words in it.
type Line struct {
	Words []string
	Pos   importer.Pos
	Text  string
}

// Word returns a word, or "".
func (l Line) Word(i int) string {
	if i >= 0 && i < len(l.Words) {
		return l.Words[i]
	}
	return ""
}

// Has reports whether the line begins with words.
func (l Line) Has(words ...string) bool {
	return len(l.Words) >= len(words) && slices.Equal(l.Words[:len(words)], words)
}

// After returns the word behind another one, or "".
func (l Line) After(word string) string {
	if i := slices.Index(l.Words, word); i >= 0 {
		return l.Word(i + 1)
	}
	return ""
}

// kinds are the words that begin a section.
var kinds = strings.Fields("global defaults frontend backend listen peers userlist resolvers mailers cache program http-errors ring fcgi-app log-forward crt-store traces log-profile acme")

// Read reads the sections of a source. Proxies have the lines of their defaults.
func Read(source importer.Source) ([]*Section, error) {
	r := reader{named: map[string]*Section{}}
	for _, f := range source.Files {
		if strings.ContainsRune(f.Text, 0) {
			return nil, errors.New(f.Name + ": it has a byte that is 0, so it is not a configuration")
		}
		r.now = nil
		line := 0
		for text := range strings.Lines(f.Text) {
			line++
			l := Line{Pos: importer.Pos{File: f.Name, Line: line}, Text: strings.TrimSpace(text)}
			if err := l.split(strings.TrimRight(text, "\r\n")); err != nil {
				return nil, l.Pos.Errorf("%w", err)
			}
			if len(l.Words) == 0 {
				continue
			}
			if err := r.take(l); err != nil {
				return nil, l.Pos.Errorf("%w", err)
			}
		}
	}
	return r.all, nil
}

// reader makes sections of lines.
type reader struct {
	all      []*Section
	now      *Section
	defaults *Section // that hold for what follows
	named    map[string]*Section
	size     int
}

// maxLines bounds the lines of all sections, with those of defaults again for each.
const maxLines = 200_000

func (r *reader) take(l Line) error {
	if r.size++; r.size > maxLines {
		return errors.New("the sections have more than 200000 lines, those of defaults in each")
	}
	word := l.Words[0]
	switch {
	case slices.Contains(kinds, word):
		return r.begin(l)
	case strings.HasPrefix(word, ".") && word != ".notice":
		return errors.New(word + ": what depends on the environment cannot be read: write the lines that hold")
	case r.now == nil:
		return errors.New(word + ": no section has begun, such as frontend or backend")
	}
	r.now.Lines = append(r.now.Lines, l)
	return nil
}

// begin begins a section.
func (r *reader) begin(l Line) error {
	s := &Section{Kind: l.Words[0], Pos: l.Pos, Text: l.Text}
	rest := l.Words[1:]
	if len(rest) > 0 && rest[0] != "from" {
		s.Name, rest = rest[0], rest[1:]
	}
	proxy := slices.Contains([]string{"frontend", "backend", "listen"}, s.Kind)
	base := r.defaults
	if s.Kind == "defaults" {
		base = nil
	}
	if len(rest) > 1 && rest[0] == "from" {
		if base = r.named[rest[1]]; base == nil {
			return errors.New("there are no defaults " + rest[1] + " before it")
		}
		rest = rest[2:]
	}
	if base != nil && (proxy || s.Kind == "defaults") {
		s.Lines = slices.Clone(base.Lines)
		if r.size += len(s.Lines); r.size > maxLines {
			return errors.New("the sections have more than 200000 lines, those of defaults in each")
		}
	}
	if proxy && s.Name == "" {
		return errors.New(s.Kind + " has no name")
	}
	if proxy && len(rest) > 0 { // as old versions write it
		s.Lines = append(s.Lines, Line{Words: append([]string{"bind"}, rest...), Pos: l.Pos, Text: l.Text})
	}
	if s.Kind == "defaults" {
		r.defaults = s
		if s.Name != "" {
			r.named[s.Name] = s
		}
	} else {
		r.all = append(r.all, s)
	}
	r.now = s
	return nil
}

// split splits a line into words as HAProxy does: quotes, escapes, comments.
func (l *Line) split(text string) error {
	var b strings.Builder
	inside, quote := false, byte(0)
	end := func() {
		if inside {
			l.Words = append(l.Words, b.String())
			b.Reset()
			inside = false
		}
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote == '\'' && c != '\'':
			b.WriteByte(c)
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			inside, quote = true, c
		case c == '\\':
			inside = true
			i += escaped(&b, text[i+1:], quote)
		case quote == '"' && c == '$':
			return errors.New("a variable of the environment: write its value in its place")
		case quote == 0 && c == '#':
			end()
			return nil
		case quote == 0 && (c == ' ' || c == '\t'):
			end()
		default:
			inside = true
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return errors.New("a quote is not closed")
	}
	end()
	return nil
}

// escaped writes what stands behind a backslash and returns how long that is.
func escaped(b *strings.Builder, rest string, quote byte) int {
	if rest == "" {
		b.WriteByte('\\')
		return 0
	}
	switch c := rest[0]; {
	case strings.IndexByte(` \#"'$`, c) >= 0 && (quote == 0 || c != ' ' && c != '#'):
		b.WriteByte(c)
	case c == 'n', c == 'r', c == 't':
		b.WriteByte(map[byte]byte{'n': '\n', 'r': '\r', 't': '\t'}[c])
	case c == 'x' && len(rest) >= 3:
		n, err := strconv.ParseUint(rest[1:3], 16, 8)
		if err != nil || n == 0 || n >= 0x80 {
			b.WriteString(`\x`)
			return 1
		}
		b.WriteByte(byte(n))
		return 3
	default:
		b.WriteString(`\` + rest[:1])
	}
	return 1
}
