package nginx

import (
	"regexp"
	"slices"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/expression"
)

// whyCapitals is told where an expression that ignores case is carried for one spelling.
const whyCapitals = "sluice does not ignore the case of paths: those with capitals are answered like the others here"

// readExpression reads a regular expression, once.
func (h *handler) readExpression(re *location) {
	if re.rules != nil {
		return
	}
	re.known = expression.Read(re.regex, re.fold, false)
	re.lower = expression.Read(re.regex, re.fold, true)
	at := importer.Beginning("/")
	if len(re.known.Exact) == 1 && len(re.known.More) == 0 {
		at = re.known.Exact[0]
	}
	re.rules = h.rule(&location{d: re.d, scope: re.scope, paths: at, regex: re.regex})
	if len(re.exact)+len(re.prefixes)+len(re.regexes) > 0 {
		for _, r := range re.rules {
			r.Note(importer.Refused, re.d.Pos, re.d.Text, "sluice does not follow locations in one with an expression: write them beside it")
		}
	}
}

// expression makes the rules of a regular expression where it comes before others and a prefix. If the prefix is
// refused anyway, those for paths that it may match and may not are no routes.
func (h *handler) expression(re *location, later []*location, prefix *location, own *importer.Rule) (rules []*importer.Rule) {
	h.readExpression(re)
	known, last := re.known, re.rules[len(re.rules)-1]
	var notes []importer.Note
	if re.fold && !last.Refused() && !last.Guard && !own.Refused() && sameAction(last.Action, own.Action) {
		known = re.lower
		notes = []importer.Note{{Kind: importer.Remark, Pos: re.d.Pos, Text: re.d.Text, Why: whyCapitals}}
	}
	exact, more := inside(known.Exact, prefix)
	also, rest := inside(known.More, prefix)
	more = slices.Concat(more, also, rest)
	if dotFiles(re.regex) && last.Guard && !last.Refused() && own.Action.Files != nil && !own.Refused() {
		// sluice serves no other files with a dot, and what leads to a backend may have one.
		exact, more = inside(wellKnown(re.regex), prefix)
		for _, other := range later {
			if h.readExpression(other); other.rules[0].Action.Files == nil {
				whole, part := inside(slices.Concat(other.known.Exact, other.known.More), prefix)
				more = append(append(more, whole...), part...)
			}
		}
	}
	for _, r := range re.rules {
		if len(exact) > 0 {
			carried := r.At(exact...)
			carried.Notes = append(slices.Clip(r.Notes), notes...)
			rules = append(rules, carried)
		}
	}
	for _, r := range re.rules {
		if len(more) > 0 {
			refused := r.At(more...)
			refused.Unsure, refused.Aside = true, own.Refused()
			refused.Notes = append(slices.Clip(r.Notes), importer.Note{
				Kind: importer.Refused, Pos: re.d.Pos, Text: re.d.Text,
				Why: "sluice has no regular expressions, so the paths that this one may match answer 403",
			})
			rules = append(rules, refused)
		}
	}
	return rules
}

// inside returns the paths that are below a prefix. Of some the others have more than that.
func inside(paths []importer.Paths, prefix *location) (whole, more []importer.Paths) {
	for _, p := range paths {
		switch both, ok := p.Intersect(prefix.paths); {
		case !ok:
		case prefix.paths.Contains(both):
			whole = append(whole, both)
		default:
			more = append(more, both)
		}
	}
	return whole, more
}

// sameAction reports whether b may stand for a: they differ in headers, compression and the like alone.
func sameAction(a, b importer.Action) bool {
	switch {
	case a.Backend != "" && b.Backend != "":
		return a.Backend == b.Backend && a.Prefix == b.Prefix && a.With == b.With && a.Keys.Get("max_body_size") == b.Keys.Get("max_body_size")
	case a.Files != nil && b.Files != nil:
		return a.Files.Root == b.Files.Root && a.Prefix == b.Prefix
	}
	// Files that the gateway of the source serves itself come from the backend, under the rules for it.
	return a.Files != nil && b.Backend != ""
}

// dotFiles reports whether an expression matches only paths with a name that begins with a dot.
func dotFiles(text string) bool {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(text, "^"), dot)
	return ok && !strings.Contains(rest, "|") && !strings.ContainsAny(rest[:min(1, len(rest))], "?*{")
}

const dot = `/\.` // at the beginning of a name, in an expression

// noneWellKnown matches how an expression goes on behind a dot that matches nothing below .well-known.
var noneWellKnown = regexp.MustCompile(`^([a-vx-zA-VX-Z]|\(\?!well-known(\\?/)?\))`)

// wellKnown returns the paths below .well-known if such an expression may match them too: sluice serves those
// files, and no others with a dot.
func wellKnown(text string) []importer.Paths {
	if _, rest, _ := strings.Cut(text, dot); noneWellKnown.MatchString(rest) {
		return nil
	}
	return []importer.Paths{importer.Exactly("/.well-known"), importer.Beginning("/.well-known/")}
}
