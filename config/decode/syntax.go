package decode

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"sluice/config/report"
)

// broken is a text that is no YAML.
type broken struct {
	lines   []string // without their line breaks
	ends    []int    // of the lines in the text
	text    string
	message string // of the parser

	begin int // line, from 1, where the value or the block begins that is wrong
	line  int // line, from 1, that is to be changed
}

// syntax reports why text is no YAML: err is what the parser says.
func syntax(r *report.Report, file string, text []byte, err error) {
	b := &broken{text: string(bytes.TrimPrefix(text, []byte("\ufeff")))}
	end := 0
	for line := range strings.SplitAfterSeq(b.text, "\n") {
		end += len(line)
		b.lines, b.ends = append(b.lines, strings.TrimRight(line, "\r\n")), append(b.ends, end)
	}
	_, b.message = parts(err)
	b.find()
	column, message := b.explain()
	column = min(max(column, 0), len(b.current()))
	pos := report.Pos{Line: b.line, Column: utf8.RuneCountInString(b.current()[:column]) + 1, File: file}
	r.FailAt(pos, "", "not valid YAML: %s", message)
}

var (
	syntaxError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	// Errors of yaml.v3's grammar, unlike those of its tokens, count lines from 0.
	grammarError = regexp.MustCompile(`^(did not find expected (<|node content|'-'|key|',')|found (undefined|duplicate|incompatible))`)
)

// parts returns the line that an error of the parser names, from 1, 0 if it names none, and its message.
func parts(err error) (line int, message string) {
	m := syntaxError.FindStringSubmatch(err.Error())
	if m == nil {
		return 0, err.Error()
	}
	if line, err = strconv.Atoi(m[1]); err == nil && grammarError.MatchString(m[2]) {
		line++
	}
	return line, m[2]
}

// failure returns what the parser says about a text, as parts does; the message is "" if it is YAML.
func failure(text io.Reader) (line int, message string) {
	documents := yaml.NewDecoder(text)
	for {
		var n yaml.Node
		switch err := documents.Decode(&n); {
		case errors.Is(err, io.EOF):
			return 0, ""
		case err != nil:
			return parts(err)
		}
	}
}

// find sets the lines of b. The parser names the line where the block or the value begins in which it
// has found a mistake, unless that is the first line: so an empty line is put before the text. The
// mistake itself is in the last of the fewest lines that have it. How many the parser has read tells
// where to look for that one, as it reads few lines ahead.
func (b *broken) find() {
	line, _ := failure(strings.NewReader("\n" + b.text))
	b.begin = min(max(line-1, 1), len(b.lines))
	for b.begin > 1 && isEmpty(b.lines[b.begin-1]) {
		b.begin-- // something is missing at the end of the text
	}
	if b.line = b.begin; b.failsWith(b.begin) {
		return
	}
	read := &lineReader{text: b.text}
	failure(read)
	good, bad := b.begin, min(max(read.lines, b.begin+1), len(b.lines))
	for step := 1; bad-step > good; step *= 2 {
		if !b.failsWith(bad - step) {
			good = bad - step
			break
		}
		bad -= step
	}
	b.line = min(good+1+sort.Search(bad-good-1, func(i int) bool { return b.failsWith(good + 1 + i) }), len(b.lines))
}

// failsWith reports whether the parser says the same about the first lines alone.
func (b *broken) failsWith(lines int) bool {
	_, message := failure(strings.NewReader(b.text[:b.ends[lines-1]]))
	return message == b.message
}

// lineReader reads a text line by line, and counts the lines.
type lineReader struct {
	text  string
	lines int
	begun bool // a part of the next line was read
}

// Read reads from one line at most.
func (r *lineReader) Read(p []byte) (int, error) {
	if r.text == "" {
		return 0, io.EOF
	}
	if !r.begun {
		r.lines++
	}
	n := len(r.text)
	if end := strings.IndexByte(r.text, '\n'); end >= 0 {
		n = end + 1
	}
	n = copy(p, r.text[:n])
	r.begun = r.text[n-1] != '\n'
	r.text = r.text[n:]
	return n, nil
}

