// Package syntax reads the files of a configuration of nginx as directives, with their places and texts.
package syntax

import (
	"errors"
	"strings"

	"sluice/cmd/sluice/importer"
)

// A Directive is a name with its arguments, and the block behind them if it has one.
type Directive struct {
	Name  string
	Args  []string
	Block []*Directive
	Pos   importer.Pos
	Text  string // as it stands in the file

	braces bool // it has a block
}

// Arg returns an argument, or "".
func (d *Directive) Arg(i int) string {
	if i >= 0 && i < len(d.Args) {
		return d.Args[i]
	}
	return ""
}

// parser reads one file.
type parser struct {
	source *importer.Source
	file   importer.File
	rest   int // where in the text it is
	line   int
	files  *int // that were read, of all
}

const maxFiles = 500

// Parse reads the files of a source and what they include.
func Parse(source importer.Source) (all []*Directive, _ error) {
	files := 0
	for _, f := range source.Files {
		more, err := parse(&source, f, &files, 0)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// parse reads a file and what it includes.
func parse(source *importer.Source, file importer.File, files *int, depth int) ([]*Directive, error) {
	if strings.ContainsRune(file.Text, 0) {
		return nil, errors.New(file.Name + ": it has a byte that is 0, so it is not a configuration")
	}
	if *files++; *files > maxFiles || depth > 10 {
		return nil, errors.New(file.Name + ": more than 500 files, or 10 that include each other")
	}
	p := &parser{source: source, file: file, line: 1, files: files}
	all, err := p.directives(depth, 0)
	if err == nil && p.rest < len(file.Text) {
		err = p.at().Errorf("a } that closes nothing")
	}
	return all, err
}

func (p *parser) at() importer.Pos { return importer.Pos{File: p.file.Name, Line: p.line} }

// directives reads up to the end of the file, or to the } of the block around.
func (p *parser) directives(files, depth int) (all []*Directive, _ error) {
	if depth > importer.MaxDepth {
		return nil, p.at().Errorf("blocks are more than %d deep", importer.MaxDepth)
	}
	for {
		p.space()
		if p.rest == len(p.file.Text) || p.file.Text[p.rest] == '}' {
			return all, nil
		}
		d, err := p.directive(files, depth)
		if err != nil {
			return nil, err
		}
		if d.Name != "include" || d.braces {
			all = append(all, d)
			continue
		}
		included, err := p.include(d, files)
		if err != nil {
			return nil, err
		}
		all = append(all, included...)
	}
}

func (p *parser) directive(files, depth int) (*Directive, error) {
	start, d := p.rest, &Directive{Pos: p.at()}
	for first := true; ; first = false {
		p.space()
		if p.rest == len(p.file.Text) {
			return nil, d.Pos.Errorf("%s has no ; at its end", d.Name)
		}
		switch p.file.Text[p.rest] {
		case ';':
			p.rest++
			d.Text = p.file.Text[start:p.rest]
			return d, nil
		case '{':
			p.rest++
			d.braces = true
			if err := p.block(d, files, depth); err != nil {
				return nil, err
			}
			d.Text = p.file.Text[start:p.rest]
			return d, nil
		case '}':
			return nil, p.at().Errorf("%s has no ; at its end", d.Name)
		}
		word, err := p.word()
		if err != nil {
			return nil, err
		}
		if first {
			d.Name = word
		} else {
			d.Args = append(d.Args, word)
		}
	}
}

// block reads the block of d with its }.
func (p *parser) block(d *Directive, files, depth int) (err error) {
	if strings.HasSuffix(d.Name, "_by_lua_block") || d.Name == "js_body_filter" {
		return p.foreign(d)
	}
	if d.Block, err = p.directives(files, depth+1); err != nil {
		return err
	}
	if p.rest == len(p.file.Text) {
		return d.Pos.Errorf("%s has no } at its end", d.Name)
	}
	p.rest++
	return nil
}

// foreign passes over a block in another language.
func (p *parser) foreign(d *Directive) error {
	for open := 1; p.rest < len(p.file.Text); p.rest++ {
		switch p.file.Text[p.rest] {
		case '\n':
			p.line++
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				p.rest++
				return nil
			}
		}
	}
	return d.Pos.Errorf("%s has no } at its end", d.Name)
}

// space passes over spaces and comments.
func (p *parser) space() {
	for ; p.rest < len(p.file.Text); p.rest++ {
		switch p.file.Text[p.rest] {
		case ' ', '\t', '\r':
		case '\n':
			p.line++
		case '#':
			if end := strings.IndexByte(p.file.Text[p.rest:], '\n'); end >= 0 {
				p.rest += end - 1
				continue
			}
			p.rest = len(p.file.Text)
			return
		default:
			return
		}
	}
}

// word reads one word, in quotes or not.
func (p *parser) word() (string, error) {
	text, start := p.file.Text, p.at()
	var b strings.Builder
	quote := text[p.rest]
	if quote == '"' || quote == '\'' {
		for p.rest++; p.rest < len(text) && text[p.rest] != quote; p.rest++ {
			if p.character(&b) {
				break
			}
		}
		if p.rest >= len(text) {
			return "", start.Errorf("a quote is not closed")
		}
		p.rest++
		if p.rest < len(text) && strings.IndexByte(" \t\r\n;{)", text[p.rest]) < 0 {
			return "", p.at().Errorf("there is no space behind a quote")
		}
		return b.String(), nil
	}
	for ; p.rest < len(text); p.rest++ {
		switch c := text[p.rest]; {
		case strings.IndexByte(" \t\r\n;", c) >= 0:
			return b.String(), nil
		case c == '{' && !(p.rest > 0 && text[p.rest-1] == '$'):
			return b.String(), nil
		case p.character(&b):
			return "", start.Errorf("a \\ at the end of the file")
		}
	}
	return b.String(), nil
}

// character reads one of a word. It returns whether the file ends in an escape.
func (p *parser) character(b *strings.Builder) (ended bool) {
	c := p.file.Text[p.rest]
	if c == '\n' {
		p.line++
	}
	if c != '\\' {
		b.WriteByte(c)
		return false
	}
	if p.rest++; p.rest >= len(p.file.Text) {
		return true
	}
	switch c := p.file.Text[p.rest]; c {
	case '"', '\'', '\\':
		b.WriteByte(c)
	case 't':
		b.WriteByte('\t')
	case 'r':
		b.WriteByte('\r')
	case 'n':
		b.WriteByte('\n')
	default:
		b.WriteString("\\" + string(c))
	}
	return false
}

// include reads the files that a directive names. One that is made of nothing but types of files may
// be missing.
func (p *parser) include(d *Directive, files int) (all []*Directive, _ error) {
	if len(d.Args) != 1 {
		return nil, d.Pos.Errorf("include takes one name of a file")
	}
	pattern := d.Args[0]
	if base := pattern[strings.LastIndexByte(pattern, '/')+1:]; base == "mime.types" {
		return nil, nil
	}
	if p.source.Include == nil {
		return nil, d.Pos.Errorf("include %s: nothing can be included here", pattern)
	}
	included, err := p.source.Include(pattern)
	if err != nil {
		return nil, d.Pos.Errorf("include %s: %w", pattern, err)
	}
	for _, f := range included {
		more, err := parse(p.source, f, p.files, files+1)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// A Scope is a block and those around it, which it inherits from.
type Scope struct {
	Block []*Directive
	Up    *Scope
}

// Own returns the directives of a name in the block itself.
func (s *Scope) Own(name string) (all []*Directive) {
	for _, d := range s.Block {
		if d.Name == name {
			all = append(all, d)
		}
	}
	return all
}

// All returns the directives of a name that hold in the scope: those of the innermost block that has
// any.
func (s *Scope) All(name string) []*Directive {
	for ; s != nil; s = s.Up {
		if found := s.Own(name); len(found) > 0 {
			return found
		}
	}
	return nil
}

// Get returns the last directive of a name that holds in the scope, or nil.
func (s *Scope) Get(name string) *Directive {
	if all := s.All(name); len(all) > 0 {
		return all[len(all)-1]
	}
	return nil
}

// Value returns the first argument of the directive that holds, or "".
func (s *Scope) Value(name string) string {
	if d := s.Get(name); d != nil {
		return d.Arg(0)
	}
	return ""
}

// Effective returns all directives that hold in the scope.
func (s *Scope) Effective() (all []*Directive) {
	seen := map[string]bool{}
	for ; s != nil; s = s.Up {
		here := map[string]bool{}
		for _, d := range s.Block {
			if !seen[d.Name] {
				all = append(all, d)
				here[d.Name] = true
			}
		}
		for name := range here {
			seen[name] = true
		}
	}
	return all
}
