package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sluice/config/decode"
)

// files is a directory in memory: names of files to their texts.
type files map[string]string

// parse parses the file /d/sluice.yaml among the others of /d.
func (f files) parse() (*Config, error) {
	o := testOptions()
	o.Dir = "/d"
	o.ReadFile = func(name string) ([]byte, error) {
		text, ok := f[strings.TrimPrefix(name, "/d/")]
		if !ok {
			return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
		}
		return []byte(text), nil
	}
	o.Glob = func(pattern string) (names []string, err error) {
		for name := range f {
			matches, err := filepath.Match(pattern, "/d/"+name)
			if err != nil {
				return nil, err
			}
			if matches {
				names = append(names, "/d/"+name)
			}
		}
		slices.Sort(names)
		return names, nil
	}
	return Parse("/d/sluice.yaml", []byte(f["sluice.yaml"]), o)
}

func TestInclude(t *testing.T) {
	const a, b = "routes: [{ path: /a, backend: x }]\n", "routes: [{ path: /b, files: www }]\nbackends: { x: 'x:1' }\n"
	paths := func(c *Config) (all []string) {
		for _, r := range c.Routes {
			all = append(all, strings.Join(r.Paths, "|"))
		}
		return all
	}
	tests := []struct {
		name  string
		files files
		pick  func(*Config) any
		want  any
	}{
		{"in the order of names", files{"sluice.yaml": "include: c/*.yaml\nroutes: [{ path: /m, backend: x }]", "c/b.yaml": b, "c/a.yaml": a}, func(c *Config) any { return paths(c) }, []string{"/m", "/a", "/b"}},
		{"in the order of patterns", files{"sluice.yaml": "include: [c/b.yaml, 'c/[ac].yaml']", "c/b.yaml": b, "c/a.yaml": a, "c/d.yaml": "hidden: by the pattern"}, func(c *Config) any { return paths(c) }, []string{"/b", "/a"}},
		{"each once, and never itself", files{"sluice.yaml": "include: ['*.yaml', a.yaml, /d/b.yaml]", "a.yaml": a, "b.yaml": b}, func(c *Config) any { return paths(c) }, []string{"/a", "/b"}},
		{"backends of all are known in all", files{"sluice.yaml": "include: a.yaml\nbackends: { x: 'x:1', y: 'y:1' }\nroutes: [{ backend: z }]", "a.yaml": a + "backends: { z: 'z:1' }"},
			func(c *Config) any { return fmt.Sprint(c.Backends[0].Name, c.Backends[1].Name, c.Backends[2].Name) }, "xyz"},
		{"relative names start from the included file", files{"sluice.yaml": "include: c/b.yaml\nroutes: [{ files: www }]", "c/b.yaml": b}, func(c *Config) any { return c.Routes[0].Files.Root + " " + c.Routes[1].Files.Root }, "/d/www /d/c/www"},
		{"relative names of headers too", files{"sluice.yaml": "include: c/a.yaml", "c/a.yaml": "routes: [{ backend: 'a:1', request: { set_headers_file: { A: token } } }]", "c/token": "t0ken"},
			func(c *Config) any { return c.Routes[0].Request.Set["A"] }, "t0ken"},
		{"hidden files and copies are left out", files{"sluice.yaml": "include: c/*", "c/a.yaml": a, "c/b.yaml": b, "c/.a.yaml.swp": "x", "c/a.yaml~": "x", "c/a.yaml.bak": "x", "c/a.yaml.dpkg-old": "x", "c/a.yaml.ucf-dist": "x", "c/#a.yaml#": "x", "c/a.yaml.rpmsave": "x"},
			func(c *Config) any { return paths(c) }, []string{"/a", "/b"}},
		{"a file that has its name in full may be hidden", files{"sluice.yaml": "include: .a.yaml\nbackends: { x: 'x:1' }", ".a.yaml": a}, func(c *Config) any { return paths(c) }, []string{"/a"}},
		{"a variable in a pattern", files{"sluice.yaml": "include: '${DIR:-c}/*.yaml'\nbackends: { x: 'x:1' }", "c/a.yaml": a}, func(c *Config) any { return paths(c) }, []string{"/a"}},
		{"aliases", files{"sluice.yaml": "state_dir: &n a.yaml\ninclude: [*n]\nbackends: { x: 'x:1' }", "a.yaml": "routes: [{ path: &p /a, backend: x, rewrite: *p }]"}, func(c *Config) any { return paths(c) }, []string{"/a"}},
		{"a file of comments", files{"sluice.yaml": "include: a.yaml\n" + ok, "a.yaml": "# nothing yet\n"}, func(c *Config) any { return len(c.Routes) }, 1},
		{"no match is a note", files{"sluice.yaml": ok + "include: c/*.yaml"}, func(c *Config) any { return c.Notes }, []string{"include (line 2): no file has such a name"}},
		{"positions name their file", files{"sluice.yaml": "include: a.yaml\nbackends: { x: 'x:1' }", "a.yaml": "\n" + a},
			func(c *Config) any {
				return fmt.Sprint(c.Where(c.Position("routes[0].path")), " ", c.Line(c.Routes[0].Pos), " ", c.Line(c.Backends[0].Pos))
			},
			"/d/a.yaml:2 line 2 of /d/a.yaml line 2 of /d/sluice.yaml"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := tt.files.parse()
			if err != nil {
				t.Fatalf("parse(%q) = %v; want no problem", tt.files, err)
			}
			if got := tt.pick(c); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("parse(%q) has %v; want %v", tt.files, got, tt.want)
			}
		})
	}
}