// isEmpty reports whether a line has nothing but a comment.
func isEmpty(line string) bool {
	line = strings.TrimLeft(line, " \t\r")
	return line == "" || line[0] == '#'
}

// current is the line that is to be changed.
func (b *broken) current() string { return b.lines[b.line-1] }

var (
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced`)
	keyWithColon  = regexp.MustCompile(`^ *(?:- +)*([\w-]+):[ \t]+([^\s'"\[{|>&*!#].*:(?: .*)?)$`) // a text with ': ' in it behind a key
	keyNoColon    = regexp.MustCompile(`^ *(?:- +)*([A-Za-z_][\w-]*)[ \t]*$`)
	keyNoSpace    = regexp.MustCompile(`^ *(?:- +)*([A-Za-z_]\w*:)[^\s/:]`)
	hostAndPort   = regexp.MustCompile(`:[0-9]+$`)
	closedBefore  = regexp.MustCompile(`(?:^ *|[:?-] +|[\[{,] *)('(?:[^']|'')*'|"(?:[^"\\]|\\.)*"|\[[^\]]*\]|\{[^}]*\}) *([^\s#,:\]}])`)
	openQuote     = regexp.MustCompile(`(?:^ *|[:?-] +|[\[{,] *)("(?:[^"\\]|\\.)*|'(?:[^']|'')*)$`)
	badEscape     = regexp.MustCompile(`\\[^0abt\tnvfre "'\\N_LPxuU]`)
)

// explain returns the offset in the current line, which it may change, and what to do.
func (b *broken) explain() (column int, message string) {
	line := b.current()
	indent := len(line) - len(strings.TrimLeft(line, " "))
	if m := unknownAnchor.FindStringSubmatch(b.message); m != nil {
		return strings.Index(line, "*"+m[1]), "*" + m[1] + " stands for a value that has the name &" + m[1] + ", and none has: put it in quotes if it is a text, as in '*" + m[1] + "'"
	}
	switch b.message {
	case "found character that cannot start any token":
		if at := b.token("\t@`%"); at >= 0 && line[at] != '\t' {
			return at, "a text that begins with '" + line[at:at+1] + "' needs quotes"
		}
		return max(strings.IndexByte(line, '\t'), indent), "a tab stands here: indent with spaces"
	case "found a tab character that violates indentation", "found a tab character where an indentation space is expected":
		return strings.IndexByte(line, '\t'), "a tab stands here: indent with spaces"
	case "did not find expected alphabetic or numeric character":
		if at := b.token("*&"); at >= 0 {
			return at, "a text that begins with '" + line[at:at+1] + "' needs quotes, as in \"*.example.com\""
		}
	case "mapping values are not allowed in this context":
		return b.value(indent)
	case "could not find expected ':'":
		if m := keyNoSpace.FindStringSubmatchIndex(line); m != nil {
			return m[2], "'" + line[m[2]:m[3]] + "' needs a space behind it"
		}
		return indent, "a key has ': ' behind it, and an element of a list '- ' before it: this line has neither"
	case "did not find expected key", "did not find expected '-' indicator":
		return b.block(indent)
	case "did not find expected ',' or ']'", "did not find expected ',' or '}'":
		return b.flow()
	case "did not find expected node content":
		if at := b.token(":"); at >= 0 && at+1 < len(line) && !strings.ContainsRune(" \t,]}", rune(line[at+1])) {
			return at, "a text that begins with ':' needs quotes in brackets and braces, as in \":8080\""
		}
		if at := b.token(",]}"); at >= 0 {
			return at, "a value is missing before '" + line[at:at+1] + "'"
		}
		if at := strings.LastIndexAny(line, "[{"); at >= 0 {
			return at, "'" + line[at:at+1] + "' is not closed"
		}
	case "found unexpected end of stream", "found unexpected document indicator":
		return b.token(`'"`), "the quote that begins here is not closed"
	case "found unknown escape character", "did not find expected hexdecimal number", "found invalid Unicode character escape code":
		column = strings.IndexByte(line, '\\')
		if at := badEscape.FindStringIndex(line); at != nil {
			column = at[0]
		}
		return column, `in double quotes '\' begins an escape: write '\\' for the sign itself, or put the text in single quotes`
	case "block sequence entries are not allowed in this context":
		return strings.Index(line, "- "), "a list begins on a line of its own, below its key"
	case "did not find expected comment or line break":
		return indent, "a text behind '|' or '>' begins on the next line"
	case "did not find expected <document start>":
		if b.widths()[0] > indent {
			return indent, "the line is less indented than the first one: begin both in the same column"
		}
	}
	return indent, b.message
}

// token returns the offset in the current line of a value that begins with one of the given bytes, or
// -1.
func (b *broken) token(begins string) int {
	for i, c := range b.current() {
		if strings.ContainsRune(begins, c) && b.opensAt(i) {
			return i
		}
	}
	return -1
}

// opensAt reports whether a value or a key may begin at an offset in the current line.
func (b *broken) opensAt(i int) bool {
	before := strings.TrimRight(b.current()[:i], " \t")
	if before == "" {
		return true
	}
	last := before[len(before)-1:]
	return strings.Contains("[{,", last) || len(before) < i && strings.Contains(":-?", last)
}

// above returns the line above the current one that is not empty, 0 if there is none.
func (b *broken) above() int {
	above := b.line - 1
	for above > 0 && isEmpty(b.lines[above-1]) {
		above--
	}
	return above
}

// value explains a ':' where no key can be.
func (b *broken) value(indent int) (column int, message string) {
	if m := keyWithColon.FindStringSubmatchIndex(b.current()); m != nil {
		return m[4], "the text behind '" + b.current()[m[2]:m[3]] + ":' has a ':' in it: put it in quotes"
	}
	if above := b.above(); above > 0 {
		if m := keyNoSpace.FindStringSubmatchIndex(b.lines[above-1]); m != nil && !hostAndPort.MatchString(b.lines[above-1]) {
			b.line = above
			return m[2], "'" + b.current()[m[2]:m[3]] + "' needs a space behind it"
		}
		if m := keyNoColon.FindStringSubmatchIndex(b.lines[above-1]); m != nil {
			b.line = above
			return m[2], "'" + b.current()[m[2]:m[3]] + "' needs a ':' behind it"
		}
	}
	if message := b.misplaced(indent); message != "" {
		return indent, message
	}
	return indent, "a key stands below a text: the line above is no key, or has its value already"
}

// block explains a line that does not go on with the keys or the elements above it.
func (b *broken) block(indent int) (column int, message string) {
	line := b.current()
	for i := b.begin; i < b.line; i++ {
		if m := openQuote.FindStringSubmatchIndex(b.lines[i-1]); m != nil && !isEmpty(b.lines[i-1]) {
			closed := b.line
			b.line = i
			return m[2], "the quote that begins here is closed by the next one, on line " + strconv.Itoa(closed) + ": close it on its own line"
		}
	}
	if m := closedBefore.FindStringSubmatchIndex(line); m != nil {
		return m[4], "more text stands behind what '" + line[m[3]-1:m[3]] + "' closes: put all of the value in quotes"
	}
	above := b.above()
	if begins := above > 0 && strings.HasSuffix(strings.TrimRight(b.lines[above-1], " "), ":"); !begins {
		if message := b.misplaced(indent); message != "" {
			return indent, message
		}
	}
	element := strings.HasPrefix(line[indent:]+" ", "- ")
	switch of := b.message == "did not find expected key"; {
	case of && element && b.elements() >= 0:
		return indent, "the line is indented by " + strconv.Itoa(indent) + ", and the elements above by " + strconv.Itoa(b.elements()) + ": begin all in the same column"
	case of && element:
		return indent, "an element of a list stands among keys: give the list a key of its own"
	case !of && !element:
		return indent, "a key stands among the elements of a list: put '- ' in front of it, or indent it as the keys above"
	}
	return indent, b.message
}

// elements returns the indentation of the nearest element of a list above the current line, -1 if there
// is none.
func (b *broken) elements() int {
	for i := b.line - 2; i >= b.begin-1; i-- {
		if text := strings.TrimLeft(b.lines[i], " "); strings.HasPrefix(text, "- ") {
			return len(b.lines[i]) - len(text)
		}
	}
	return -1
}

// misplaced explains the indentation of the current line, "" if others have it.
func (b *broken) misplaced(indent int) (message string) {
	widths := b.widths()
	if slices.Contains(widths, indent) {
		return ""
	}
	var texts []string
	for _, width := range widths {
		texts = append(texts, strconv.Itoa(width))
	}
	return "the line is indented by " + strconv.Itoa(indent) + ": write " + join(texts, "or") + " spaces, as in the lines above"
}

// widths returns the indentation of the blocks that are open before the current line, the outer ones
// first.
func (b *broken) widths() (open []int) {
	for _, line := range b.lines[:b.line-1] {
		text := strings.TrimLeft(line, " ")
		if isEmpty(line) {
			continue
		}
		for width := len(line) - len(text); ; {
			for len(open) > 0 && open[len(open)-1] > width {
				open = open[:len(open)-1]
			}
			if len(open) == 0 || open[len(open)-1] < width {
				open = append(open, width)
			}
			rest, element := strings.CutPrefix(text, "- ")
			rest = strings.TrimLeft(rest, " ")
			if !element || isEmpty(rest) {
				break
			}
			width += len(text) - len(rest)
			text = rest
		}
	}
	if open == nil {
		open = []int{0}
	}
	return open
}

// flow explains a list in brackets, or a mapping in braces, that does not go on as it should. The line
// is the first that ends in the middle of it without a ','.
func (b *broken) flow() (column int, message string) {
	kind, closer := "list", "]"
	if strings.HasSuffix(b.message, "'}'") {
		kind, closer = "mapping", "}"
	}
	for b.line = b.begin; b.line < len(b.lines)-1 && (goesOn(b.current()) || strings.HasPrefix(strings.TrimLeft(b.lines[b.line], " \t"), closer)); b.line++ {
	}
	missing := "a ',' or '" + closer + "' is missing"
	if b.line > b.begin {
		return len(strings.TrimRight(b.current(), " \t")), missing + " at the end of this line, in the " + kind + " that begins on line " + strconv.Itoa(b.begin)
	}
	return b.opener(), missing + " in the " + kind + " that begins here; a text with one of [ ] { } or ': ' in it needs quotes"
}

// opener returns the offset of the bracket or brace that the current line does not close, or of the
// first one.
func (b *broken) opener() int {
	first, rest := b.token("[{"), []int(nil)
	for i, c := range b.current() {
		switch {
		case b.opensAt(i) && (c == '[' || c == '{'):
			rest = append(rest, i)
		case (c == ']' || c == '}') && len(rest) > 0:
			rest = rest[:len(rest)-1]
		}
	}
	if len(rest) > 0 {
		return rest[len(rest)-1]
	}
	return first
}

// goesOn reports whether a line of a list in brackets, or of a mapping in braces, may be followed by
// more of it.
func goesOn(line string) bool {
	code, _, _ := strings.Cut(line, " #")
	code = strings.TrimRight(code, " \t")
	return isEmpty(code) || strings.ContainsAny(code[len(code)-1:], ",[{")
}
