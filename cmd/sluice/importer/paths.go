package importer

import "strings"

// Paths is a set of paths as sources describe them: one path, all that begin with a text, or those of
// them that end in another.
type Paths struct {
	Text   string // unescaped, in UTF-8; begins with a '/'. [Any] in it, between two '/', is every segment but the empty one
	Exact  bool   // that path; else all that begin so
	Suffix string // and end so; it has no '/'. Neither with Exact nor with [Any]
	Longer bool   // without the name that is Suffix alone, next to Text: /*.php has /a.php and not /.php
}

// Any is a segment of [Paths.Text] that stands for every segment but the empty one. It is no UTF-8, and so is in no
// source.
const Any = "\xff"

// Exactly is the set of one path.
func Exactly(path string) Paths { return Paths{Text: path, Exact: true} }

// Beginning is the set of all paths that begin with a text.
func Beginning(text string) Paths { return Paths{Text: text} }

// Ending is the set of all paths that begin with a text and end in another, which has no '/'.
func Ending(text, suffix string) Paths { return Paths{Text: text, Suffix: suffix} }

// Contains reports whether all paths of q are in p.
func (p Paths) Contains(q Paths) bool {
	switch {
	case p.open():
		return p.containsSegments(q)
	case p.Exact:
		return q.Exact && p.Text == q.Text
	case !strings.HasPrefix(q.Text, p.Text):
		return false
	case q.Exact:
		return strings.HasSuffix(q.Text, p.Suffix) && !(p.Longer && q.Text == p.alone())
	}
	return strings.HasSuffix(q.Suffix, p.Suffix) && !(p.Longer && q.Contains(Exactly(p.alone())))
}

// Intersect returns what is in both sets; ok is false if that is nothing. Where one of them has [Any],
// and neither contains the other, it returns p, which may be more.
func (p Paths) Intersect(q Paths) (both Paths, ok bool) {
	switch {
	case p.Contains(q):
		return q, true
	case q.Contains(p):
		return p, true
	case p.open() || q.open():
		return p, p.meets(q)
	case p.Exact || q.Exact:
		return Paths{}, false
	}
	both, other := p, q
	if len(q.Text) > len(p.Text) {
		both, other = q, p
	}
	if !strings.HasSuffix(both.Suffix, other.Suffix) {
		both.Suffix, other.Suffix = other.Suffix, both.Suffix
	}
	if !strings.HasPrefix(both.Text, other.Text) || !strings.HasSuffix(both.Suffix, other.Suffix) {
		return Paths{}, false
	}
	both.Longer = p.Longer && p.alone() == both.alone() || q.Longer && q.alone() == both.alone()
	return both, true
}

// directory returns the text up to its last '/'.
func (p Paths) directory() string { return p.Text[:strings.LastIndexByte(p.Text, '/')+1] }

// alone returns the path that Longer leaves out.
func (p Paths) alone() string { return p.directory() + p.Suffix }

// open reports whether a segment of p is [Any].
func (p Paths) open() bool { return strings.Contains(p.Text, Any) }

// containsSegments is Contains where p has [Any].
func (p Paths) containsSegments(q Paths) bool {
	a, b := strings.Split(p.Text, "/"), strings.Split(q.Text, "/")
	if len(a) > len(b) || p.Exact && (!q.Exact || len(a) != len(b)) {
		return false
	}
	for i, s := range a {
		switch partial := i == len(b)-1 && !q.Exact; {
		case s == Any && (b[i] == "" || partial):
			return false
		case s == Any:
		case i == len(a)-1 && !p.Exact:
			return strings.HasPrefix(b[i], s)
		case s != b[i]:
			return false
		}
	}
	return true
}

// meets reports whether there may be a path in both sets, segment by segment.
func (p Paths) meets(q Paths) bool {
	a, b := strings.Split(p.Text, "/"), strings.Split(q.Text, "/")
	if len(a) > len(b) {
		return q.meets(p)
	}
	if p.Exact && len(a) != len(b) {
		return false
	}
	for i, s := range a {
		t := b[i]
		begins, begun := i == len(a)-1 && !p.Exact, i == len(b)-1 && !q.Exact // they are the beginning of a segment
		switch {
		case s == Any && (t != "" || begun), t == Any && (s != "" || begins), s == t:
		case begins && strings.HasPrefix(t, s), begun && strings.HasPrefix(s, t):
		default:
			return false
		}
	}
	ends := func(p, q Paths) bool { // what is in p may end as q does
		last := p.Text[strings.LastIndexByte(p.Text, '/')+1:]
		return !p.Exact || last == Any || strings.HasSuffix(last, q.Suffix)
	}
	return ends(p, q) && ends(q, p)
}

