package importer

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
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
		"\nbackends:\n#  admin:\n#    endpoints: [admin:1, admin:2]\n  open:\n",
		"\n#  pages:\n",
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
	p.Backend("open").Keys.Set(Amount("5s"), "connect_timeout")
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
	p.Rules[0].Paths = nil
	for i := range 2 * MaxRoutes {
		p.Rules = append(p.Rules, &Rule{Pos: Pos{"a", 10 + i}, Paths: []Paths{Exactly(fmt.Sprintf("/%d", i))}, Action: Action{Backend: "pages"}})
	}
	_, g, err := p.place()
	if err != nil {
		t.Fatal(err)
	}
	if hidden, more := g.hidden(p.Rules); len(hidden) != MaxRoutes || !more {
		t.Errorf("%d rules are hidden, and more: %v; want %d, true", len(hidden), more, MaxRoutes)
	}
}

func TestWhatIsHiddenIsYAMLWithoutItsMarks(t *testing.T) {
	names, err := filepath.Glob("*/testdata/*.yaml") // of all readers
	if err != nil || len(names) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ = bytes.Cut(text, []byte("\nlisteners:")) // what is before it are notes
		text = bytes.ReplaceAll(append([]byte("listeners:"), text...), []byte("\n#"), []byte("\n"))
		var file struct {
			Routes []map[string]any
		}
		if err := yaml.Unmarshal(text, &file); err != nil || len(file.Routes) != bytes.Count(text[bytes.Index(text, []byte("\nroutes:")):], []byte("\n  - ")) {
			t.Errorf("%s: %d routes, %v in\n%s", name, len(file.Routes), err, text)
		}
	}
}
