// Package expression tells which paths a regular expression of another proxy matches: as paths that a
// route can have, or as more paths than that where no route can tell them from others.
package expression

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"sluice/cmd/sluice/importer"
)

// A Pattern is what is known of an expression.
type Pattern struct {
	Exact []importer.Paths // it matches all of these
	More  []importer.Paths // all else that it matches, and paths that it does not match
}

// unknown is known of an expression that may match every path.
var unknown = Pattern{More: []importer.Paths{importer.Beginning("/")}}

// A token is a piece of a regular expression.
type token struct {
	kind kind
	text string // of literal
}

type kind int

const (
	literal   kind = iota
	segment        // [^/]+
	piece          // one character or more, without '/'
	pieces         // none or more
	anything       // .*
	something      // .+
	other          // whatever else
	begin          // ^
	end            // $
)

// mostSequences bounds what the alternatives of an expression become.
const mostSequences = 300

// Read returns what an expression matches. Of one that ignores case it knows every spelling or, with lower,
// the one in lower case alone.
func Read(text string, foldCase, lower bool) (p Pattern) {
	flags := syntax.Perl
	if foldCase {
		flags |= syntax.FoldCase
	}
	re, err := syntax.Parse(text, flags)
	if err != nil {
		return unknown
	}
	sequences, ok := expand(re.Simplify(), lower)
	if !ok {
		return unknown
	}
	for _, s := range sequences {
		paths, exact := classify(s)
		for _, one := range paths {
			switch {
			case exact && !slices.Contains(p.Exact, one):
				p.Exact = append(p.Exact, one)
			case !exact && !slices.Contains(p.More, one):
				p.More = append(p.More, one)
			}
		}
	}
	return p
}

// expand returns the sequences of which an expression matches any. ok is false if those are too many.
func expand(re *syntax.Regexp, lower bool) (all [][]token, ok bool) {
	just := func(k kind) ([][]token, bool) { return [][]token{{{kind: k}}}, true }
	switch re.Op {
	case syntax.OpNoMatch:
		return nil, true
	case syntax.OpEmptyMatch:
		return [][]token{nil}, true
	case syntax.OpBeginText:
		return just(begin)
	case syntax.OpEndText:
		return just(end)
	case syntax.OpLiteral:
		return spellings(string(re.Rune), re.Flags&syntax.FoldCase != 0, lower)
	case syntax.OpCharClass:
		if texts, few := characters(re, lower); few {
			return literals(texts), true
		}
		if noSlash(re) {
			return just(piece)
		}
	case syntax.OpCapture:
		return expand(re.Sub[0], lower)
	case syntax.OpQuest:
		all, ok = expand(re.Sub[0], lower)
		return append(all, nil), ok
	case syntax.OpStar, syntax.OpPlus:
		return just(repeated(re))
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			more, ok := expand(sub, lower)
			if all = append(all, more...); !ok || len(all) > mostSequences {
				return nil, false
			}
		}
		return all, true
	case syntax.OpConcat:
		all = [][]token{nil}
		for _, sub := range re.Sub {
			more, ok := expand(sub, lower)
			if !ok || len(all)*len(more) > mostSequences {
				return nil, false
			}
			var longer [][]token
			for _, before := range all {
				for _, after := range more {
					longer = append(longer, slices.Concat(before, after))
				}
			}
			all = longer
		}
		return all, true
	}
	return just(other)
}

// repeated returns what a repetition is.
func repeated(re *syntax.Regexp) kind {
	sub := re.Sub[0]
	dot := sub.Op == syntax.OpAnyChar || sub.Op == syntax.OpAnyCharNotNL
	switch plus := re.Op == syntax.OpPlus; {
	case dot && plus:
		return something
	case dot:
		return anything
	case plus && sub.Op == syntax.OpCharClass && slices.Equal(sub.Rune, []rune{0, '/' - 1, '/' + 1, 0x10ffff}):
		return segment
	case !noSlash(sub):
		return other
	case plus && (sub.Op == syntax.OpCharClass || sub.Op == syntax.OpLiteral):
		return piece
	}
	return pieces
}

// noSlash reports whether what an expression matches never has a '/'.
func noSlash(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral:
		return !slices.Contains(re.Rune, '/')
	case syntax.OpCharClass:
		for i := 0; i < len(re.Rune); i += 2 {
			if re.Rune[i] <= '/' && '/' <= re.Rune[i+1] {
				return false
			}
		}
		return true
	case syntax.OpEmptyMatch:
		return true
	case syntax.OpCapture, syntax.OpConcat, syntax.OpAlternate, syntax.OpQuest, syntax.OpStar, syntax.OpPlus:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !noSlash(sub) })
	}
	return false
}

// characters returns those of a class, if they are few.
func characters(re *syntax.Regexp, lower bool) (texts []string, few bool) {
	const most = 4
	folds := re.Flags&syntax.FoldCase != 0
	for i := 0; i < len(re.Rune); i += 2 {
		if re.Rune[i+1]-re.Rune[i] > most || len(texts) > most {
			return nil, false
		}
		for c := re.Rune[i]; c <= re.Rune[i+1]; c++ {
			switch {
			case folds && (c >= 0x80 || lower && c >= 'A' && c <= 'Z'): // proxies compare bytes
			case c >= 0x80:
				return nil, false
			default:
				texts = append(texts, string(c))
			}
		}
	}
	return texts, len(texts) <= most
}

func literals(texts []string) (all [][]token) {
	for _, text := range texts {
		all = append(all, []token{{literal, text}})
	}
	return all
}

// spellings returns a text, or all that differ from it in case.
func spellings(text string, foldCase, lower bool) (all [][]token, ok bool) {
	if !foldCase {
		return literals([]string{text}), true
	}
	if lower {
		return literals([]string{strings.ToLower(text)}), true
	}
	texts, ok := Spellings(text)
	return literals(texts), ok
}

// Spellings returns all texts that differ from one in case alone, if they are not too many. It knows ASCII, and
// [importer.Any].
func Spellings(text string) (all []string, ok bool) {
	all = []string{""}
	for i := range len(text) {
		c := text[i : i+1]
		small, capital := strings.ToLower(c), strings.ToUpper(c)
		switch {
		case c == importer.Any:
			small, capital = c, c
		case c[0] >= utf8.RuneSelf:
			return nil, false
		}
		var longer []string
		for _, t := range all {
			if longer = append(longer, t+small); capital != small {
				longer = append(longer, t+capital)
			}
		}
		if all = longer; len(all) > mostSequences {
			return nil, false
		}
	}
	return all, true
}
