package caddyfile

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sluice/cmd/sluice/importer"
)

// imported returns what the import at the front of tokens stands for, and what follows it.
func (p *parser) imported(tokens []token, depth int, top bool) (imported, rest []token, _ error) {
	at := tokens[0].pos
	if depth >= maxImports {
		return nil, nil, at.Errorf("more than %d imports in each other", maxImports)
	}
	n := 1
	for n < len(tokens) && !tokens[n].first && !tokens[n].is("{") && !tokens[n].is("}") {
		n++
	}
	if n == 1 {
		return nil, nil, at.Errorf("import takes the name of a snippet or a file")
	}
	name, args, rest := tokens[1].text, tokens[2:n], tokens[n:]
	var block []token
	if len(rest) > 0 && rest[0].is("{") && !rest[0].first {
		var err error
		if block, rest, _, err = body(rest, tokens[0]); err != nil {
			return nil, nil, err
		}
	}
	found, ok := p.snippets[name]
	if !ok {
		var err error
		if found, err = p.include(name, tokens[0]); err != nil {
			return nil, nil, err
		}
	}
	imported = substitute(found, args, block, top)
	for _, t := range imported {
		p.bytes += len(t.text)
	}
	if p.tokens += 1 + len(imported); p.tokens > maxTokens || p.bytes > importer.MaxSize {
		return nil, nil, at.Errorf("imports make too much of it")
	}
	if len(imported) > 0 {
		imported[0].first = true
	}
	return imported, rest, nil
}

// include returns the words of the files that a pattern stands for, from the directory of the file that
// names it.
func (p *parser) include(pattern string, by token) (all []token, _ error) {
	if p.source.Include == nil {
		return nil, by.pos.Errorf("import %s: there is no such snippet, and no file can be included here", pattern)
	}
	path := pattern
	if dir := filepath.Dir(by.pos.File); !filepath.IsAbs(path) && dir != filepath.Dir(p.source.Files[0].Name) {
		abs, err := filepath.Abs(filepath.Join(dir, path))
		if err != nil {
			return nil, by.pos.Errorf("import %s: %w", pattern, err)
		}
		path = abs
	}
	files, err := p.source.Include(path)
	if err != nil {
		return nil, by.pos.Errorf("import %s: %w", pattern, err)
	}
	for _, f := range files {
		if base := filepath.Base(f.Name); strings.HasPrefix(base, ".") && strings.HasPrefix(filepath.Base(path), "*") {
			continue
		}
		if p.files++; p.files > maxFiles {
			return nil, by.pos.Errorf("more than %d files", maxFiles)
		}
		tokens, err := p.lex(f)
		if err != nil {
			return nil, err
		}
		all = append(all, tokens...)
	}
	return all, nil
}

// Placeholders that an import replaces.
var (
	argument  = regexp.MustCompile(`\{args(?:\.([0-9]{1,4})|\[([0-9]{1,4})\])\}`)
	arguments = regexp.MustCompile(`^\{args\[([0-9]{0,4}):([0-9]{0,4})\]\}$`)
)

// substitute returns a copy of tokens with the arguments and the block of an import in them. Those of
// snippets are left for the imports of these.
func substitute(tokens, args, block []token, top bool) (out []token) {
	for i := 0; i < len(tokens) && len(out) <= maxTokens; i++ {
		t := tokens[i]
		if top && t.first && i+1 < len(tokens) && tokens[i+1].is("{") && strings.HasPrefix(t.text, "(") {
			if inside, _, _, err := body(tokens[i+1:], t); err == nil {
				n := len(inside) + 3
				out = append(out, tokens[i:i+n]...)
				i += n - 1
				continue
			}
		}
		switch key, isKey := strings.CutPrefix(t.text, "{blocks."); {
		case t.text == "{block}":
			out = append(out, block...)
			continue
		case isKey && strings.HasSuffix(key, "}"):
			out = append(out, namedBlock(block, strings.TrimSuffix(key, "}"))...)
			continue
		}
		if m := arguments.FindStringSubmatch(t.text); m != nil {
			from, to := 0, len(args)
			if m[1] != "" {
				from, _ = strconv.Atoi(m[1])
			}
			if m[2] != "" {
				to, _ = strconv.Atoi(m[2])
			}
			for _, arg := range args[min(from, len(args)):max(min(to, len(args)), min(from, len(args)))] {
				arg.first = false
				out = append(out, arg)
			}
			continue
		}
		t.text = replaceArguments(t.text, args)
		out = append(out, t)
	}
	return out
}

// replaceArguments puts the arguments of an import into a word. It stops where that gets too long.
func replaceArguments(text string, args []token) string {
	var b strings.Builder
	last := 0
	for _, m := range argument.FindAllStringSubmatchIndex(text, -1) {
		digits := text[max(m[2], m[4]):max(m[3], m[5])]
		n, err := strconv.Atoi(digits)
		if err != nil || n >= len(args) || b.Len() > importer.MaxSize {
			continue
		}
		b.WriteString(text[last:m[0]])
		b.WriteString(args[n].text)
		last = m[1]
	}
	return b.String() + text[last:]
}

// namedBlock returns what stands behind a word in the block of an import: its arguments, or its block.
func namedBlock(tokens []token, name string) []token {
	open := 0
	for i, t := range tokens {
		switch {
		case t.is("{"):
			open++
		case t.is("}"):
			open--
		case open == 0 && t.first && t.text == name:
			n := i + 1
			for n < len(tokens) && !tokens[n].first && !tokens[n].is("{") {
				n++
			}
			found := slices.Clip(tokens[i+1 : n])
			if n < len(tokens) && tokens[n].is("{") {
				if inside, _, _, err := body(tokens[n:], t); err == nil {
					found = append(found, inside...)
				}
			}
			return found
		}
	}
	return nil
}
