package outline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Report is what a configuration does to the sessions that were open at one moment. Sessions that were ending
// already are in no count but Before.
type Report struct {
	Kept   int    `json:"sessions_kept" doc:"Sessions that go on."`
	Ended  int    `json:"sessions_ended" doc:"Sessions that end: their route or endpoint is gone, or their endpoint drains."`
	Before int    `json:"sessions_ending_before" doc:"Sessions that were ending already."`
	Ending []Ends `json:"ending,omitempty" doc:"The sessions that end by why they do, the most first. The last of 101 entries stands for all further reasons."`
	Text   string `json:"report,omitempty" doc:"The same as a sentence, with the ten reasons at most that end most sessions."`
}

// Ends is sessions that end for one reason.
type Ends struct {
	Sessions int    `json:"sessions" doc:"How many."`
	Why      string `json:"why" doc:"What is gone or changed."`
}

// Count counts sessions under an outline.
type Count struct {
	o            *Outline
	kept, before int
	ending       map[string]int // by why
}

// NewCount returns a count of no session.
func NewCount(o *Outline) *Count { return &Count{o: o, ending: make(map[string]int)} }

// State is how a session is before the configuration comes into force.
type State int

// The states of a session.
const (
	Open     State = iota
	Draining       // it ends some time, because its endpoint drains
	Ending         // it ends, for whatever other reason
)

// Add counts a session.
func (c *Count) Add(s Session, state State) {
	f := c.o.Fate(s)
	switch {
	case state == Ending, state == Draining && (f == Stays || f == Drains):
		c.before++
	case f == Stays:
		c.kept++
	default:
		c.ending[c.o.why(s, f)]++
	}
}

// Report returns the report of the sessions that were added.
func (c *Count) Report() Report {
	r := Report{Kept: c.kept, Before: c.before, Ending: []Ends{}}
	for why, n := range c.ending {
		r.Ended += n
		r.Ending = append(r.Ending, Ends{n, why})
	}
	slices.SortFunc(r.Ending, func(a, b Ends) int {
		return cmp.Or(cmp.Compare(b.Sessions, a.Sessions), cmp.Compare(a.Why, b.Why))
	})
	r.Text = r.text()
	if len(r.Ending) > mostEntries {
		rest := Ends{Why: fmt.Sprintf("%d more reasons", len(r.Ending)-mostEntries)}
		for _, e := range r.Ending[mostEntries:] {
			rest.Sessions += e.Sessions
		}
		r.Ending = append(slices.Clone(r.Ending[:mostEntries]), rest)
	}
	return r
}

const (
	mostReasons = 10  // in a sentence
	mostEntries = 100 // in a list
)

// text writes r as a sentence.
func (r *Report) text() string {
	var b strings.Builder
	unit := "sessions"
	if r.Kept == 1 {
		unit = "session"
	}
	fmt.Fprintf(&b, "kept %d %s; ending %d", r.Kept, unit, r.Ended)
	sep := ": "
	for i, e := range r.Ending {
		if i == mostReasons {
			fmt.Fprintf(&b, ", and %d more reasons", len(r.Ending)-i)
			break
		}
		b.WriteString(sep + e.Why)
		if len(r.Ending) > 1 {
			fmt.Fprintf(&b, " (%d)", e.Sessions)
		}
		sep = ", "
	}
	if r.Before > 0 {
		fmt.Fprintf(&b, "; %d ending already", r.Before)
	}
	return b.String()
}
