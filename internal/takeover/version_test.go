package takeover

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// encodings is, for each Version, a hash of all that is written by codec. Two programs of one version have to write the same:
// when the test below fails, and a release has the present version, raise Version and add its hash here; else replace the hash.
func encodings() map[uint64]string {
	return map[uint64]string{1: "27ea6fb3f8dd9419"}
}

// What a process writes and another one reads changes only with the version.
func TestVersionChangesWithTheEncoding(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root:
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && (f.Name.Name == "codec" || takesCoder(fn)) {
				fn.Doc = nil
				var b bytes.Buffer
				if err := printer.Fprint(&b, files, fn); err != nil {
					return err
				}
				all = append(all, f.Name.Name+" "+b.String())
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("%d functions write or read; want the tens of them that there are", len(all))
	}
	slices.Sort(all)
	sum := sha256.Sum256([]byte(strings.Join(all, "\n")))
	if got, want := fmt.Sprintf("%x", sum[:8]), encodings()[Version]; got != want {
		t.Errorf("what is written has the hash %s, and version %d the hash %s: see encodings", got, Version, want)
	}
}

// takesCoder reports whether a function has a parameter of the type *codec.Coder, or something in it has.
func takesCoder(fn *ast.FuncDecl) (takes bool) {
	ast.Inspect(fn, func(n ast.Node) bool {
		if p, ok := n.(*ast.Field); ok {
			if pointer, ok := p.Type.(*ast.StarExpr); ok {
				name, ok := pointer.X.(*ast.SelectorExpr)
				takes = takes || ok && name.Sel.Name == "Coder"
			}
		}
		return !takes
	})
	return takes
}