func TestProblemsOfIncludes(t *testing.T) {
	const main = "include: a.yaml\nbackends: { x: 'x:1' }\n"
	many := files{"sluice.yaml": "include: c/*\n" + ok}
	for i := range 1001 {
		many[fmt.Sprintf("c/%d", i)] = "# nothing\n"
	}
	large := files{"sluice.yaml": "include: c/*\n" + ok}
	for i := range 9 {
		large[fmt.Sprintf("c/%d", i)] = "#" + strings.Repeat("-", decode.MaxSize-2) + "\n"
	}
	repeated := files{"sluice.yaml": "include: c/*\n" + ok}
	for i := range 3 {
		repeated[fmt.Sprintf("c/%d", i)] = fmt.Sprintf("backends: { x%d: &a ['a:1', 'b:1'], y%d: [%s] }", i, i, strings.TrimSuffix(strings.Repeat("*a, ", 15_000), ", "))
	}
	tests := []struct {
		name  string
		files files
		want  []string // whole lines, or their beginnings when they end in "..."
	}{
		{"mistakes have the name of their file", files{"sluice.yaml": main + "lgo: {}\nroutes: [{ backend: y }]", "a.yaml": "routes:\n  - path: b\n    backend: z\n  - { path: /c, respond: 20 }"}, []string{
			`/d/a.yaml:2:11: routes[1].path: "b" does not begin with '/'`,
			`/d/a.yaml:3:14: routes[1].backend: unknown backend "z": ...`,
			`/d/a.yaml:4:26: routes[2].respond.status: "20" is not within 200 to 599`,
			`/d/sluice.yaml:3:1: lgo: unknown key "lgo", did you mean "log"?`,
			`/d/sluice.yaml:4:21: routes[0].backend: unknown backend "y": the backends are x; an address has a port, as in host:8080`,
		}},
		{"nothing but routes and backends", files{"sluice.yaml": main + ok, "a.yaml": "log: { level: warn }\nlisteners: 80\ninclude: b.yaml\nroutes: [{ path: /a, backend: x }]", "b.yaml": "x"}, []string{
			`/d/a.yaml:1:1: log: a file that is included has routes and backends and nothing else: write "log" into the file that includes it`,
			`/d/a.yaml:2:1: listeners: a file that is included has ...`,
			`/d/a.yaml:3:1: include: a file that is included has routes and backends and nothing else: write "include" into the file that includes it`,
		}},
		{"no mapping", files{"sluice.yaml": main + ok, "a.yaml": "- path: /a"}, []string{"/d/a.yaml:1:1: expected a mapping with routes, backends, found a list"}},
		{"no YAML", files{"sluice.yaml": main + ok, "a.yaml": "routes:\n\t- path: /a"}, []string{"/d/a.yaml:2:1: not valid YAML: a tab stands here: indent with spaces"}},
		{"not text", files{"sluice.yaml": main + ok, "a.yaml": "routes:\x00"}, []string{"/d/a.yaml:1:8: the file is not plain UTF-8 text: found byte 0x00; save it as UTF-8"}},
		{"two documents", files{"sluice.yaml": main + ok, "a.yaml": "backends: { y: 'y:1' }\n---\nroutes: []"}, []string{"/d/a.yaml:2:1: a second document starts here: put everything into one"}},
		{"too large", files{"sluice.yaml": main + ok, "a.yaml": strings.Repeat(" ", decode.MaxSize+1)}, []string{"/d/a.yaml:1:1: the file is larger than 4194304 bytes, the most that is read"}},
		{"too many files", many, []string{"/d/sluice.yaml:1:10: include: there are more than 1000 files, the most that are read"}},
		{"too large together", large, []string{"/d/sluice.yaml:1:10: include: the files have more than 33554432 bytes together, the most that is read"}},
		{"too many values repeated together", repeated, []string{"/d/c/2:1:21: the aliases of the file repeat more than 100000 values"}},
		{"a name twice over two files", files{"sluice.yaml": main + "routes: [{ name: n, path: /m, backend: x }]", "a.yaml": "backends:\n  x: 'y:1'\nroutes:\n  - { name: n, path: /a, backend: x }"}, []string{
			`/d/a.yaml:2:3: backends.x: key "x" is given twice, first at line 2 of /d/sluice.yaml`,
			`/d/a.yaml:4:13: routes[1].name: "n" is already the name of the route at line 3 of /d/sluice.yaml`,
		}},
		{"a section twice in one file", files{"sluice.yaml": main, "a.yaml": "routes: [{ path: /a, backend: x }]\nroutes: [{ path: /b, backend: x }]"}, []string{`/d/a.yaml:2:1: routes: key "routes" is given twice, first at line 1 of /d/a.yaml`}},
		{"a section of another kind", files{"sluice.yaml": main + ok, "a.yaml": "routes: { path: /a }\nbackends: [y]"}, []string{
			"/d/a.yaml:1:1: routes: expected a list as in the files before, found a mapping",
			"/d/a.yaml:2:1: backends: expected a mapping as in the files before, found a list",
		}},
		{"a section that is nothing", files{"sluice.yaml": main + ok, "a.yaml": "routes:\nbackends: {}"}, []string{
			"/d/a.yaml:1:8: routes: expected a list or a mapping, found nothing: remove the key or give it a value",
			"/d/a.yaml:2:1: backends: a mapping is empty: add to it or remove the key",
		}},
		{"a section that is nothing in the whole", files{"sluice.yaml": "include: a.yaml\nroutes:", "a.yaml": "routes: [{ path: /a, respond: 200 }]"}, []string{"/d/sluice.yaml:2:8: routes: expected a list, found nothing: remove the key or give it a value"}},
		{"tags", files{"sluice.yaml": main, "a.yaml": "routes: !x [{ path: /a, respond: 200 }]"}, []string{
			"/d/a.yaml:1:9: routes: the tag !x means nothing here: remove it",
			"/d/sluice.yaml:1:1: routes: no routes: the key is required",
		}},
		{"a file that is not there", files{"sluice.yaml": main + ok}, []string{"/d/sluice.yaml:1:10: include: /d/a.yaml cannot be read: file does not exist"}},
		{"patterns", files{"sluice.yaml": "include: ['', '[a', '${NOPE}', {}, ~]\n" + ok}, []string{
			`/d/sluice.yaml:1:11: include[0]: "" is empty: name files, as in conf.d/*.yaml`,
			`/d/sluice.yaml:1:15: include[1]: "[a" is not a pattern of file names, as in conf.d/*.yaml: a '[' needs a ']'`,
			`/d/sluice.yaml:1:21: include[2]: "${NOPE}" needs the environment variable NOPE, ...`,
			`/d/sluice.yaml:1:32: include[3]: expected a single value, found a mapping: a text that begins with '{' needs quotes`,
			`/d/sluice.yaml:1:36: include[4]: expected a single value, found ~ (in quotes it is text)`,
		}},
		{"nothing to include", files{"sluice.yaml": "include:\n" + ok}, []string{"/d/sluice.yaml:1:9: include: expected a value or a list, found nothing: remove the key or give it a value"}},
		{"secrets stay out of messages", files{"sluice.yaml": "include: ['[${SECRET}']\n" + ok}, []string{`/d/sluice.yaml:1:11: include[0]: "[${SECRET}" is not a pattern of file names, ...`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.files.parse()
			expectLines(t, err, tt.want)
		})
	}
}

