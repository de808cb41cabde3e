// Package caddyfile reads the syntax of Caddyfiles: words, blocks, snippets and imports, and what values in
// them stand for. It knows no directive.
package caddyfile

import (
	"strings"

	"sluice/cmd/sluice/importer"
)

// A Directive is a line of a Caddyfile with its block.
type Directive struct {
	Name   string
	Args   []string
	Quoted bool // its last argument is in quotes
	Block  []*Directive
	Pos    importer.Pos
	Text   string // as it stands in the file
}

// Arg returns an argument, or "".
func (d *Directive) Arg(i int) string {
	if i >= 0 && i < len(d.Args) {
		return d.Args[i]
	}
	return ""
}

// All returns the directives of a name in a block.
func All(block []*Directive, name string) (found []*Directive) {
	for _, d := range block {
		if d.Name == name {
			found = append(found, d)
		}
	}
	return found
}

// Get returns the last directive of a name in a block, or nil.
func Get(block []*Directive, name string) *Directive {
	if found := All(block, name); len(found) > 0 {
		return found[len(found)-1]
	}
	return nil
}

// A Site is a block with addresses.
type Site struct {
	Addresses []Address
	Block     []*Directive
	Pos       importer.Pos
	Text      string
}

// An Address is one of those that a site has, as it stands there.
type Address struct {
	Text string
	Pos  importer.Pos
}

// A File is a Caddyfile with all that it imports.
type File struct {
	Global []*Directive            // the options for all
	Routes map[string][]*Directive // those with a name, for invoke
	Sites  []*Site
}

// Parse reads the files of a source, each as a Caddyfile. lookup has the values of environment variables.
func Parse(source importer.Source, lookup func(string) (string, bool)) (*File, error) {
	p := &parser{source: &source, lookup: lookup, snippets: map[string][]token{}, file: &File{Routes: map[string][]*Directive{}}}
	for _, f := range source.Files {
		tokens, err := p.lex(f)
		if err != nil {
			return nil, err
		}
		if err := p.top(tokens, 0); err != nil {
			return nil, err
		}
	}
	return p.file, nil
}

const (
	maxTokens  = 200_000 // that imports make, all together
	maxImports = 20      // in each other
	maxFiles   = 500
)

// A parser reads files, and puts in the place of each import what it stands for.
type parser struct {
	source   *importer.Source
	lookup   func(string) (string, bool) // of environment variables
	snippets map[string][]token
	tokens   int // that imports have made
	bytes    int // of these
	files    int

	file *File
}

func (p *parser) lex(f importer.File) ([]token, error) {
	f, err := expandEnvironment(f, p.lookup)
	if err != nil {
		return nil, err
	}
	return lex(&f)
}

// top reads what stands outside of blocks: options, snippets, routes with a name and sites.
func (p *parser) top(tokens []token, depth int) error {
	for len(tokens) > 0 {
		if tokens[0].is("import") {
			imported, rest, err := p.imported(tokens, depth, true)
			if err == nil {
				err = p.top(imported, depth+1)
			}
			if err != nil {
				return err
			}
			tokens = rest
			continue
		}
		addresses, rest, err := addresses(tokens)
		if err != nil {
			return err
		}
		body, rest, braces, err := body(rest, tokens[0])
		if err != nil {
			return err
		}
		if name, ok := snippetName(addresses, "("); ok && braces {
			if _, again := p.snippets[name]; again {
				return tokens[0].pos.Errorf("there are two snippets (%s)", name)
			}
			p.snippets[name] = body
			tokens = rest
			continue
		}
		if body, err = p.expand(body, depth); err != nil {
			return err
		}
		block, left, err := tree(body, 0)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return left[0].pos.Errorf("a } that closes nothing")
		}
		switch name, isRoute := snippetName(addresses, "&("); {
		case isRoute:
			p.file.Routes[name] = block
		case len(addresses) > 0:
			site := &Site{Block: block, Pos: tokens[0].pos, Text: span(tokens[:len(tokens)-len(rest)])}
			for _, t := range addresses {
				site.Addresses = append(site.Addresses, Address{t.text, t.pos})
			}
			p.file.Sites = append(p.file.Sites, site)
		case len(p.file.Sites) > 0 || p.file.Global != nil:
			return tokens[0].pos.Errorf("a block without addresses has the options for all, and stands first")
		default:
			p.file.Global = block
		}
		tokens = rest
	}
	return nil
}

