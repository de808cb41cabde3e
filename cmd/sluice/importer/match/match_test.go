package match

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sluice/cmd/sluice/importer"
)

// A request is what matchers of the tests look at. truth says of conditions that are not known, by their line,
// whether they hold.
type request struct {
	host, path, method, header string
	truth                      [2]bool
}

func (m *Matcher) takes(r request) bool {
	is := func(part *Matcher) bool { return part.takes(r) }
	switch m.Kind {
	case Anything:
		return true
	case Path:
		return slices.ContainsFunc(m.Paths, r.in)
	case Unknown:
		return r.truth[m.Pos.Line] && (m.Paths == nil || slices.ContainsFunc(m.Paths, r.in))
	case Host:
		return slices.ContainsFunc(m.Words, func(pattern string) bool { return importer.HostContains(pattern, r.host) })
	case Method:
		return slices.Contains(m.Words, r.method)
	case Header:
		return r.header == m.Pair.Value || m.Pair.Value == "*" && r.header != ""
	case Not:
		return !m.Of[0].takes(r)
	case All:
		return !slices.ContainsFunc(m.Of, func(part *Matcher) bool { return !is(part) })
	case Any:
		return slices.ContainsFunc(m.Of, is)
	}
	return false
}

func (r request) in(p importer.Paths) bool {
	return r.path == p.Text || !p.Exact && strings.HasPrefix(r.path, p.Text)
}

// has reports whether the set has a request.
func (r Requests) has(q request) bool {
	return slices.ContainsFunc(r.Paths, q.in) &&
		(r.Hosts == nil || slices.ContainsFunc(r.Hosts, func(pattern string) bool { return importer.HostContains(pattern, q.host) })) &&
		(r.Methods == nil || slices.Contains(r.Methods, q.method)) &&
		!slices.ContainsFunc(r.Headers, func(h importer.Pair) bool { return h.Value != q.header && (h.Value != "*" || q.header == "") })
}

func (m *Matcher) String() string {
	switch m.Kind {
	case Not:
		return "!" + m.Of[0].String()
	case All, Any:
		var parts []string
		for _, part := range m.Of {
			parts = append(parts, part.String())
		}
		return "(" + strings.Join(parts, map[Kind]string{All: " && ", Any: " || "}[m.Kind]) + ")"
	}
	return fmt.Sprint(m.Kind, m.Paths, m.Words, m.Pair)
}

// random returns a matcher made at random.
func random(r *rand.Rand, depth int) *Matcher {
	texts := []string{"/", "/a/", "/a/b/", "/c"}
	kinds := []Kind{Anything, Nothing, Path, Host, Method, Header, Unknown, Not, All, Any, All, Any}
	if depth == 0 {
		kinds = kinds[:7]
	}
	m := &Matcher{Kind: kinds[r.IntN(len(kinds))]}
	switch m.Kind {
	case Unknown:
		if m.Pos.Line = r.IntN(2); r.IntN(2) == 0 {
			m.Paths = []importer.Paths{importer.Beginning(texts[r.IntN(len(texts))])}
		}
	case Path:
		for range 1 + r.IntN(2) {
			m.Paths = append(m.Paths, importer.Paths{Text: texts[r.IntN(len(texts))], Exact: r.IntN(2) == 0})
		}
	case Host:
		m.Words = []string{[]string{"a.test", "b.test", "*.test"}[r.IntN(3)]}
	case Method:
		m.Words = [][]string{{"GET"}, {"POST"}, {"GET", "POST"}}[r.IntN(3)]
	case Header:
		m.Pair = importer.Pair{Name: "X", Value: []string{"1", "*"}[r.IntN(2)]}
	case Not:
		m.Of = []*Matcher{random(r, depth-1)}
	case All, Any:
		for range r.IntN(4) {
			m.Of = append(m.Of, random(r, depth-1))
		}
	}
	return m
}

// whole is Requests as a state.
type whole struct{ Requests }

func (w whole) Meet(m *Matcher) (part whole, all, some, sure bool) {
	part.Requests, all, some, sure = w.Requests.Meet(m)
	return part, all, some, sure
}