// A reload is a Load: it reads all files again.
func TestLoadReadsIncludedFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a [b]*") // whose name is no pattern
	if err := os.MkdirAll(filepath.Join(dir, "conf.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	file := write("sluice.yaml", "include: conf.d/*.yaml\n")
	write("conf.d/a.yaml", "routes: [{ files: www }]\n")
	before, err := Load(file)
	if err != nil || before.Routes[0].Files.Root != filepath.Join(dir, "conf.d", "www") {
		t.Fatalf("Load = %+v, %v; want the root beside the included file", before, err)
	}
	write("conf.d/b.yaml", "routes: [{ path: /b, respond: 200 }]\n")
	after, err := Load(file)
	if err != nil || len(after.Routes) != 2 || after.Hash == before.Hash {
		t.Errorf("Load with one more file = %+v, %v; want another route and another hash than %s", after, err, before.Hash)
	}
	write("conf.d/b.yaml", "routes: [{ path: /b, respond: 404 }]\n")
	again, err := Load(file)
	if err != nil || again.Hash == after.Hash {
		t.Errorf("Load with a file that has changed = %+v, %v; want another hash than %s", again, err, after.Hash)
	}
	if err := os.Mkdir(filepath.Join(dir, "conf.d", "c.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = Load(file)
	expectLines(t, err, []string{file + ":1:10: include: " + filepath.Join(dir, "conf.d", "c.yaml") + " is no file: a pattern names files, as in conf.d/*.yaml"})
}

func TestAFileDoesNotIncludeItselfByAnotherName(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range (files{"sluice.yaml": "include: '" + dir + "/*.yaml'\n", "a.yaml": ok}) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := Load("sluice.yaml"); err != nil || len(c.Routes) != 1 {
		t.Errorf("Load = %+v, %v; want the route of the other file", c, err)
	}
}

// FuzzInclude: whatever an included file has, each problem is in one of the two files; and what is good
// as a part is as good alone, and the same.
func FuzzInclude(f *testing.F) {
	for _, seed := range append(seeds(), "routes: [{ files: a }]\nroutes: []", "backends: { a: 'a:1' }\nroutes: &r [{ backend: a }, *r]", "routes: !x []", "- a", "routes:\n  - path: /a\n   backend: 'a:1'", "include: a", "? [a]\n: b\n<<: {}") {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		part := files{"sluice.yaml": "include: a.yaml\n", "a.yaml": text}
		c, err := part.parse()
		again, errAgain := part.parse()
		if fmt.Sprint(err) != fmt.Sprint(errAgain) || !reflect.DeepEqual(c, again) {
			t.Fatalf("parse(%q) = %+v, %v and then %+v, %v", text, c, err, again, errAgain)
		}
		alone, errAlone := files{"sluice.yaml": text}.parse()
		if err == nil {
			shown := c.Show()
			delete(shown, "include")
			if errAlone != nil || !reflect.DeepEqual(shown, alone.Show()) {
				t.Errorf("%q is %v as a part, and alone %v, %v", text, shown, alone, errAlone)
			}
			return
		}
		lines := map[string]int{"/d/sluice.yaml": 1, "/d/a.yaml": linesOf(text)}
		for i, p := range err.(Problems) {
			if n, known := lines[p.File]; !known || p.Pos.Line < 1 || p.Pos.Line > n || p.Pos.Column < 1 || p.Message == "" {
				t.Errorf("problem %d of %q has no position in its %v: %v", i, text, lines, p)
			}
		}
	})
}

func TestLinesAreNamedWithTheirFileWhereThereAreSeveral(t *testing.T) {
	c := &Config{File: "f"}
	if got := c.Line(Pos{Line: 3}); got != "line 3" {
		t.Errorf("Line = %q; want line 3", got)
	}
	c.Include = []string{"a"}
	if got := c.Line(Pos{Line: 3}); got != "line 3 of f" {
		t.Errorf("Line = %q; want line 3 of f", got)
	}
}

// The sources of a configuration are all files that it was read from, also when it has mistakes.
func TestSources(t *testing.T) {
	tests := []struct {
		name  string
		files files
		want  []string
	}{
		{"one file", files{"sluice.yaml": "routes: [{ respond: {} }]"}, []string{"/d/sluice.yaml"}},
		{"patterns and names", files{"sluice.yaml": "include: [c/*.yaml, a.yaml]", "a.yaml": "routes: [{ respond: {} }]"}, []string{"/d/a.yaml", "/d/c/*.yaml", "/d/sluice.yaml"}},
		{"secrets", files{"sluice.yaml": "routes: [{ backend: 'a:1', request: { set_headers_file: { A: token, B: token } } }]", "token": "t"}, []string{"/d/sluice.yaml", "/d/token"}},
		{"a file that is not there", files{"sluice.yaml": "include: none.yaml\nroutes: [{ respond: {} }]"}, []string{"/d/none.yaml", "/d/sluice.yaml"}},
		{"mistakes", files{"sluice.yaml": "include: c/*.yaml\nvia: maybe\nroutes: []", "c/a.yaml": "rutes: []"}, []string{"/d/c/*.yaml", "/d/sluice.yaml"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := tt.files.parse()
			if got := c.Sources(); !slices.Equal(got, tt.want) {
				t.Errorf("Sources() = %q; want %q (Parse: %v)", got, tt.want, err)
			}
		})
	}
}