// snippetName returns the name of (name) or &(name).
func snippetName(addresses []token, open string) (name string, ok bool) {
	if len(addresses) != 1 {
		return "", false
	}
	name, ok = strings.CutPrefix(addresses[0].text, open)
	name, closed := strings.CutSuffix(name, ")")
	return name, ok && closed
}

// addresses returns the words before a block. They end with their line, unless a comma is last in it.
func addresses(tokens []token) (found, rest []token, _ error) {
	more := true
	for i, t := range tokens {
		switch {
		case t.is("{"):
			return found, tokens[i:], nil
		case t.first && !more:
			return found, tokens[i:], nil
		case t.is("}"):
			return nil, nil, t.pos.Errorf("a } that closes nothing")
		case strings.HasSuffix(t.text, "{") && !t.quoted:
			return nil, nil, t.pos.Errorf("%s: a space has to stand before the {", t.text)
		case strings.HasPrefix(t.text, "@"):
			return nil, nil, t.pos.Errorf("%s: a matcher stands in the block of a site", t.text)
		}
		t.text, more = strings.CutSuffix(t.text, ",")
		if t.text != "" {
			found = append(found, t)
		}
	}
	return found, nil, nil
}

// body returns the words of a block that begins at the front of tokens, without its braces. Without
// braces it is all that follows.
func body(tokens []token, owner token) (inside, rest []token, braces bool, _ error) {
	if len(tokens) == 0 || !tokens[0].is("{") {
		return tokens, nil, false, nil
	}
	open := 0
	for i, t := range tokens {
		switch {
		case t.is("{"):
			open++
		case t.is("}"):
			if open--; open == 0 {
				return tokens[1:i], tokens[i+1:], true, nil
			}
		}
	}
	return nil, nil, false, owner.pos.Errorf("%s has no } at its end", owner.text)
}

// expand puts in the place of each import in a block what it stands for.
func (p *parser) expand(tokens []token, depth int) (out []token, _ error) {
	for len(tokens) > 0 {
		if !tokens[0].is("import") || !tokens[0].first {
			out, tokens = append(out, tokens[0]), tokens[1:]
			continue
		}
		imported, rest, err := p.imported(tokens, depth, false)
		if err == nil {
			imported, err = p.expand(imported, depth+1)
		}
		if err != nil {
			return nil, err
		}
		out, tokens = append(out, imported...), rest
	}
	return out, nil
}

// tree reads the directives of a block, up to the } that ends it.
func tree(tokens []token, depth int) (all []*Directive, rest []token, _ error) {
	for len(tokens) > 0 && !tokens[0].is("}") {
		t := tokens[0]
		d := &Directive{Name: t.text, Pos: t.pos}
		if t.is("{") {
			return nil, nil, t.pos.Errorf("a { stands at the end of a line, behind what it belongs to")
		}
		n := 1
		for n < len(tokens) && !tokens[n].first && !tokens[n].is("{") && !tokens[n].is("}") && !tokens[n].is("{}") {
			d.Args, d.Quoted = append(d.Args, tokens[n].text), tokens[n].quoted
			n++
		}
		rest := tokens[n:]
		switch {
		case len(rest) == 0 || rest[0].first || rest[0].is("}"):
		case rest[0].is("{}"):
			rest = rest[1:]
		default:
			if depth >= importer.MaxDepth {
				return nil, nil, t.pos.Errorf("blocks are more than %d deep", importer.MaxDepth)
			}
			if len(rest) > 1 && !rest[1].first && !rest[1].is("}") {
				return nil, nil, rest[1].pos.Errorf("what follows a { begins on the next line")
			}
			var err error
			if d.Block, rest, err = tree(rest[1:], depth+1); err != nil {
				return nil, nil, err
			}
			if len(rest) == 0 {
				return nil, nil, t.pos.Errorf("%s has no } at its end", t.text)
			}
			rest = rest[1:]
		}
		if len(rest) > 0 && !rest[0].first && !rest[0].is("}") {
			return nil, nil, rest[0].pos.Errorf("what follows a } begins on the next line")
		}
		d.Text = span(tokens[:len(tokens)-len(rest)])
		all, tokens = append(all, d), rest
	}
	return all, tokens, nil
}

// span returns the text of tokens as it stands in their file.
func span(tokens []token) string {
	first, last := tokens[0], tokens[len(tokens)-1]
	if first.file == last.file && first.start < last.end {
		return first.file.Text[first.start:last.end]
	}
	var words []string
	for i, t := range tokens {
		if i > 0 && t.first {
			break
		}
		words = append(words, t.text)
	}
	return strings.Join(words, " ")
}
