package watch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/glob"
	"sluice/internal/wstest"
)

// tree is a directory whose changes fail the test when they fail.
type tree struct {
	t   *testing.T
	dir string
}

func newTree(t *testing.T) tree {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return tree{t, dir}
}

func (r tree) path(name string) string { return filepath.Join(r.dir, name) }

func (r tree) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r tree) write(name, text string) {
	r.t.Helper()
	r.must(os.MkdirAll(filepath.Dir(r.path(name)), 0o755))
	r.must(os.WriteFile(r.path(name), []byte(text), 0o644))
}

func (r tree) rename(from, to string) {
	r.t.Helper()
	r.must(os.Rename(r.path(from), r.path(to)))
}

func (r tree) link(target, name string) {
	r.t.Helper()
	r.must(os.Symlink(target, r.path(name)))
}

// mount makes what Kubernetes makes of a ConfigMap, and changes it in the same way.
func (r tree) mount(version, text string) {
	r.t.Helper()
	r.write(version+"/main.yaml", text)
	r.link(version, "..data_tmp")
	r.rename("..data_tmp", "..data")
}

// Every way in which files change is a change, when it is over, also one after another; the patterns are main.yaml,
// conf.d/*.yaml and sub/*/x.yaml.
func TestChangesAreSeen(t *testing.T) {
	tests := []struct {
		name  string
		begin func(tree)
		steps []func(tree)
	}{
		{"written in place", nil, []func(tree){
			func(r tree) { r.write("main.yaml", "2") },
			func(r tree) { r.write("main.yaml", "3") },
		}},
		{"renamed onto it, as editors do", nil, []func(tree){
			func(r tree) { r.write(".main.tmp", "2"); r.rename(".main.tmp", "main.yaml") },
			func(r tree) { r.write(".main.tmp", "3"); r.rename(".main.tmp", "main.yaml") },
		}},
		{"moved away, and written anew", nil, []func(tree){
			func(r tree) { r.rename("main.yaml", "main.yaml~"); r.write("main.yaml", "2") },
			func(r tree) { r.rename("main.yaml", "main.yaml~"); r.write("main.yaml", "3") },
		}},
		{"removed, and there again", nil, []func(tree){
			func(r tree) { r.must(os.Remove(r.path("main.yaml"))) },
			func(r tree) { r.write("main.yaml", "1") },
		}},
		{"many writes", nil, []func(tree){
			func(r tree) {
				for i := range 1000 {
					r.write("main.yaml", fmt.Sprint(i))
				}
			},
		}},
		{"a ConfigMap of Kubernetes", func(r tree) {
			r.must(os.Remove(r.path("main.yaml")))
			r.mount("..1", "1")
			r.link("..data/main.yaml", "main.yaml")
		}, []func(tree){
			func(r tree) { r.mount("..2", "2"); r.must(os.RemoveAll(r.path("..1"))) },
			func(r tree) { r.mount("..3", "3"); r.must(os.RemoveAll(r.path("..2"))) },
		}},
		{"the target of a link", func(r tree) {
			r.write("elsewhere/real.yaml", "1")
			r.must(os.Remove(r.path("main.yaml")))
			r.link(r.path("elsewhere/real.yaml"), "main.yaml")
		}, []func(tree){
			func(r tree) { r.write("elsewhere/real.yaml", "2") },
			func(r tree) { r.rename("elsewhere", "gone") },
			func(r tree) { r.write("elsewhere/real.yaml", "3") },
		}},
		{"a link to a directory", func(r tree) {
			r.write("v1/a.yaml", "1")
			r.write("v2/a.yaml", "2")
			r.link("v1", "conf.d")
		}, []func(tree){
			func(r tree) { r.link("v2", "tmp"); r.rename("tmp", "conf.d") },
			func(r tree) { r.write("v2/a.yaml", "3") },
		}},
		{"files that match a pattern", nil, []func(tree){
			func(r tree) { r.write("conf.d/a.yaml", "1") }, // the directory appears too
			func(r tree) { r.write("conf.d/b.yaml", "1") },
			func(r tree) { r.rename("conf.d/b.yaml", "conf.d/c.yaml") },
			func(r tree) { r.must(os.Remove(r.path("conf.d/a.yaml"))) },
			func(r tree) { r.must(os.RemoveAll(r.path("conf.d"))) },
			func(r tree) { r.write("new/a.yaml", "1"); r.rename("new", "conf.d") },
			func(r tree) { r.write("conf.d/a.yaml", "2") },
		}},
		{"a directory that matches", nil, []func(tree){
			func(r tree) { r.write("sub/one/x.yaml", "1") },
			func(r tree) { r.write("sub/two/x.yaml", "1") },
			func(r tree) { r.write("sub/one/x.yaml", "2") },
		}},
		{"what cannot be read", nil, []func(tree){
			func(r tree) { r.must(os.Remove(r.path("main.yaml"))); r.must(os.Mkdir(r.path("main.yaml"), 0o755)) },
			func(r tree) { r.must(os.Remove(r.path("main.yaml"))); r.write("main.yaml", "2") },
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newTree(t)
			r.write("main.yaml", "1")
			if tt.begin != nil {
				tt.begin(r)
			}
			w, changes := r.watch("main.yaml", "conf.d/*.yaml", "sub/*/x.yaml")
			for i, step := range tt.steps {
				before := contents(w.patterns())
				step(r)
				if after := contents(w.patterns()); after == before {
					t.Fatalf("step %d: contents = %x, as before", i, after)
				}
				for w.changed() { // several, where one is seen before it is over
					awaitChange(t, changes, i)
				}
			}
		})
	}
}

