package handle

import (
	"regexp"
	"slices"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/caddy/caddyfile"
	"sluice/cmd/sluice/importer/expression"
	"sluice/cmd/sluice/importer/match"
)

// A named matcher is one that is defined under a name.
type named struct {
	*match.Matcher
	path string // if it asks for one path, which decides about the order of directives
}

// define reads the definition of a matcher.
func (c *Config) define(d *caddyfile.Directive) (n named) {
	if len(d.Args) == 1 && d.Quoted {
		n.Matcher = &match.Matcher{Kind: match.Unknown, Pos: d.Pos, Text: d.Text}
		return n
	}
	lines := conditions(d)
	n.Matcher = c.set(lines)
	var paths []string
	for _, line := range caddyfile.All(lines, "path") {
		paths = append(paths, line.Args...)
	}
	if len(paths) == 1 {
		n.path = paths[0]
	}
	return n
}

// conditions returns the lines of a definition or of a not: those of its block, or the rest of its own.
func conditions(d *caddyfile.Directive) []*caddyfile.Directive {
	if len(d.Args) == 0 {
		return d.Block
	}
	return []*caddyfile.Directive{{Name: d.Args[0], Args: d.Args[1:], Quoted: d.Quoted, Block: d.Block, Pos: d.Pos, Text: d.Text}}
}

// set reads lines that must all be met. Those of one name, but for not, are one list. Of a handshake for
// WebSockets the header Connection says no more than Upgrade.
func (c *Config) set(lines []*caddyfile.Directive) *match.Matcher {
	m := &match.Matcher{Kind: match.All}
	byName := map[string]*match.Matcher{}
	var connection *match.Matcher
	socket := false
	for _, d := range parameters(lines) {
		one := c.line(d)
		key := d.Name
		switch name, _, _ := strings.Cut(d.Arg(0), "="); key {
		case "header":
			key += " " + strings.ToLower(name)
		case "query":
			key += " " + name
		}
		if list := byName[key]; list != nil && d.Name != "not" {
			list.Of = append(list.Of, one)
			continue
		}
		list := &match.Matcher{Kind: match.Any, Of: []*match.Matcher{one}}
		byName[key] = list
		m.Of = append(m.Of, list)
		socket = socket || one.Kind == match.Socket
		if key == "header connection" && strings.Contains(strings.ToLower(d.Arg(1)), "upgrade") {
			connection = list
		}
	}
	if socket && connection != nil {
		m.Of = slices.DeleteFunc(m.Of, func(list *match.Matcher) bool { return list == connection })
	}
	return m
}

// parameters returns the lines of a matcher with one parameter in each that is about the query.
func parameters(lines []*caddyfile.Directive) (all []*caddyfile.Directive) {
	for _, d := range lines {
		if d.Name != "query" || len(d.Args) < 2 {
			all = append(all, d)
			continue
		}
		for _, arg := range d.Args {
			one := *d
			one.Args = []string{arg}
			all = append(all, &one)
		}
	}
	return all
}

// line reads one line of a matcher.
func (c *Config) line(d *caddyfile.Directive) *match.Matcher {
	m := &match.Matcher{Kind: match.Unknown, Pos: d.Pos, Text: d.Text}
	switch d.Name {
	case "path":
		return paths(d, d.Args)
	case "host":
		for _, host := range d.Args {
			if host = strings.ToLower(host); !caddyfile.IsHost(host) {
				m.Words = nil
				return m
			}
			m.Words = append(m.Words, host)
		}
		m.Kind = match.Host
	case "method":
		m.Kind = match.Method
		for _, method := range d.Args {
			m.Words = append(m.Words, strings.ToUpper(method))
		}
	case "header":
		return header(d)
	case "query":
		return query(d)
	case "protocol":
		secure, plain := c.secure, c.plain
		switch {
		case d.Arg(0) == "https" && !plain || d.Arg(0) == "http" && !secure:
			m.Kind = match.Anything
		case d.Arg(0) == "https" && !secure || d.Arg(0) == "http" && !plain:
			m.Kind = match.Nothing
		}
	case "path_regexp":
		return expressions(d, d.Arg(len(d.Args)-1), false)
	case "not":
		m.Kind, m.Of = match.Not, []*match.Matcher{c.set(conditions(d))}
	}
	return m
}

