package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	ragged = "# a\nroutes:\n    - path: \"/x\"\n      respond: {}\n" // a configuration that is not laid out
	neat   = "# a\nroutes:\n  - path: /x\n    respond: {}\n"         // the same in the normal form
)

func TestLayOut(t *testing.T) {
	const changes = "@@ -1,4 +1,4 @@\n # a\n routes:\n-    - path: \"/x\"\n-      respond: {}\n+  - path: /x\n+    respond: {}\n"
	tests := []struct {
		name, text  string
		check, diff bool
		out         string // with FILE for the name of the file
		written     string // "" means that the file is as before
		err         string
	}{
		{name: "a file", text: ragged, out: "FILE\n", written: neat},
		{name: "a file in the normal form", text: neat},
		{name: "check", text: ragged, check: true, out: "FILE\n", err: "1 of 1 not in the normal form"},
		{name: "check of the normal form", text: neat, check: true},
		{name: "diff", text: ragged, diff: true, out: "--- FILE\n+++ FILE (laid out)\n" + changes},
		{name: "check and diff", text: ragged, check: true, diff: true, out: "--- FILE\n+++ FILE (laid out)\n" + changes, err: "1 of 1"},
		{name: "no YAML", text: "routes: [\n", err: "FILE:1:9: not valid YAML: '[' is not closed"},
		{name: "mistakes of a configuration", text: "rotes: 'x'\n", out: "FILE\n", written: "rotes: x\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "sluice.yaml")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			err := layOut(nil, &out, []string{file}, tt.check, tt.diff)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), strings.ReplaceAll(tt.err, "FILE", file)) {
				t.Errorf("the error is %v; want %q", err, tt.err)
			}
			if want := strings.ReplaceAll(tt.out, "FILE", file); out.String() != want {
				t.Errorf("it says\n%s\nwant\n%s", out.String(), want)
			}
			want := tt.written
			if want == "" {
				want = tt.text
			}
			if got, err := os.ReadFile(file); err != nil || string(got) != want {
				t.Errorf("the file has %q, %v; want %q", got, err, want)
			}
		})
	}
}

func TestLayOutOfStandardInput(t *testing.T) {
	var out strings.Builder
	if err := layOut(strings.NewReader(ragged), &out, []string{"-"}, false, false); err != nil || out.String() != neat {
		t.Errorf("it says %v,\n%s\nwant\n%s", err, out.String(), neat)
	}
	if err := layOut(strings.NewReader("a: ["), &out, []string{"-"}, false, false); err == nil || !strings.HasPrefix(err.Error(), "standard input:1:4:") {
		t.Errorf("the error is %v; want one with a position in standard input", err)
	}
}

func TestLayOutGoesOnAfterAFileThatCannotBeRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(file, []byte(ragged), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err := layOut(nil, &out, []string{file + ".missing", file}, false, false)
	if err == nil || !strings.Contains(err.Error(), file+".missing") || out.String() != file+"\n" {
		t.Errorf("it says %v, %q; want the missing file, and the name of the other", err, out.String())
	}
}

func TestDiff(t *testing.T) {
	many := strings.Repeat("x\n", 10)
	tests := []struct{ name, before, after, want string }{
		{name: "a line that changes", before: "a\nb\nc\n", after: "a\nd\nc\n", want: "@@ -1,3 +1,3 @@\n a\n-b\n+d\n c\n"},
		{name: "a line that goes", before: "a\nb\nc\n", after: "a\nc\n", want: "@@ -1,3 +1,2 @@\n a\n-b\n c\n"},
		{name: "a line that comes", before: "a\nc\n", after: "a\nb\nc\n", want: "@@ -1,2 +1,3 @@\n a\n+b\n c\n"},
		{name: "two places", before: "a\n" + many + "b\n", after: "c\n" + many + "d\n", want: "@@ -1,4 +1,4 @@\n-a\n+c\n x\n x\n x\n@@ -9,4 +9,4 @@\n x\n x\n x\n-b\n+d\n"},
		{name: "no line break at the end", before: "a\nb", after: "a\nb\n", want: "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n"},
		{name: "everything", before: "a\n", after: "b\n", want: "@@ -1,1 +1,1 @@\n-a\n+b\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			writeDiff(&out, "f", tt.before, tt.after)
			if got, want := out.String(), "--- f\n+++ f (laid out)\n"+tt.want; got != want {
				t.Errorf("from %q to %q:\n%s\nwant\n%s", tt.before, tt.after, got, want)
			}
		})
	}
}