// TestTheFirstAnswerIsWhatTheMatcherSays: whatever the matcher is, the first of the sets that are decided and
// have a request says of it what the matcher says, or it is not sure, and refuses it.
func TestTheFirstAnswerIsWhatTheMatcherSays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	refused, all := 0, 0
	for range 5000 {
		m := random(r, 3)
		type decided struct {
			Requests
			yes, sure bool
		}
		var sets []decided
		yes := func(w whole, sure bool) { sets = append(sets, decided{w.Requests, true, sure}) }
		no := func(w whole, sure bool) { sets = append(sets, decided{w.Requests, false, sure}) }
		everything := whole{Everything(nil)}
		if !Take(everything, m, yes, no) {
			no(everything, true)
		}
		for _, host := range []string{"a.test", "b.test", "c.test", "other"} {
			for _, path := range []string{"/", "/a/", "/a/b/", "/a/b/c", "/c", "/cd", "/x"} {
				for _, method := range []string{"GET", "POST", "PUT"} {
					for _, header := range []string{"", "1", "2"} {
						q := request{host, path, method, header, [2]bool{r.IntN(2) == 0, r.IntN(2) == 0}}
						i := slices.IndexFunc(sets, func(d decided) bool { return d.has(q) })
						all++
						if i >= 0 && !sets[i].sure {
							if !sets[i].Refused() {
								t.Fatalf("%v: %+v is not refused by %d of %d, which is not sure", m, q, i, len(sets))
							}
							refused++
							continue
						}
						if i < 0 || sets[i].yes != m.takes(q) {
							t.Fatalf("%v: %+v is decided by %d of %d as not(%v)", m, q, i, len(sets), m.takes(q))
						}
					}
				}
			}
		}
	}
	if refused > all/2 {
		t.Errorf("%d of %d requests are refused", refused, all)
	}
}

func TestPathsAreThoseOfTheClient(t *testing.T) {
	from := Everything(nil)
	below := &Matcher{Kind: Path, Paths: []importer.Paths{importer.Beginning("/api/")}}
	api, _, _, _ := from.Meet(below)
	stripped, ok := api.Replace("/api", "")
	if !ok {
		t.Fatal("a prefix that all paths have cannot be removed")
	}
	for _, tt := range []struct {
		name   string
		in     Requests
		wanted importer.Paths
		want   []importer.Paths
		whole  bool
	}{
		{"as it is", from, importer.Beginning("/x/"), []importer.Paths{importer.Beginning("/x/")}, false},
		{"behind a prefix", stripped, importer.Beginning("/x/"), []importer.Paths{importer.Beginning("/api/x/")}, false},
		{"all behind a prefix", stripped, importer.Beginning("/"), []importer.Paths{importer.Beginning("/api/")}, true},
		{"one behind a prefix", stripped, importer.Exactly("/x"), []importer.Paths{importer.Exactly("/api/x")}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			part, whole, _, _ := tt.in.Meet(&Matcher{Kind: Path, Paths: []importer.Paths{tt.wanted}})
			if !slices.Equal(part.Paths, tt.want) || whole != tt.whole {
				t.Errorf("Meet(%v) = %v, %v; want %v, %v", tt.wanted, part.Paths, whole, tt.want, tt.whole)
			}
		})
	}
	if _, ok := from.Replace("/api", ""); ok {
		t.Error("a prefix that not all paths have is removed from all")
	}
	more, _ := stripped.Replace("", "/v2")
	if part, _, some, _ := more.Meet(&Matcher{Kind: Path, Paths: []importer.Paths{importer.Beginning("/v2/x")}}); !some || part.Paths[0] != importer.Beginning("/api/x") {
		t.Errorf("behind another prefix: %v", part.Paths)
	}
	if _, _, some, _ := more.Meet(&Matcher{Kind: Path, Paths: []importer.Paths{importer.Beginning("/x")}}); some {
		t.Error("a path that no request has by now is met")
	}
}
