package traefik

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/expression"
	"sluice/cmd/sluice/importer/match"
	"sluice/cmd/sluice/importer/traefik/document"
)

// A ruleReader reads a rule such as Host(`a.test`) && !PathPrefix(`/x`).
type ruleReader struct {
	text  string
	at    int
	depth int
	n     *document.Node
}

// readRule returns the matcher that the rule of a router is.
func readRule(n *document.Node) (*match.Matcher, error) {
	r := &ruleReader{text: n.Value, n: n}
	m, err := r.either()
	if err == nil && r.peek() != 0 {
		err = fmt.Errorf("it goes on with %q", r.text[r.at:])
	}
	if err != nil {
		return nil, n.Pos.Errorf("rule %s: %w", n.Value, err)
	}
	return m, nil
}

// peek returns the next byte that is no space, or 0.
func (r *ruleReader) peek() byte {
	for r.at < len(r.text) && strings.IndexByte(" \t\r\n", r.text[r.at]) >= 0 {
		r.at++
	}
	if r.at == len(r.text) {
		return 0
	}
	return r.text[r.at]
}

// next reports whether a text follows, and passes over it.
func (r *ruleReader) next(text string) bool {
	r.peek()
	if !strings.HasPrefix(r.text[r.at:], text) {
		return false
	}
	r.at += len(text)
	return true
}

func (r *ruleReader) either() (*match.Matcher, error) { return r.list(match.Any, "||", r.both) }
func (r *ruleReader) both() (*match.Matcher, error)   { return r.list(match.All, "&&", r.term) }

// list reads parts between operators.
func (r *ruleReader) list(kind match.Kind, operator string, part func() (*match.Matcher, error)) (*match.Matcher, error) {
	m := &match.Matcher{Kind: kind}
	for {
		one, err := part()
		if err != nil {
			return nil, err
		}
		m.Of = append(m.Of, one)
		if !r.next(operator) {
			break
		}
	}
	if len(m.Of) == 1 {
		return m.Of[0], nil
	}
	return m, nil
}

// term reads !term, (rule) or a function.
func (r *ruleReader) term() (*match.Matcher, error) {
	if r.depth++; r.depth > importer.MaxDepth {
		return nil, fmt.Errorf("more than %d in each other", importer.MaxDepth)
	}
	defer func() { r.depth-- }()
	switch {
	case r.next("!"):
		m, err := r.term()
		return &match.Matcher{Kind: match.Not, Of: []*match.Matcher{m}}, err
	case r.next("("):
		m, err := r.either()
		if err == nil && !r.next(")") {
			err = errors.New("a ( is not closed")
		}
		return m, err
	}
	r.peek()
	start := r.at
	for r.at < len(r.text) && (r.text[r.at] >= 'a' && r.text[r.at] <= 'z' || r.text[r.at] >= 'A' && r.text[r.at] <= 'Z') {
		r.at++
	}
	name := r.text[start:r.at]
	if name == "" || !r.next("(") {
		return nil, errors.New("a matcher such as Host(`example.com`) is expected at " + strconv.Quote(r.text[start:]))
	}
	args, err := r.arguments()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r.function(name, args), nil
}

// arguments reads texts in quotes up to a ).
func (r *ruleReader) arguments() (args []string, _ error) {
	for !r.next(")") {
		if len(args) > 0 && !r.next(",") {
			return nil, errors.New("a ) or a comma is expected")
		}
		quote := r.peek()
		if quote != '`' && quote != '"' {
			return nil, errors.New("its values are in backquotes")
		}
		r.at++
		start := r.at
		for r.at < len(r.text) && r.text[r.at] != quote {
			if quote == '"' && r.text[r.at] == '\\' && r.at+1 < len(r.text) {
				r.at++
			}
			r.at++
		}
		if r.at >= len(r.text) {
			return nil, errors.New("a quote is not closed")
		}
		text := r.text[start:r.at]
		r.at++
		if quote == '"' {
			unquoted, err := strconv.Unquote(`"` + text + `"`)
			if err != nil || !utf8.ValidString(unquoted) {
				return nil, errors.New("a value in quotes that cannot be read")
			}
			text = unquoted
		}
		args = append(args, text)
	}
	return args, nil
}

