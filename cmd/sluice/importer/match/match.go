// Package match tells the requests that a condition of a source takes from the others, for readers whose
// conditions have and, or and not. What it cannot tell apart it says, so that it can be refused.
package match

import (
	"slices"

	"sluice/cmd/sluice/importer"
)

// A Kind of matcher.
type Kind int

const (
	Anything Kind = iota // takes all requests
	Nothing              // takes none
	Path
	Host
	Method
	Header
	Query
	Socket  // WebSocket handshakes
	Unknown // it is not known which ones, of those with its paths
	All     // of its parts
	Any     // of its parts
	Not     // what its one part does not take
)

// A Matcher is a condition for requests.
type Matcher struct {
	Kind  Kind
	Of    []*Matcher       // the parts of All, Any and Not
	Paths []importer.Paths // for Unknown, nil is all
	Words []string         // hosts or methods; for Unknown hosts, nil is all
	Pair  importer.Pair    // a header or a query parameter

	FoldCase bool // its paths ignore case

	Pos  importer.Pos // where it stands
	Text string
}

// IsUnknown reports whether it is not known which requests the matcher takes.
func (m *Matcher) IsUnknown() bool {
	return m.Kind == Unknown || slices.ContainsFunc(m.Of, (*Matcher).IsUnknown)
}

// A State is a set of requests, mostly [Requests] and what else a reader knows of them.
type State[S any] interface {
	// Meet returns the part of the set that a matcher takes, which is none of All, Any, Not, Anything and
	// Nothing; whether that is the whole set, and whether it is anything. It is not sure where it cannot tell
	// which requests the matcher takes, as of Unknown. Then the part has those that it may take, refused.
	Meet(m *Matcher) (part S, whole, some, sure bool)
}

// Take calls yes for the requests of s that a matcher takes and, where those that it does not take have to
// be decided before these, no for them. It reports whether all requests of s are decided by that. If not,
// what the caller decides after it is for the rest. Either function learns whether it is sure that the matcher
// takes the requests, or does not. Where it is not, they are refused, and may get the other answer in the source.
func Take[S State[S]](s S, m *Matcher, yes, no func(part S, sure bool)) (whole bool) {
	if m == nil {
		yes(s, true)
		return true
	}
	switch m.Kind {
	case Anything:
		yes(s, true)
		return true
	case Nothing:
		return false
	case Not:
		if !Take(s, m.Of[0], no, yes) {
			yes(s, true)
		}
		return true
	case All:
		if len(m.Of) == 0 {
			yes(s, true)
			return true
		}
		rest := true
		first := Take(s, m.Of[0], func(s S, sure bool) {
			others := &Matcher{Kind: All, Of: m.Of[1:]}
			rest = Take(s, others, func(s S, also bool) { yes(s, sure && also) }, no) && rest
		}, no)
		return first && rest
	case Any:
		if len(m.Of) == 0 {
			return false
		}
		others := &Matcher{Kind: Any, Of: m.Of[1:]}
		first := Take(s, m.Of[0], yes, func(s S, sure bool) {
			if !Take(s, others, yes, func(s S, also bool) { no(s, sure && also) }) {
				no(s, sure)
			}
		})
		return first || Take(s, others, yes, no)
	}
	part, whole, some, sure := s.Meet(m)
	if some {
		yes(part, sure)
	}
	return whole
}

// Split calls in for the requests of s that a matcher takes, and then out for the others.
func Split[S State[S]](s S, m *Matcher, in, out func(S)) {
	if !Take(s, m, func(s S, _ bool) { in(s) }, func(s S, _ bool) { out(s) }) {
		out(s)
	}
}
