package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runImport runs "sluice import" with arguments in the working directory.
func runImport(args ...string) (stdout, stderr string, err error) {
	var out, said bytes.Buffer
	c := importCommand()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(append([]string{}, args...)) // nil stands for the arguments of the process
	c.SetOut(&out)
	c.SetErr(&said)
	err = c.Execute()
	return out.String(), said.String(), err
}

func TestImportSaysWhatItDidNotCarry(t *testing.T) {
	t.Chdir(t.TempDir())
	const all, part = "server { listen 8080; return 204; }", "server { listen 8080; auth_basic on; location / { proxy_pass http://a:1; } }"
	for name, text := range map[string]string{"all.conf": all, "part.conf": part, "include.conf": "include part.*;", "wrong.conf": "server {", "what": "x"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args         []string
		stdout, said string
		err          string
	}{
		{[]string{"all.conf"}, "status: 204", "carried over: 1 route\n", ""},
		{[]string{"part.conf"}, "respond: { status: 403 }", "part.conf:1: auth_basic on;: sluice does not ask for passwords\n1 route, of which 1 answers 403", errIncomplete.Error()},
		{[]string{"include.conf"}, "respond: { status: 403 }", "part.conf:1: auth_basic on;", errIncomplete.Error()},
		{[]string{"wrong.conf"}, "", "", "wrong.conf:1: server has no } at its end"},
		{[]string{"what"}, "", "", "what: it is not clear what it is for: say --from nginx, caddy, haproxy or traefik"},
		{[]string{"--from", "apache", "what"}, "", "", "--from apache: it is nginx, caddy, haproxy or traefik"},
		{[]string{"nope.conf"}, "", "", "nope.conf cannot be read: no such file or directory"},
		{[]string{"--from", "nginx", "."}, "", "", ". cannot be read: is a directory"},
		{nil, "", "", "import takes at least one file"},
	} {
		stdout, said, err := runImport(tt.args...)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if !strings.Contains(stdout, tt.stdout) || !strings.Contains(said, tt.said) || !strings.HasPrefix(text, tt.err) || (err == nil) != (tt.err == "") {
			t.Errorf("import %q: %v; it writes\n%s\nand says\n%s", tt.args, err, stdout, said)
		}
	}
}

// A file that is there is kept, and nobody reads in a new one what they could not read in the source.
func TestImportWritesAFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("nginx.conf", []byte("server { listen 8080; return 204; }"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := runImport("nginx.conf", "--output", "a.yaml"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat("a.yaml"); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v: of a source for its owner alone becomes a file for others", info.Mode(), err)
	}
	if err := os.WriteFile("b.yaml", []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := runImport("nginx.conf", "--output", "b.yaml"); err == nil || err.Error() != "b.yaml is there already: say --force to replace it" {
		t.Errorf("a file that is there: %v", err)
	}
	if text, err := os.ReadFile("b.yaml"); err != nil || string(text) != "mine" {
		t.Errorf("without --force: %q, %v", text, err)
	}
	if _, _, err := runImport("nginx.conf", "--output", "b.yaml", "--force"); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile("b.yaml"); err != nil || !bytes.Contains(text, []byte("status: 204")) {
		t.Errorf("with --force: %q, %v", text, err)
	}
	if info, err := os.Stat("b.yaml"); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v: with --force a file for others has what only the owner of the source may read", info.Mode(), err)
	}
	if _, _, err := runImport("missing.conf"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a source that is missing: %v", err)
	}
}

// What a pattern names is found in directories of every name. A directory that cannot be read may have
// rules in it: nothing is written without them.
func TestImportMissesNoInclude(t *testing.T) {
	for _, dir := range []string{"plain", "x[1]", "star*"} {
		t.Chdir(t.TempDir())
		for name, text := range map[string]string{
			"nginx.conf":     "http { include conf.d/*.conf; server { listen 8080; location / { proxy_pass http://127.0.0.1:9000; } } }",
			"conf.d/a.conf":  "deny all;",
			"conf.d/b/c.txt": "",
		} {
			if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if out, _, err := runImport(filepath.Join(dir, "nginx.conf")); err != nil || !strings.Contains(out, "status: 403") || strings.Contains(out, "\n    backend:") {
			t.Errorf("%s: %v\n%s", dir, err, out)
		}
		if os.Getuid() <= 0 {
			continue // root may read everything, and Windows has no such mode
		}
		if err := os.Chmod(filepath.Join(dir, "conf.d"), 0); err != nil {
			t.Fatal(err)
		}
		if out, _, err := runImport(filepath.Join(dir, "nginx.conf")); !errors.Is(err, os.ErrPermission) || out != "" {
			t.Errorf("%s that cannot be read: %v\n%s", dir, err, out)
		}
		_ = os.Chmod(filepath.Join(dir, "conf.d"), 0o755) // to be removed
	}
}
