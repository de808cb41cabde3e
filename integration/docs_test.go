package integration

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// documents returns the files of the documentation.
func documents(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("../*.md")
	for _, pattern := range []string{"../docs/*.md", "../docs/adr/*.md", "../docs/recipes/*.md"} {
		pages, failed := filepath.Glob(pattern)
		if err != nil || failed != nil || len(pages) == 0 {
			t.Fatalf("no pages %s: %v, %v", pattern, err, failed)
		}
		all = append(all, pages...)
	}
	return all
}

// sources calls visit with each Go file of the module, tests or others.
func sources(t *testing.T, tests bool, visit func(path string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata"):
			return filepath.SkipDir
		case filepath.Ext(path) == ".go" && strings.HasSuffix(path, "_test.go") == tests:
			visit(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every test that a page of the documentation names is there.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	sources(t, true, func(path string) { all.WriteString(read(t, path)) })
	named := 0
	for _, page := range documents(t) {
		for _, name := range regexp.MustCompile("`Test[A-Za-z0-9]+`").FindAllString(read(t, page), -1) {
			named++
			if name = strings.Trim(name, "`"); !strings.Contains(all.String(), "\nfunc "+name+"(") {
				t.Errorf("%s names %s, which is not there", page, name)
			}
		}
	}
	if named == 0 {
		t.Error("no page names a test")
	}
}

// Every file and every heading that a page links to is there.
func TestLinksOfDocumentsLeadSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code := regexp.MustCompile("(?s)```.*?```")
	links, headings := 0, make(map[string][]string)
	for _, page := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(read(t, page), ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			name, heading, _ := strings.Cut(m[1], "#")
			target := page
			if name != "" {
				target = filepath.Join(filepath.Dir(page), filepath.FromSlash(name))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
				continue
			}
			if heading == "" {
				continue
			}
			if headings[target] == nil {
				headings[target] = anchors(read(t, target))
			}
			if !slices.Contains(headings[target], heading) {
				t.Errorf("%s links to %s, which has no such heading", page, m[1])
			}
		}
	}
	if links == 0 {
		t.Error("no page has a link")
	}
}

// anchors returns the names that links may use for the headings of a page.
func anchors(text string) (all []string) {
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped := regexp.MustCompile(`[^a-z0-9 _-]`)
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		name := dropped.ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(name, " ", "-"))
	}
	return all
}

// The list at the top of configuration.md has every heading of the page, in its order.
func TestContentsOfConfiguration(t *testing.T) {
	t.Parallel()
	page := read(t, "../docs/configuration.md")
	_, list, _ := strings.Cut(page, "\n\n- ")
	list, _, _ = strings.Cut(list, "\n\n")
	var listed []string
	for _, m := range regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(list, -1) {
		listed = append(listed, m[1])
	}
	code := regexp.MustCompile("(?s)```.*?```")
	if want := anchors(code.ReplaceAllString(page, ""))[1:]; !slices.Equal(listed, want) {
		t.Errorf("the list has\n%s\nand the page\n%s", strings.Join(listed, "\n"), strings.Join(want, "\n"))
	}
}

// loggers are the methods by which package zerolog gets the fields of a record.
var loggers = []string{"Bool", "Float64", "Int", "Int64", "Str", "Stringer", "Strs", "Time", "Uint16", "Uint64"}

// operations.md names every record, every field that the code gives to one by its name,
// and every cause of a session's end.
func TestOperationsNamesEveryRecordAndField(t *testing.T) {
	t.Parallel()
	page := read(t, "../docs/operations.md")
	fields, records, causes := make(map[string]string), make(map[string]string), make(map[string]string)
	files := token.NewFileSet()
	sources(t, false, func(path string) {
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		logs := slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"github.com/rs/zerolog"` })
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				method, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || !logs || len(n.Args) == 0 {
					return true
				}
				text := words(n.Args[0])
				switch {
				case method.Sel.Name == "Msg" && text != "":
					records[text] = path
				case slices.Contains(loggers, method.Sel.Name) && len(n.Args) == 2 && text != "":
					fields[text] = path
				}
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "What" && words(n.Value) != "" {
					records[words(n.Value)] = path
				}
			case *ast.FuncDecl:
				if n.Name.Name == "String" && n.Recv != nil && fmt.Sprint(n.Recv.List[0].Type) == "Cause" {
					ast.Inspect(n, func(n ast.Node) bool {
						if e, ok := n.(ast.Expr); ok && words(e) != "" && words(e) != "none" {
							causes[words(e)] = path
						}
						return true
					})
				}
			}
			return true
		})
	})
	if len(fields) < 25 || len(records) < 20 || len(causes) < 10 {
		t.Errorf("only %d fields, %d records and %d causes were found in the code", len(fields), len(records), len(causes))
	}
	for field, path := range fields {
		if !strings.Contains(page, "`"+field+"`") {
			t.Errorf("docs/operations.md does not name the field `%s` of %s", field, path)
		}
	}
	for text, path := range records {
		name := text
		for _, end := range []string{":", ";", " although "} { // what follows explains the record
			name, _, _ = strings.Cut(name, end)
		}
		if !strings.Contains(page, strings.TrimSpace(name)) {
			t.Errorf("docs/operations.md does not name the record %q of %s", name, path)
		}
	}
	for cause, path := range causes {
		if cause == "lost" { // "client lost", "backend lost" in the log
			cause = "client lost"
		}
		if !strings.Contains(page, "| `"+cause+"` |") {
			t.Errorf("docs/operations.md has no row for the cause %q of %s", cause, path)
		}
	}
}

// words returns the text of a literal, or of the first one of a sum, if it is one.
func words(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, _ := strconv.Unquote(e.Value)
			return text
		}
	case *ast.BinaryExpr:
		return words(e.X)
	}
	return ""
}
