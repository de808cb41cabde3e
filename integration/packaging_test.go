//go:build unix

package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// promtool runs Prometheus's own checker.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	foreign(t, "promtool")
	cmd := command(t, "promtool", args...)
	cmd.Dir = "../packaging/prometheus"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

const alertsFile = "../packaging/prometheus/alerts.yml"

// alert is an alert rule.
type alert struct {
	Alert, Expr string
	Labels      map[string]string
	Annotations map[string]string
}

func alerts(t *testing.T) (all []alert) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alert }
	}
	if err := yaml.Unmarshal([]byte(read(t, alertsFile)), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 10 {
		t.Fatalf("%s has %d alerts, want 10 at least", alertsFile, len(all))
	}
	return all
}

// dashboard is the part of a Grafana dashboard that the tests look at.
type dashboard struct {
	UID           string
	SchemaVersion int
	Panels        []dashboardPanel
	Annotations   struct {
		List []struct{ Name, Expr string }
	}
	Templating struct {
		List []struct {
			Name, Type string
			Definition string
		}
	}
}

type dashboardPanel struct {
	ID         int
	Type       string
	Title      string
	Datasource struct{ UID string }
	GridPos    struct{ X, Y, W, H int }
	Targets    []struct{ RefID, Expr string }
}

func grafanaDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "../packaging/grafana/sluice.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// queries returns the expressions of the alerts, of the dashboard and of metrics.md by where they
// are, with values in place of Grafana's variables.
func queries(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, a := range alerts(t) {
		all["alert "+a.Alert] = a.Expr
	}
	variable := regexp.MustCompile(`\$(\w+)`)
	value := func(v string) string {
		switch v {
		case "$__rate_interval", "$__range":
			return "5m"
		}
		return "x"
	}
	d := grafanaDashboard(t)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all[fmt.Sprintf("panel %s, query %s", p.Title, target.RefID)] = variable.ReplaceAllStringFunc(target.Expr, value)
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			all["annotation "+a.Name] = variable.ReplaceAllStringFunc(a.Expr, value)
		}
	}
	for _, v := range d.Templating.List {
		if selector, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			selector = selector[:strings.LastIndex(selector, ",")]
			all["variable "+v.Name] = variable.ReplaceAllStringFunc(selector, value)
		}
	}
	for i, m := range regexp.MustCompile("(?s)```promql\n(.*?)\n```").FindAllStringSubmatch(read(t, "../docs/metrics.md"), -1) {
		all[fmt.Sprintf("docs/metrics.md, query %d", i+1)] = m[1]
	}
	return all
}

// The alert rules are good ones, and each fires when it has to, and not otherwise.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	tests := read(t, "../packaging/prometheus/alerts_test.yml")
	severities := []string{"critical", "warning"}
	for _, a := range alerts(t) {
		if a.Annotations["summary"] == "" || len(a.Annotations["description"]) < 80 || !slices.Contains(severities, a.Labels["severity"]) {
			t.Errorf("the alert %s needs a summary, a description that says what to do, and a severity of %q", a.Alert, severities)
		}
		if !strings.Contains(tests, `alertname="`+a.Alert+`"`) {
			t.Errorf("alerts_test.yml has no case in which %s fires", a.Alert)
		}
	}
	promtool(t, "check", "rules", "alerts.yml")
	promtool(t, "test", "rules", "alerts_test.yml")
}

// Prometheus can parse every expression of the alerts, the dashboard and metrics.md.
func TestQueriesParse(t *testing.T) {
	t.Parallel()
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	all := queries(t)
	var rules []rule
	for i, where := range slices.Sorted(maps.Keys(all)) {
		rules = append(rules, rule{fmt.Sprintf("query_%d", i), all[where]})
	}
	if len(rules) < 60 {
		t.Errorf("%d queries were found, want 60 at least", len(rules))
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "queries", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "queries.yml")
	write(t, file, string(text))
	promtool(t, "check", "rules", file)
}

