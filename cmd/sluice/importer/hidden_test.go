package importer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/cmd/sluice/importer/mapping"
)

// shutPlan is a plan in which a rule for /admin, which sluice cannot follow, shuts what is around it.
func shutPlan() *Plan {
	admin := &Rule{Pos: Pos{"a", 1}, Paths: []Paths{Beginning("/admin")}, Action: Action{Backend: "admin"}}
	admin.Note(Refused, Pos{"a", 2}, "password", "sluice does not ask for passwords")
	p := &Plan{From: "a test", Listeners: []Listener{{Address: ":8080"}}, Rules: []*Rule{
		admin,
		{Pos: Pos{"a", 3}, Paths: []Paths{Beginning("/secret/")}, Guard: true, Action: Action{Respond: &Respond{Status: 403}}},
		{Pos: Pos{"a", 4}, Paths: []Paths{Beginning("/open/")}, Action: Action{Backend: "open"}},
		{Pos: Pos{"a", 5}, Action: Action{Backend: "pages"}},
	}}
	for _, name := range []string{"admin", "open", "pages"} {
		p.AddBackend(name).Keys.Set([]string{name + ":1", name + ":2"}, "endpoints")
	}
	return p
}

func TestWhatARefusedRuleShutsIsThereAsComments(t *testing.T) {
	result, err := Write(shutPlan())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n  - path: /*\n    respond: { status: 403 }\n",
		"\n    # without what is refused:\n    # backend: admin\n",
		"\n  - path: /open/*\n    backend: open\n",
		"\n#  # a:3\n#  - path: /secret/*\n#    respond: { status: 403 }\n",
		"\n#  # a:5\n#  - path: /*\n#    backend: pages\n",
		"\nbackends:\n  open:\n    endpoints: [open:1, open:2]\n#  admin:\n#    endpoints: [admin:1, admin:2]\n#  pages:\n",
	} {
		if !strings.Contains(string(result.Text), want) {
			t.Errorf("%q is missing in\n%s", want, result.Text)
		}
	}
	if result.Routes != 3 || result.Refused != 2 {
		t.Errorf("%d routes, %d refused; want 3 and 2: comments do not count", result.Routes, result.Refused)
	}
}

func TestNothingIsHiddenWhereNothingIsRefused(t *testing.T) {
	p := shutPlan()
	p.Rules = p.Rules[1:]
	result, err := Write(p)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(result.Text), "\n#  - ") {
		t.Errorf("a route is a comment in\n%s", result.Text)
	}
}

func TestABackendThatTheCheckDoesNotTakeIsThereAsAComment(t *testing.T) {
	p := shutPlan()
	p.Backend("open").Keys.Set([]string{"open:99999"}, "endpoints")
	p.Backend("open").Keys.Set(mapping.Amount("5s"), "connect_timeout")
	result, err := Write(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n#  open:\n#    endpoints: [open:99999]\n",
		"\n  - path: /open/*\n    respond: { status: 403 }\n    # without what is refused:\n    # backend: open\n",
	} {
		if !strings.Contains(string(result.Text), want) {
			t.Errorf("%q is missing in\n%s", want, result.Text)
		}
	}
}

func TestWhatIsHiddenIsBounded(t *testing.T) {
	p := shutPlan()
	p.Rules[0].Paths, p.Rules[0].Unsure = nil, true
	for i := range 2 * MaxRoutes {
		p.Rules = append(p.Rules, &Rule{Pos: Pos{"a", 10 + i}, Paths: []Paths{Exactly(fmt.Sprintf("/%d", i))}, Action: Action{Backend: "pages"}})
	}
	p.Rules = slices.Delete(p.Rules, 3, 4) // which takes all of these
	_, g, err := p.place()
	if err != nil {
		t.Fatal(err)
	}
	if hidden, more := g.hidden(p.Rules); len(hidden) != MaxRoutes || !more {
		t.Errorf("%d rules are hidden, and more: %v; want %d, true", len(hidden), more, MaxRoutes)
	}
}

// A file of comments alone that is larger than sluice reads would be no file.
func TestWhatIsToldFitsIntoAFile(t *testing.T) {
	for _, what := range []string{"routes", "backends"} {
		p := shutPlan()
		p.Rules[0].Paths, p.Rules[0].Unsure = nil, true
		for i := range 600 {
			if what == "backends" {
				p.AddBackend("more").Keys.Set([]string{"a:1", strings.Repeat("b", 10_000) + ":1"}, "endpoints")
				continue
			}
			p.Rules = append(p.Rules[:1], append([]*Rule{{
				Pos: Pos{"a", 10 + i}, Paths: []Paths{Exactly(fmt.Sprintf("/%d", i))}, Action: Action{Respond: &Respond{Status: 200, Body: strings.Repeat("x", 10_000)}},
			}}, p.Rules[1:]...)...)
		}
		result, err := Write(p)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if text := string(result.Text); len(text) < mostTold/2 || len(text) > mostTold+10_000 || !strings.Contains(text, "The source has more") {
			t.Errorf("%s: the file has %d bytes, of which %d may be what is told; it ends in %q", what, len(text), mostTold, text[len(text)-300:])
		}
	}
}

// What a rule takes for sure the source asks no other rule for: to use that one would open it.
func TestNothingIsToldThatTheSourceDoesNotDo(t *testing.T) {
	guard := func(unsure bool) *Rule {
		r := &Rule{Pos: Pos{"a", 1}, Paths: []Paths{Exactly("/a")}, Unsure: unsure, Action: Action{Backend: "admin"}}
		r.Note(Refused, Pos{"a", 1}, "password", "sluice does not ask for passwords")
		return r
	}
	behind := &Rule{Pos: Pos{"a", 8}, Paths: []Paths{Exactly("/a")}, Action: Action{Backend: "open"}}
	for _, tt := range []struct {
		name   string
		guards []*Rule
		told   bool
	}{
		{"a rule that takes all its paths", []*Rule{guard(false)}, false},
		{"one that may leave some to others", []*Rule{guard(true)}, true},
		{"one behind the other", []*Rule{guard(true), guard(false)}, false},
	} {
		p := shutPlan()
		p.Rules = append(tt.guards, behind, p.Rules[3])
		result, err := Write(p)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(result.Text); strings.Contains(text, "#  - path: /a\n#    backend: open\n") != tt.told {
			t.Errorf("%s: what comes behind it is told: %v, want %v\n%s", tt.name, !tt.told, tt.told, text)
		}
	}
}

// Where the source takes // for /, no rule for a path with // is ever asked.
func TestPathsWithTwoSlashesHideNothing(t *testing.T) {
	p := shutPlan()
	p.MergesSlashes = true
	p.Rules = []*Rule{p.Rules[1], {Pos: Pos{"a", 4}, Paths: []Paths{Beginning("//x/")}, Action: Action{Backend: "pages"}}, p.Rules[3]}
	result, err := Write(p)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(result.Text); !strings.Contains(text, "path: //*") || strings.Contains(text, "\n#  - ") {
		t.Errorf("a route is a comment, or none is for //*, in\n%s", text)
	}
}

func TestARouteThatIsACommentIsChecked(t *testing.T) {
	p := shutPlan()
	p.Backend("pages").Keys.Set([]string{"pages:99999"}, "endpoints")
	p.Backend("pages").Keys.Set(mapping.Amount("5s"), "connect_timeout")
	result, err := Write(p)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(result.Text); !strings.Contains(text, "#  - path: /*\n#    respond: { status: 403 }\n#    # without what is refused:\n#    # backend: pages\n") {
		t.Errorf("a route to a backend that the check does not take is there in\n%s", text)
	}
}