var hostName = regexp.MustCompile(`^(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

// function returns what a function of a rule takes.
func (r *ruleReader) function(name string, args []string) *match.Matcher {
	m := &match.Matcher{Kind: match.Unknown, Pos: r.n.Pos, Text: "rule: " + r.n.Value}
	pair := func(kind match.Kind) {
		if len(args) == 1 && kind == match.Query { // of version 2, in which several may stand
			name, value, _ := strings.Cut(args[0], "=")
			args = []string{name, value}
		}
		switch {
		case len(args) != 2 || args[0] == "" || strings.Contains(args[0], "="):
		case strings.EqualFold(args[0], "Upgrade") && strings.EqualFold(args[1], "websocket") && kind == match.Header:
			m.Kind = match.Socket
		case args[1] == "" || args[1] == "*" || strings.Contains(args[1], "{") || strings.EqualFold(args[0], "Host") || kind == match.Header && !importer.Settable(args[0]):
		default:
			m.Kind, m.Pair = kind, importer.Pair{Name: args[0], Value: args[1]}
		}
	}
	switch strings.ToLower(name) {
	case "host", "hostheader":
		m.Kind = match.Host
		for _, host := range args {
			host = strings.ToLower(strings.TrimSuffix(host, "."))
			if name, ok := strings.CutPrefix(host, "**."); ok { // as many names more as one likes
				host = "*." + name
			}
			m.Words = append(m.Words, host)
			if !hostName.MatchString(host) {
				m.Kind = match.Unknown
			}
		}
		if m.Kind == match.Unknown {
			m.Words = nil
		}
	case "hostregexp":
		for _, expression := range args {
			m.Words = append(m.Words, hostSuffix(expression))
		}
		switch {
		case slices.ContainsFunc(args, anyHost.MatchString):
			return &match.Matcher{Kind: match.Anything}
		case slices.Contains(m.Words, ""):
			m.Words = nil
		case !slices.ContainsFunc(args, func(e string) bool { return !anyName.MatchString(strings.ToLower(e)) }):
			m.Kind = match.Host
		}
	case "path", "pathprefix":
		m.Kind = match.Path
		for _, path := range args {
			if before, _, special := strings.Cut(path, "{"); special || !strings.HasPrefix(path, "/") {
				m.Kind, path = match.Unknown, before
			}
			if !strings.HasPrefix(path, "/") {
				path = "/"
			}
			m.Paths = append(m.Paths, importer.Paths{Text: path, Exact: strings.EqualFold(name, "Path") && m.Kind == match.Path})
		}
	case "pathregexp":
		return paths(m, args)
	case "method":
		m.Kind = match.Method
		for _, method := range args {
			m.Words = append(m.Words, strings.ToUpper(method))
		}
	case "header", "headers":
		pair(match.Header)
	case "query":
		pair(match.Query)
	}
	if m.Kind == match.Host && len(m.Words) == 0 || m.Kind == match.Path && len(m.Paths) == 0 || m.Kind == match.Method && len(m.Words) == 0 {
		m.Kind, m.Words, m.Paths = match.Unknown, nil, nil
	}
	return m
}

// suffix matches an expression for hosts that ends in a name.
var suffix = regexp.MustCompile(`^[^|]*?(?:[+*)}]|\{[^{}|]*\})((?:\\?\.[a-z0-9-]+)+)\$?$`)

// hostSuffix returns the pattern that has all hosts of an expression, "" if that is any.
func hostSuffix(expression string) string {
	m := suffix.FindStringSubmatch(strings.ToLower(expression))
	if m == nil {
		return ""
	}
	escaped := strings.Count(m[1], `\.`) == strings.Count(m[1], ".") && strings.HasSuffix(expression, "$")
	named := variable.MatchString(expression) && !strings.Contains(m[1], `\`) // {name:expression}.example.com of version 2
	if !escaped && !named {
		return ""
	}
	return "*" + strings.ReplaceAll(m[1], `\`, "")
}

// variable matches what stands for an expression in hosts of version 2.
var variable = regexp.MustCompile(`\{[A-Za-z][A-Za-z0-9_-]*[:}]`)

// anyHost matches an expression for all hosts.
var anyHost = regexp.MustCompile(`^(?:\^?\(?\.[+*]\)?\$?|\{[A-Za-z][A-Za-z0-9_-]*:\.[+*]\})$`)

// anyName matches an expression for all names below a domain.
var anyName = regexp.MustCompile(`^(?:\^?\(?\.[+*]\)?|\{[a-z]+:\.[+*]\})(?:\\?\.[a-z0-9-]+)+\$?$`)

// paths returns the matcher for regular expressions for paths, of which one has to match. like says where
// they stand.
func paths(like *match.Matcher, expressions []string) *match.Matcher {
	m := &match.Matcher{Kind: match.Any}
	for _, text := range expressions {
		p := expression.Read(text, false, false)
		if len(p.Exact) > 0 {
			m.Of = append(m.Of, &match.Matcher{Kind: match.Path, Paths: p.Exact, Pos: like.Pos, Text: like.Text})
		}
		if len(p.More) > 0 {
			m.Of = append(m.Of, &match.Matcher{Kind: match.Unknown, Paths: p.More, Pos: like.Pos, Text: like.Text})
		}
	}
	return m
}