// fold returns the set in lower case.
func (p Paths) fold() Paths { return p.mapped(strings.ToLower) }

// upper returns the set in capitals.
func (p Paths) upper() Paths { return p.mapped(strings.ToUpper) }

// mapped returns the set with other texts, and the same segments that are [Any].
func (p Paths) mapped(text func(string) string) Paths {
	segments := strings.Split(p.Text, "/")
	for i, s := range segments {
		if s != Any {
			segments[i] = text(s)
		}
	}
	p.Text, p.Suffix = strings.Join(segments, "/"), text(p.Suffix)
	return p
}

// impossible reports whether no request that is served has any of the paths: sluice refuses a NUL.
func (p Paths) impossible() bool { return strings.Contains(p.Text+p.Suffix, "\x00") }

// A cell is a set of paths that a route can have: one path, all below one, or those of them with more than
// a suffix at their end.
type cell = Paths

// root is the cell of all paths.
var root = cell{Text: "/"}

// cells returns the cells that p is written as. If p begins inside of a segment, as /api does in
// /apis, they leave out the paths that go on in this segment.
func (p Paths) cells() (all []cell) {
	below := p.Text
	if !strings.HasSuffix(below, "/") {
		below += "/"
	}
	switch {
	case p.Exact:
		return []cell{p}
	case p.Suffix == "":
		all = []cell{Beginning(below)}
	default:
		all = []cell{{Text: below, Suffix: p.Suffix, Longer: true}}
	}
	for _, one := range []cell{Exactly(p.Text), Exactly(below + p.Suffix)} {
		if p.Contains(one) && !all[0].Contains(one) {
			all = append(all, one)
		}
	}
	return all
}

// rest returns the smallest cell that has what the cells of p leave out, if they do.
func (p Paths) rest() (cell, bool) {
	if p.Exact || strings.HasSuffix(p.Text, "/") {
		return cell{}, false
	}
	around := cell{Text: p.directory(), Suffix: p.Suffix, Longer: p.Suffix != ""}
	if p.Suffix != "" && p.Contains(Exactly(p.alone())) {
		around = Beginning(p.directory())
	}
	return around, true
}

// respelled returns the smallest cell around the spellings of p that are not in its cells: sources decode paths,
// and sluice keeps %40 apart from @. ok is false if there are none.
func (p Paths) respelled() (around cell, ok bool) {
	const reserved = "!$&'()*+,;=:@[]" // RFC 3986, section 2.2, as package route has them
	at := strings.IndexAny(p.Text, reserved)
	if at < 0 {
		at = len(p.Text)
		ok = strings.ContainsAny(p.Suffix, reserved)
	}
	return Beginning(p.Text[:strings.LastIndexByte(p.Text[:at], '/')+1]), ok || at < len(p.Text)
}

// widened returns a set that has all of p, whose suffix is a given one or, with "", that has no [Any].
func (p Paths) widened(suffix string) Paths {
	if suffix != "" {
		return Ending(p.Text, suffix)
	}
	at := strings.Index(p.Text, Any)
	return Beginning(p.Text[:strings.LastIndexByte(p.Text[:at], '/')+1])
}

// before reports whether sluice asks c first of two cells that have paths in common.
func (c cell) before(other cell) bool {
	switch {
	case other.Contains(c):
		return true
	case c.Contains(other):
		return false
	}
	return len(c.Text) > len(other.Text)
}

// ambiguous reports whether sluice refuses the two cells beside each other.
func (c cell) ambiguous(other cell) bool {
	if c.Contains(other) || other.Contains(c) {
		return false
	}
	if c.open() || other.open() {
		return c.meets(other)
	}
	_, both := c.Intersect(other)
	return both && c.Suffix != "" && other.Suffix != ""
}

// isDotName reports whether c is one path whose name begins with a dot, which files never have.
func (c cell) isDotName() bool {
	return c.Exact && strings.HasPrefix(c.Text[len(c.directory()):], ".") && c.Text != "/.well-known"
}

// HostContains reports whether all hosts of the pattern b are among those of a: a name, *.name, or
// "" for any.
func HostContains(a, b string) bool {
	rest, wildcard := strings.CutPrefix(a, "*")
	return a == "" || a == b || wildcard && strings.HasSuffix(b, rest)
}