// paths reads patterns for paths, of which one has to match.
func paths(d *caddyfile.Directive, patterns []string) *match.Matcher {
	known := &match.Matcher{Kind: match.Path, FoldCase: true, Pos: d.Pos, Text: d.Text}
	m := &match.Matcher{Kind: match.Any}
	for _, pattern := range patterns {
		text, star := strings.CutSuffix(pattern, "*")
		suffix, ends := strings.CutPrefix(pattern, "*")
		switch {
		case pattern == "*":
			return &match.Matcher{Kind: match.Anything}
		case !strings.ContainsAny(text, wild):
			if strings.HasPrefix(text, "/") { // no path begins with anything else
				known.Paths = append(known.Paths, importer.Paths{Text: text, Exact: !star})
			}
		case ends && !strings.ContainsAny(suffix, wild+"/"):
			known.Paths = append(known.Paths, importer.Ending("/", suffix))
		case strings.ContainsAny(pattern, unclear):
			begin, _, _ := strings.Cut(pattern[:strings.IndexAny(pattern, unclear)], "*")
			if !strings.HasPrefix(begin, "/") {
				begin = "/"
			}
			m.Of = append(m.Of, &match.Matcher{Kind: match.Unknown, Paths: []importer.Paths{importer.Beginning(begin)}, FoldCase: true, Pos: d.Pos, Text: d.Text})
		default:
			m.Of = append(m.Of, expressions(d, glob(pattern), true))
		}
	}
	if len(known.Paths) > 0 {
		m.Of = append(m.Of, known)
	}
	if len(m.Of) == 1 {
		return m.Of[0]
	}
	return m
}

// Characters that stand for others in a pattern for paths. What a pattern with the unclear ones takes is not
// told here.
const (
	wild    = "*?" + unclear
	unclear = `[\%{`
)

// glob returns the regular expression for a pattern. A '*' at its front or at its end stands for segments
// too, unless there are others in it.
func glob(pattern string) string {
	text, before := strings.CutPrefix(pattern, "*")
	text, behind := strings.CutSuffix(text, "*")
	switch quoted := regexp.QuoteMeta(text); {
	case strings.Contains(text, "*"), !before && !behind:
	case before && behind:
		return quoted
	case before:
		return quoted + "$"
	default:
		return "^" + quoted
	}
	return "^" + strings.NewReplacer(`\*`, "[^/]*", `\?`, "[^/]").Replace(regexp.QuoteMeta(pattern)) + "$"
}

// expressions returns the matcher for a regular expression for paths. With fold they ignore case, for which
// the expression has no word.
func expressions(d *caddyfile.Directive, text string, fold bool) *match.Matcher {
	p := expression.Read(text, false, false)
	m := &match.Matcher{Kind: match.Any}
	if len(p.Exact) > 0 {
		m.Of = append(m.Of, &match.Matcher{Kind: match.Path, Paths: p.Exact, FoldCase: fold, Pos: d.Pos, Text: d.Text})
	}
	if len(p.More) > 0 {
		m.Of = append(m.Of, &match.Matcher{Kind: match.Unknown, Paths: p.More, FoldCase: fold, Pos: d.Pos, Text: d.Text})
	}
	return m
}

// header reads a line about a header.
func header(d *caddyfile.Directive) *match.Matcher {
	m := &match.Matcher{Kind: match.Header, Pos: d.Pos, Text: d.Text, Pair: importer.Pair{Name: d.Arg(0), Value: d.Arg(1)}}
	if len(d.Args) == 1 {
		m.Pair.Value = "*"
	}
	name, absent := strings.CutPrefix(m.Pair.Name, "!")
	switch {
	case absent:
		return &match.Matcher{Kind: match.Not, Pos: d.Pos, Text: d.Text, Of: []*match.Matcher{{Kind: match.Header, Pos: d.Pos, Text: d.Text, Pair: importer.Pair{Name: name, Value: "*"}}}}
	case strings.EqualFold(name, "Upgrade") && strings.EqualFold(m.Pair.Value, "websocket"):
		m.Kind = match.Socket
	case name == "" || strings.EqualFold(name, "Host") || !importer.Settable(name):
		m.Kind = match.Unknown
	case m.Pair.Value != "*" && strings.Contains(m.Pair.Value, "*") || strings.Contains(m.Pair.Value, "{") || m.Pair.Value == "":
		m.Kind = match.Unknown
	}
	return m
}

// query reads a line about one parameter of the query.
func query(d *caddyfile.Directive) *match.Matcher {
	name, value, _ := strings.Cut(d.Arg(0), "=")
	m := &match.Matcher{Kind: match.Query, Pos: d.Pos, Text: d.Text, Pair: importer.Pair{Name: name, Value: value}}
	if name == "" || value == "" || strings.Contains(d.Arg(0), "{") {
		m.Kind = match.Unknown
	}
	return m
}