// Every expression names only families that metrics.md lists, with labels that they have.
func TestQueriesNameFamiliesThatExist(t *testing.T) {
	t.Parallel()
	documented, others := documentedFamilies(t)
	target := []string{"instance", "job"} // which Prometheus adds
	for _, name := range others {
		documented[name] = family{}
	}
	documented["up"] = family{}
	for name, f := range maps.Clone(documented) {
		if f.kind == "histogram" {
			for _, end := range []string{"_bucket", "_sum", "_count"} {
				documented[name+end] = family{kind: "counter", labels: append(slices.Clone(f.labels), "le")}
			}
		}
	}
	text := regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	grouping := regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	selector := regexp.MustCompile(`\b([a-z_][a-z0-9_]*)(?:\{([^}]*)\})?`)
	span := regexp.MustCompile(`\[[^\]]*\]|\boffset\s+\w+`)
	word := regexp.MustCompile(`[a-z_]+`)
	used := make(map[string]bool)
	for where, query := range queries(t) {
		bare := text.ReplaceAllString(query, `""`)
		known := slices.Clone(target) // labels of the families of this query
		var asked []string
		for _, m := range grouping.FindAllStringSubmatch(bare, -1) {
			asked = append(asked, word.FindAllString(m[1], -1)...)
		}
		rest := span.ReplaceAllString(grouping.ReplaceAllString(bare, " "), " ")
		for _, m := range selector.FindAllStringSubmatchIndex(rest, -1) {
			name := rest[m[2]:m[3]]
			if strings.HasPrefix(strings.TrimSpace(rest[m[1]:]), "(") || slices.Contains([]string{"and", "or", "unless", "bool", "e"}, name) {
				continue // a function or an operator
			}
			f, ok := documented[name]
			if !ok {
				t.Errorf("%s names %s, which docs/metrics.md does not list:\n%s", where, name, query)
				continue
			}
			used[name] = true
			known = append(known, f.labels...)
			if m[4] < 0 {
				continue
			}
			for _, label := range regexp.MustCompile(`([a-z_]+)\s*[=!]`).FindAllStringSubmatch(rest[m[4]:m[5]], -1) {
				if !slices.Contains(append(f.labels, target...), label[1]) {
					t.Errorf("%s asks for the label %s, which %s does not have:\n%s", where, label[1], name, query)
				}
			}
		}
		for _, label := range asked {
			if !slices.Contains(known, label) {
				t.Errorf("%s groups by the label %s, which its families do not have:\n%s", where, label, query)
			}
		}
	}
	if len(used) < 25 {
		t.Errorf("the queries use %d families, want 25 at least", len(used))
	}
}

// The dashboard is one that Grafana 10 and later can import: panels lie beside each other, have
// queries, and use the data source that its variable names.
func TestDashboard(t *testing.T) {
	t.Parallel()
	d := grafanaDashboard(t)
	if d.UID == "" || d.SchemaVersion < 38 {
		t.Errorf("uid %q, schemaVersion %d; want one, and 38 at least", d.UID, d.SchemaVersion)
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	for _, want := range []string{"datasource", "route", "backend"} {
		if !slices.Contains(variables, want) {
			t.Errorf("the dashboard has the variables %q, want %q among them", variables, want)
		}
	}
	ids, cells := make(map[int]bool), make(map[[2]int]string)
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %q: its id %d is that of another, or it has no title", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.Type != "row" && (len(p.Targets) == 0 || p.Datasource.UID != "${datasource}") {
			t.Errorf("panel %q has %d queries and the data source %q", p.Title, len(p.Targets), p.Datasource.UID)
		}
		if p.GridPos.W == 0 || p.GridPos.H == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q lies at %+v, want within 24 columns", p.Title, p.GridPos)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if cells[cell] != "" {
					t.Fatalf("the panels %q and %q overlap", p.Title, cells[cell])
				}
				cells[cell] = p.Title
			}
		}
	}
}

// The configurations of Prometheus in metrics.md are good ones.
func TestMetricsPageShowsConfigurationsThatPrometheusTakes(t *testing.T) {
	t.Parallel()
	shown := regexp.MustCompile("(?s)```yaml\n(# prometheus.yml\n.*?)\n```").FindAllStringSubmatch(read(t, "../docs/metrics.md"), -1)
	if len(shown) < 2 {
		t.Errorf("docs/metrics.md shows %d configurations of Prometheus, want 2 at least", len(shown))
	}
	for i, m := range shown {
		rules, err := filepath.Abs(alertsFile)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), fmt.Sprintf("prometheus%d.yml", i))
		write(t, file, strings.ReplaceAll(m[1], "/etc/prometheus/sluice/alerts.yml", rules))
		promtool(t, "check", "config", "--syntax-only", file)
	}
}
