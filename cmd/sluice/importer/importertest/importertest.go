// Package importertest is what the tests of all readers share: golden files, and the law that fuzzing
// looks for a counterexample to.
package importertest

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"sluice/cmd/sluice/importer"
	"sluice/config"
	"sluice/route"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Read reads the configuration of another proxy.
type Read func(importer.Source) (*importer.Plan, error)

// Golden imports each file of testdata that a pattern stands for and compares the result with the file
// of the same name that ends in .yaml. Each result passes the check of the configuration.
func Golden(t *testing.T, read Read, pattern string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			result := Import(t, read, filepath.Base(name), string(text))
			golden := strings.TrimSuffix(name, filepath.Ext(name)) + ".yaml"
			if *update {
				if err := os.WriteFile(golden, result.Text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(result.Text, want) {
				t.Errorf("%s becomes what %s does not have; run with -update and read the difference:\n%s", name, golden, result.Text)
			}
			cfg, err := config.Load(golden)
			if err != nil {
				t.Fatalf("sluice does not take %s: %v", golden, err)
			}
			checkTable(t, cfg)
			checkTold(t, want)
		})
	}
}

// Import imports one file, which must be possible.
func Import(t *testing.T, read Read, name, text string) *importer.Result {
	t.Helper()
	plan, err := read(importer.Source{Files: []importer.File{{Name: name, Text: text}}})
	if err != nil {
		t.Fatal(err)
	}
	result, err := importer.Write(plan)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// A Want is what requests have to be answered with after an import.
type Want struct {
	Name, Text string
	Routes     map[string]string // what a route does, by methods, protocol, host and path with a space between: each host with each path
	Told       []string          // parts of the comments, whose lines are without their marks and have a ; between them
	Untold     []string          // none of these is such a part
	Complete   bool
}

// Check imports texts and compares the routes.
func Check(t *testing.T, read Read, file string, tests []Want) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.Name, func(t *testing.T) {
			result := Import(t, read, file, tt.Text)
			got := routes(t, result.Text)
			for match, want := range tt.Routes {
				if got[match] != want {
					t.Errorf("route %q: %q, want %q", match, got[match], want)
				}
			}
			for match, action := range got {
				if _, ok := tt.Routes[match]; !ok {
					t.Errorf("there is a route %q more: %q", match, action)
				}
			}
			comments := told(result.Text)
			for _, want := range tt.Told {
				if !strings.Contains(comments, want) {
					t.Errorf("%q is not told", want)
				}
			}
			for _, never := range tt.Untold {
				if strings.Contains(comments, never) {
					t.Errorf("%q is told", never)
				}
			}
			checkTold(t, result.Text)
			if result.Complete() != tt.Complete {
				t.Errorf("Complete() = %v, want %v; notes: %v", result.Complete(), tt.Complete, result.Notes)
			}
			if t.Failed() {
				t.Logf("of\n%s\nbecame\n%s", tt.Text, result.Text)
			}
		})
	}
}

// routes returns what each route of a configuration does.
func routes(t *testing.T, text []byte) map[string]string {
	t.Helper()
	cfg, err := config.Parse("imported", text, config.Options{})
	if err != nil {
		t.Fatalf("sluice does not take it: %v\n%s", err, text)
	}
	checkTable(t, cfg)
	got := map[string]string{}
	for _, r := range cfg.Routes {
		var does []string
		switch {
		case r.Backend != "":
			does = append(does, r.Backend)
		case r.Split != nil:
			for _, part := range r.Split {
				does = append(does, part.Backend)
			}
		case r.Redirect != nil:
			does = append(does, "->", r.Redirect.To)
		case r.Respond != nil:
			does = append(does, statusText(r.Respond.Status))
		case r.Files != nil:
			does = append(does, "files", r.Files.Root)
		}
		if r.StripPrefix != "" {
			does = append(does, "without", r.StripPrefix)
		}
		if r.Rewrite != "" {
			does = append(does, "as", r.Rewrite)
		}
		before := r.Methods
		if r.Protocol != "" {
			before = append(before, r.Protocol)
		}
		for _, host := range orNone(r.Hosts) {
			for _, path := range orNone(r.Paths) {
				match := strings.TrimSpace(strings.Join(append(slices.Clip(before), host+" "+path), " "))
				got[match] = strings.Join(does, " ")
			}
		}
	}
	return got
}

// orNone returns a list with an element.
func orNone(list []string) []string {
	if len(list) == 0 {
		return []string{""}
	}
	return list
}

func statusText(status int) string {
	return string([]byte{byte('0' + status/100), byte('0' + status/10%10), byte('0' + status%10)})
}

// Law checks what holds for every text in UTF-8, which all sources are: it is refused with an error that names the
// file, or what it becomes passes the check of the configuration and is the same each time.
func Law(t *testing.T, read Read, file, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		return
	}
	write := func() ([]byte, error) {
		plan, err := read(importer.Source{Files: []importer.File{{Name: file, Text: text}}})
		if err != nil {
			return nil, err
		}
		result, err := importer.Write(plan)
		if err != nil {
			return nil, err
		}
		return result.Text, nil
	}
	first, err := write()
	second, errAgain := write()
	if (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() || !bytes.Equal(first, second) {
		t.Fatalf("%q becomes\n%s%v\nand then\n%s%v", text, first, err, second, errAgain)
	}
	if err != nil {
		if err.Error() == "" {
			t.Errorf("%q: an error without words", text)
		}
		return
	}
	cfg, err := config.Parse("imported", first, config.Options{})
	if err != nil {
		t.Fatalf("of %q becomes what sluice does not take: %v\n%s", text, err, first)
	}
	checkTable(t, cfg)
	checkTold(t, first)
}

// checkTable checks that the table of routes can be made: no route hides or contradicts another.
func checkTable(t *testing.T, cfg *config.Config) {
	t.Helper()
	var entries []route.Entry[int]
	for _, r := range cfg.Routes {
		entries = append(entries, route.Entry[int]{Pattern: route.Pattern{
			Hosts: r.Hosts, Paths: r.Paths, Methods: r.Methods, Headers: r.Headers, Query: r.Query, Protocol: r.Protocol,
		}})
	}
	if _, conflicts := route.Compile(entries); len(conflicts) > 0 {
		t.Errorf("route %d: %s", conflicts[0].Route, conflicts[0].Message)
	}
}