// watch runs a watcher of patterns, which loads them after each change, and then tells of it.
func (r tree) watch(patterns ...string) (*Watcher, <-chan struct{}) {
	w := &Watcher{every: time.Hour} // events alone tell
	for i := range patterns {
		patterns[i] = filepath.Join(glob.Literally(r.dir), patterns[i])
	}
	load := func() []string { return patterns }
	w.Load(load)
	changes := make(chan struct{}, 10_000)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, func() { w.Load(load); changes <- struct{}{} }, func(err error) { r.t.Errorf("warning: %v", err) })
	}()
	r.t.Cleanup(func() { cancel(); <-done })
	return w, changes
}

func awaitChange(t *testing.T, changes <-chan struct{}, step int) {
	t.Helper()
	select {
	case <-changes:
	case <-time.After(wstest.Guard):
		t.Fatalf("step %d: no change within %v", step, wstest.Guard)
	}
}

// What is no change: the same content, other files in the directory, copies of editors.
func TestNoChanges(t *testing.T) {
	t.Parallel()
	r := newTree(t)
	r.write("main.yaml", "1")
	r.write("conf.d/a.yaml", "1")
	w, _ := r.watch("main.yaml", "conf.d/*")
	tests := []struct {
		name string
		do   func()
	}{
		{"the same again", func() { r.write("main.yaml", "1") }},
		{"the same in another file", func() { r.write("new", "1"); r.rename("new", "main.yaml") }},
		{"a link to the same", func() { r.rename("main.yaml", "real"); r.link("real", "main.yaml") }},
		{"another mode", func() { r.must(os.Chmod(r.path("conf.d/a.yaml"), 0o600)) }},
		{"another file", func() { r.write("other", "1") }},
		{"a hidden file", func() { r.write("conf.d/.a.yaml.swp", "1") }},
		{"a copy", func() { r.write("conf.d/a.yaml~", "1") }},
	}
	for _, tt := range tests {
		if tt.do(); w.changed() {
			t.Errorf("changed() after %s = true; want false", tt.name)
		}
	}
}

// A change while the files are loaded is a change, other patterns are loaded at once, and none are what there were.
func TestLoad(t *testing.T) {
	t.Parallel()
	r := newTree(t)
	r.write("main.yaml", "1")
	r.write("more.yaml", "1")
	w := new(Watcher)
	loads := 0
	load := func(patterns ...string) {
		loads = 0
		w.Load(func() []string { loads++; return patterns })
	}
	if load(r.path("main.yaml")); loads != 2 || w.changed() {
		t.Errorf("first Load: %d loads, changed() = %v; want 2, false", loads, w.changed())
	}
	if load(r.path("main.yaml"), r.path("more.yaml")); loads != 2 || w.changed() {
		t.Errorf("Load with another pattern: %d loads, changed() = %v; want 2, false", loads, w.changed())
	}
	if load(); loads != 1 {
		t.Errorf("Load without patterns: %d loads; want 1", loads)
	}
	if r.write("more.yaml", "2"); !w.changed() {
		t.Error("changed() after a change = false; want true")
	}
	w.Load(func() []string { r.write("main.yaml", "2"); return nil })
	if !w.changed() {
		t.Error("changed() after a change while the files were loaded = false; want true")
	}
}

// The files are read when they have stayed as they are, whatever else happens in their directories; without events they are
// looked at all the same.
func TestWhenItLooks(t *testing.T) {
	tests := []struct {
		name    string
		pieces  int           // in which the file is written
		between time.Duration // two pieces
		events  bool          // there is one for each piece, and many more
		want    time.Duration // from the first piece
	}{
		{"one event", 1, 0, true, quiet},
		{"written slowly", 5, quiet * 2 / 5, true, 3 * quiet},
		{"no events", 1, 0, false, normal + steady},
		{"written slowly without events", 7, 1100 * time.Millisecond, false, normal + 2*steady},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newTree(t)
			r.write("main.yaml", "")
			synctest.Test(t, func(t *testing.T) {
				w := new(Watcher)
				load := func() []string { return []string{r.path("main.yaml")} }
				w.Load(load)
				ctx, cancel := context.WithCancel(t.Context())
				happen := make(chan struct{}, 1)
				begin := time.Now()
				var took atomic.Int64
				go w.follow(ctx, happen, func() {}, func() {
					w.Load(load)
					if took.Swap(int64(time.Since(begin))) != 0 {
						t.Error("the files were read twice")
					}
				})
				synctest.Wait()
				tell := func() {
					select {
					case happen <- struct{}{}:
					default:
					}
				}
				for i := range tt.pieces {
					if i > 0 {
						time.Sleep(tt.between)
					}
					r.write("main.yaml", strings.Repeat("x", i+1))
					if tt.events {
						tell()
					}
				}
				for range 1000 {
					if tt.events {
						tell()
					}
					time.Sleep(2 * normal / 1000)
				}
				cancel()
				if got := time.Duration(took.Load()); got != tt.want {
					t.Errorf("the change was seen after %v; want %v", got, tt.want)
				}
			})
		})
	}
}
