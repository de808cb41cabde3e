package haproxy

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/expression"
	"sluice/cmd/sluice/importer/haproxy/section"
	"sluice/cmd/sluice/importer/match"
)

// A reading is how conditions of a step are read.
type reading struct {
	proxy  *proxy
	line   section.Line // of the step
	tls    tri
	strict bool // no request may be missed: the step keeps clients from something
}

// matcher returns what the condition of a step takes; nil is everything.
func (r reading) matcher(s step) (*match.Matcher, error) {
	if len(s.condition) == 0 {
		return nil, nil
	}
	r.line = s.Line
	r.strict = r.strict || s.unless // what is negated has to be known in full
	all := &match.Matcher{Kind: match.Any}
	part := &match.Matcher{Kind: match.All}
	all.Of = append(all.Of, part)
	not := false
	for words := s.condition; len(words) > 0; {
		word := words[0]
		words = words[1:]
		if word == "||" || word == "or" || word == "OR" {
			part = &match.Matcher{Kind: match.All}
			all.Of = append(all.Of, part)
			continue
		}
		for strings.HasPrefix(word, "!") {
			not, word = !not, word[1:]
		}
		if word == "" {
			continue
		}
		one := r
		one.strict = r.strict || not
		var m *match.Matcher
		var err error
		if word == "{" {
			end := slices.Index(words, "}")
			if end < 1 {
				return nil, s.Pos.Errorf("a { has no } with something between")
			}
			m = one.criterion(section.Line{Words: words[:end], Pos: s.Pos, Text: s.Text})
			words = words[end+1:]
		} else if m, err = one.named(word); err != nil {
			return nil, err
		}
		if not {
			m, not = &match.Matcher{Kind: match.Not, Of: []*match.Matcher{m}}, false
		}
		part.Of = append(part.Of, m)
	}
	for _, part := range all.Of { // what is known first, so that the rest refuses no more than it has to
		slices.SortStableFunc(part.Of, func(a, b *match.Matcher) int { return unknownLast(a) - unknownLast(b) })
	}
	if s.unless {
		return &match.Matcher{Kind: match.Not, Of: []*match.Matcher{all}}, nil
	}
	return all, nil
}

func unknownLast(m *match.Matcher) int {
	if m.IsUnknown() {
		return 1
	}
	return 0
}

// named returns what an ACL takes.
func (r reading) named(name string) (*match.Matcher, error) {
	if lines := r.proxy.acls[name]; len(lines) > 0 {
		all := &match.Matcher{Kind: match.Any}
		for _, l := range lines {
			all.Of = append(all.Of, r.criterion(section.Line{Words: l.Words[2:], Pos: l.Pos, Text: l.Text}))
		}
		return all, nil
	}
	method, isMethod := strings.CutPrefix(name, "METH_")
	switch {
	case method == "GET":
		return &match.Matcher{Kind: match.Method, Words: []string{"GET", "HEAD"}}, nil
	case isMethod:
		return &match.Matcher{Kind: match.Method, Words: []string{method}}, nil
	case name == "TRUE" || name == "HTTP" || name == "WAIT_END":
		return &match.Matcher{Kind: match.Anything}, nil
	case name == "FALSE":
		return &match.Matcher{Kind: match.Nothing}, nil
	case slices.Contains(strings.Fields("HTTP_1.0 HTTP_1.1 HTTP_2.0 HTTP_CONTENT HTTP_URL_ABS HTTP_URL_SLASH HTTP_URL_STAR LOCALHOST REQ_CONTENT RDP_COOKIE"), name):
		return r.unknown(r.line), nil
	}
	return nil, r.line.Pos.Errorf("there is no acl %s in this section", name)
}

// unknown returns a matcher that may take every request, or only those for some paths.
func (r reading) unknown(l section.Line, paths ...importer.Paths) *match.Matcher {
	return &match.Matcher{Kind: match.Unknown, Paths: paths, Pos: l.Pos, Text: l.Text}
}

