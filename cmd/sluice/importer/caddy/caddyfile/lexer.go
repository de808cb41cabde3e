package caddyfile

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"sluice/cmd/sluice/importer"
)

// A token is a word of a Caddyfile.
type token struct {
	text   string
	pos    importer.Pos
	first  bool // on its line
	quoted bool

	file       *importer.File // where it stands, from start to end of its text
	start, end int
}

// is reports whether the token is a word that is not in quotes.
func (t token) is(text string) bool { return !t.quoted && t.text == text }

// environment matches {$NAME} and {$NAME:default}.
var environment = regexp.MustCompile(`\{\$([^{}:\n]+)(?::([^}\n]*))?\}`)

// expandEnvironment puts the values of environment variables into a file, as Caddy does before it reads
// words.
func expandEnvironment(f importer.File, lookup func(string) (string, bool)) (importer.File, error) {
	var b strings.Builder
	last := 0
	for _, at := range environment.FindAllStringSubmatchIndex(f.Text, -1) {
		b.WriteString(f.Text[last:at[0]])
		last = at[1]
		name := f.Text[at[2]:at[3]]
		value, found := lookup(name)
		switch {
		case found:
		case at[4] >= 0:
			value = f.Text[at[4]:at[5]]
		case inComment(f.Text[:at[0]]):
		default:
			pos := importer.Pos{File: f.Name, Line: 1 + strings.Count(f.Text[:at[0]], "\n")}
			return f, pos.Errorf("the environment variable %s is not set: set it for the import as it is for Caddy", name)
		}
		b.WriteString(value)
		if b.Len() > importer.MaxSize {
			return f, fmt.Errorf("%s: the values of environment variables make it more than %d MiB", f.Name, importer.MaxSize>>20)
		}
	}
	b.WriteString(f.Text[last:])
	f.Text = b.String()
	return f, nil
}

// inComment reports whether what follows a text is on a line that is nothing but a comment.
func inComment(before string) bool {
	line := before[strings.LastIndexByte(before, '\n')+1:]
	return strings.HasPrefix(strings.TrimSpace(line), "#")
}

// lexer reads the words of one file.
type lexer struct {
	file  *importer.File
	at    int // in the text
	line  int
	first bool // the next word is the first on its line
}

// lex returns the words of a file.
func lex(f *importer.File) (all []token, _ error) {
	l := &lexer{file: f, line: 1, first: true}
	for {
		l.space()
		if l.at == len(f.Text) {
			return all, nil
		}
		t := token{pos: importer.Pos{File: f.Name, Line: l.line}, first: l.first, file: f, start: l.at}
		l.first = false
		if err := l.word(&t); err != nil {
			return nil, err
		}
		t.end = l.at
		all = append(all, t)
	}
}

func (l *lexer) rest() string { return l.file.Text[l.at:] }

// space passes over spaces, comments, and line breaks behind a \, which end no line.
func (l *lexer) space() {
	for l.at < len(l.file.Text) {
		c, size := utf8.DecodeRuneInString(l.rest())
		switch {
		case c == '\n':
			l.line++
			l.first = true
		case unicode.IsSpace(c):
		case c == '\\':
			if size = l.joined(); size == 0 {
				return
			}
			l.line++
		case c == '#':
			if size = strings.IndexByte(l.rest(), '\n'); size < 0 {
				size = len(l.rest())
			}
		default:
			return
		}
		l.at += size
	}
}

// joined returns the length of a \ and a line break at the front, or 0.
func (l *lexer) joined() int {
	for _, text := range []string{"\\\n", "\\\r\n"} {
		if strings.HasPrefix(l.rest(), text) {
			return len(text)
		}
	}
	return 0
}

// word reads a word in quotes or not, or a text between markers.
func (l *lexer) word(t *token) error {
	switch rest := l.rest(); {
	case rest[0] == '"' || rest[0] == '`':
		t.quoted = true
		return l.quotes(t, rest[0])
	case strings.HasPrefix(rest, "<<"):
		line, _, found := strings.Cut(rest, "\n")
		if marker := strings.TrimRight(line[2:], "\r"); found && !strings.Contains(marker, " ") {
			t.quoted = true
			return l.heredoc(t, marker, len(line)+1)
		}
	}
	var b strings.Builder
	for l.at < len(l.file.Text) {
		c, size := utf8.DecodeRuneInString(l.rest())
		if unicode.IsSpace(c) || c == '\\' && l.joined() > 0 {
			break
		}
		if c == '\\' && b.Len() == 0 && strings.HasPrefix(l.rest(), `\<`) {
			l.at++
			continue
		}
		b.WriteString(l.rest()[:size])
		l.at += size
	}
	t.text = b.String()
	return nil
}

// quotes reads up to the quote that ends the word. Between "s another " may stand behind a \.
func (l *lexer) quotes(t *token, quote byte) error {
	var b strings.Builder
	for l.at++; l.at < len(l.file.Text); l.at++ {
		c := l.file.Text[l.at]
		switch {
		case c == quote:
			l.at++
			t.text = b.String()
			return nil
		case c == '\\' && quote == '"' && strings.HasPrefix(l.rest(), `\"`):
			l.at++
			c = '"'
		case c == '\n':
			l.line++
		}
		b.WriteByte(c)
	}
	return t.pos.Errorf("a quote is not closed")
}

var heredocMarker = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// heredoc reads a text of several lines up to a marker. What stands before the marker on its line is
// removed from the front of all lines.
func (l *lexer) heredoc(t *token, marker string, begin int) error {
	if !heredocMarker.MatchString(marker) {
		return t.pos.Errorf("<<%s: a marker has letters, digits, - and _", marker)
	}
	body := l.rest()[begin:]
	end := strings.Index(body, marker)
	if end < 0 {
		return t.pos.Errorf("<<%s has no %s at its end", marker, marker)
	}
	l.at += begin + end + len(marker)
	body = body[:end]
	l.line += 1 + strings.Count(body, "\n")
	last := strings.LastIndexByte(body, '\n') + 1
	padding := body[last:]
	var lines []string
	for i, line := range strings.Split(strings.TrimSuffix(body[:last], "\n"), "\n") {
		line = strings.ReplaceAll(line, "\r", "")
		rest, ok := strings.CutPrefix(line, padding)
		if !ok && line != "" {
			return importer.Pos{File: t.pos.File, Line: t.pos.Line + 1 + i}.Errorf("the line is less indented than the %s that ends the text", marker)
		}
		lines = append(lines, rest)
	}
	t.text = strings.Join(lines, "\n")
	return nil
}