// criterion returns what one test takes: what is fetched, flags, values.
func (r reading) criterion(l section.Line) *match.Matcher {
	fetch, converters, _ := strings.Cut(l.Words[0], ",")
	if i := strings.IndexByte(fetch, '('); i >= 0 && !strings.HasSuffix(fetch, ")") { // the comma is in the brackets
		return r.unknown(l)
	}
	name, argument, _ := strings.Cut(strings.TrimSuffix(fetch, ")"), "(")
	t := test{reading: r, Line: l, argument: argument, method: "str"}
	for _, suffix := range []string{"_beg", "_end", "_dom", "_sub", "_reg", "_dir", "_len"} {
		if rest, ok := strings.CutSuffix(name, suffix); ok && !strings.HasPrefix(name, "ssl_") {
			name, t.method = rest, suffix[1:]
			break
		}
	}
	words := l.Words[1:]
	for len(words) > 0 && strings.HasPrefix(words[0], "-") {
		flag := words[0]
		words = words[1:]
		switch {
		case flag == "--":
		case flag == "-i":
			t.fold = true
			continue
		case flag == "-m" && len(words) > 0:
			t.method, words = words[0], words[1:]
			continue
		default:
			return r.unknown(l) // values in a file, and the like
		}
		break
	}
	t.values = words
	for _, c := range strings.Split(converters, ",") {
		switch {
		case c == "" || c == "url_dec":
		case c == "lower":
			t.fold = true
		case name == "hdr" || name == "req.hdr":
			if !strings.EqualFold(t.argument, "host") || c != "field(1" && c != ":)" && c != "host_only" {
				return r.unknown(l)
			}
		default:
			return r.unknown(l)
		}
	}
	return t.matcher(name)
}

// A test compares what is fetched with values.
type test struct {
	reading
	section.Line
	argument string // of what is fetched, as in hdr(host)
	method   string
	fold     bool
	values   []string
}

// matcher returns what a test of something takes.
func (t test) matcher(name string) *match.Matcher {
	switch name {
	case "path":
		return t.each(t.path)
	case "url":
		if t.method == "beg" && !strings.Contains(strings.Join(t.values, ""), "?") {
			return t.each(t.path)
		}
	case "hdr", "req.hdr", "req.fhdr", "fhdr":
		if strings.EqualFold(t.argument, "host") {
			return t.each(t.host)
		}
		return t.header()
	case "method":
		if t.strict && slices.Contains(t.values, "GET") && !slices.Contains(t.values, "HEAD") || t.method != "str" || t.fold {
			break // sluice takes HEAD for GET
		}
		return &match.Matcher{Kind: match.Method, Words: t.values}
	case "url_param", "urlp":
		return t.parameter()
	case "ssl_fc":
		if t.tls == either {
			break
		}
		return &match.Matcher{Kind: map[tri]match.Kind{yes: match.Anything, no: match.Nothing}[t.tls]}
	case "always_true":
		return &match.Matcher{Kind: match.Anything}
	case "always_false":
		return &match.Matcher{Kind: match.Nothing}
	}
	return t.unknown(t.Line)
}

// each returns what any of the values takes.
func (t test) each(one func(string) *match.Matcher) *match.Matcher {
	if t.method == "found" {
		return &match.Matcher{Kind: match.Anything} // every request has it
	}
	if len(t.values) == 0 {
		return t.unknown(t.Line)
	}
	all := &match.Matcher{Kind: match.Any}
	for _, value := range t.values {
		all.Of = append(all.Of, one(value))
	}
	return all
}

func (t test) among(paths ...importer.Paths) *match.Matcher {
	return &match.Matcher{Kind: match.Path, Paths: paths, Pos: t.Pos, Text: t.Text}
}

// path returns what a value for a path takes.
func (t test) path(value string) *match.Matcher {
	if t.method == "reg" {
		return t.expression(value)
	}
	plain, err := url.PathUnescape(value)
	texts, few := []string{plain}, true
	if t.fold {
		texts, few = expression.Spellings(plain)
	}
	if err != nil || !few || !utf8.ValidString(plain) || strings.Contains(strings.ToUpper(value), "%2F") { // which is no '/' for sluice either
		return t.unknown(t.Line)
	}
	all := &match.Matcher{Kind: match.Any}
	for _, text := range texts {
		name := text[strings.LastIndexByte(text, '/')+1:]
		switch {
		case t.method == "beg" && text == "":
			return &match.Matcher{Kind: match.Anything}
		case t.method == "end" && name == text:
			all.Of = append(all.Of, t.among(importer.Ending("/", name)))
		case t.method == "end":
			all.Of = append(all.Of, t.unknown(t.Line, importer.Ending("/", name)))
		case t.method != "beg" && t.method != "str":
			return t.unknown(t.Line)
		case !strings.HasPrefix(text, "/"): // no path begins so
		default:
			all.Of = append(all.Of, t.among(importer.Paths{Text: text, Exact: t.method == "str"}))
		}
	}
	return all
}

// expression returns what an expression for a path takes.
func (t test) expression(text string) *match.Matcher {
	if strings.Contains(text, "%") { // HAProxy does not decode paths
		return t.unknown(t.Line)
	}
	known := expression.Read(text, t.fold, false)
	all := &match.Matcher{Kind: match.Any}
	more := known.More
	for _, p := range known.Exact {
		if strings.Contains(p.Text, importer.Any) {
			before, _, _ := strings.Cut(p.Text, importer.Any)
			more = append(more, importer.Beginning(before))
			continue
		}
		all.Of = append(all.Of, t.among(p))
	}
	for _, p := range more {
		if before, _, open := strings.Cut(p.Text, importer.Any); open {
			p = importer.Beginning(before)
		}
		all.Of = append(all.Of, t.unknown(t.Line, p))
	}
	return all
}

// host returns what a value for the host takes.
func (t test) host(value string) *match.Matcher {
	hosts := func(names ...string) *match.Matcher { return &match.Matcher{Kind: match.Host, Words: names} }
	value = strings.ToLower(value)
	name := strings.TrimPrefix(value, ".")
	switch {
	case t.method == "reg":
		return t.hostExpression(value)
	case !isName(name):
		return t.unknown(t.Line)
	case t.method == "str" && name == value:
		return hosts(value)
	case t.method == "end" && name != value:
		return hosts("*" + value)
	case (t.method == "end" || t.method == "dom") && name == value && !t.strict:
		return hosts(value, "*."+value) // and not what ends so inside of a name
	}
	return t.unknown(t.Line)
}

// hostExpression reads an expression for hosts as one for paths.
func (t test) hostExpression(text string) *match.Matcher {
	rest, begins := strings.CutPrefix(text, "^")
	if !begins {
		return t.unknown(t.Line)
	}
	known := expression.Read("^/"+rest, true, true)
	all := &match.Matcher{Kind: match.Host}
	for _, p := range known.Exact {
		host := p.Text[1:]
		if p.Text == "/" && strings.HasPrefix(p.Suffix, ".") {
			host = "*" + p.Suffix
		} else if !p.Exact {
			return t.unknown(t.Line)
		}
		if !isName(strings.TrimPrefix(host, "*.")) {
			return t.unknown(t.Line)
		}
		all.Words = append(all.Words, host)
	}
	if len(known.More) > 0 || len(all.Words) == 0 {
		return t.unknown(t.Line)
	}
	return all
}

// isName reports whether a text may be the name of a host.
func isName(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool {
		return c != '-' && c != '.' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z')
	})
}

// header returns what a test of another header takes.
func (t test) header() *match.Matcher {
	if len(t.values) > 0 && !slices.ContainsFunc(t.values, func(v string) bool { return !isWebSocket(t.argument, v) }) {
		return &match.Matcher{Kind: match.Socket}
	}
	return t.pairs(match.Header, t.argument != "")
}

// parameter returns what a test of a parameter of the query takes.
func (t test) parameter() *match.Matcher {
	name, _, _ := strings.Cut(t.argument, ",")
	return t.pairs(match.Query, name == t.argument && name != "")
}

// pairs returns what a test of a header or parameter takes. HAProxy looks at each value of a list, and
// sluice at the whole, so a test that no request may escape is not known.
func (t test) pairs(kind match.Kind, ok bool) *match.Matcher {
	all := &match.Matcher{Kind: match.Any}
	values := t.values
	switch {
	case t.strict || !ok:
		return t.unknown(t.Line)
	case t.method == "found":
		values = []string{"*"}
	case t.method != "str" || t.fold || len(values) == 0 || slices.Contains(values, "*"):
		return t.unknown(t.Line)
	}
	for _, v := range values {
		all.Of = append(all.Of, &match.Matcher{Kind: kind, Pair: importer.Pair{Name: t.argument, Value: v}, Pos: t.Pos, Text: t.Text})
	}
	return all
}
