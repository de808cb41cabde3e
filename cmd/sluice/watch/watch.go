// Package watch tells when the files of a configuration have changed. It compares what is in them: how a file
// is replaced, and what else happens in its directory, does not matter. Events of the system (inotify and its like)
// only tell it when to look. It knows patterns of file names, and no configuration.
package watch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"sluice/internal/glob"
)

const (
	quiet  = 200 * time.Millisecond // the files have to stay as they are after an event
	steady = 2 * time.Second        // the same after a change without an event: whoever writes may be slow there
	normal = 5 * time.Second        // it looks so often without an event: some file systems have none
	most   = 5 * time.Second        // but not for longer than this, in which they change again and again
	mostOf = 8 << 20                // bytes of a file that are compared
)

// Watcher tells when files have changed since they were loaded. The zero value watches nothing.
type Watcher struct {
	mu      sync.Mutex
	sources []string
	loaded  [sha256.Size]byte // of what the sources had then

	every time.Duration // how often it looks without an event; 0 means the normal time
}

// Load calls load, which reads the files and returns the patterns of their names (see [filepath.Match]), nil where
// it cannot know them. A change from then on is one, also a change while it reads: what the files have is noted before. If
// there are other patterns than before, load is called again, unless a file can be read once only, as a pipe.
func (w *Watcher) Load(load func() (sources []string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for range 3 { // the patterns are in the files that they name: they may change each time
		w.loaded = contents(w.sources)
		next := load()
		if next == nil || slices.Equal(next, w.sources) {
			return
		}
		w.sources = slices.Clone(next)
		if slices.ContainsFunc(next, readOnce) {
			w.loaded = contents(w.sources)
			return
		}
	}
}

// readOnce reports whether a file that a pattern names can be read once only, as a pipe.
func readOnce(pattern string) bool {
	names, _ := glob.Names(pattern)
	return slices.ContainsFunc(names, func(name string) bool {
		info, err := os.Stat(name)
		return err == nil && info.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice|fs.ModeSocket) != 0
	})
}

// changed reports whether the files have something else than when they were loaded.
func (w *Watcher) changed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return contents(w.sources) != w.loaded
}

// patterns returns the patterns of the names of the files.
func (w *Watcher) patterns() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sources
}

// Run calls changed each time when the files have changed and stay as they are for a moment, until ctx ends. Changed
// has to load them. If the system does not tell when files change, warn is told why, once, and Run looks at the
// files now and then.
func (w *Watcher) Run(ctx context.Context, changed func(), warn func(error)) {
	warned := false
	check := func(err error) {
		if err != nil && !warned {
			warned = true
			warn(fmt.Errorf("they are looked at every %v, because the system does not tell: %w", cmp.Or(w.every, normal), err))
		}
	}
	var happen chan struct{}
	e, err := newEvents()
	if check(err); err == nil {
		defer e.close()
		happen = e.happen
	}
	w.follow(ctx, happen, func() {
		if e != nil {
			check(e.watch(placesOf(w.patterns())))
		}
	}, changed)
}

// follow looks at the files after events, and now and then. Before each look it calls prepare, so that there is an
// event for what changes after it.
func (w *Watcher) follow(ctx context.Context, happen <-chan struct{}, prepare, changed func()) {
	tick := time.NewTicker(cmp.Or(w.every, normal))
	defer tick.Stop()
	for {
		prepare()
		if w.changed() {
			changed()
			prepare() // there may be other files now
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !w.changed() {
				continue
			}
			if !w.settle(ctx, steady) {
				return
			}
		case <-happen:
			if !w.settle(ctx, quiet) {
				return
			}
		}
	}
}

// settle waits until the files have stayed as they are for a time, or have changed for so long that they may never do so. It returns
// false when ctx ends.
func (w *Watcher) settle(ctx context.Context, as time.Duration) bool {
	before := contents(w.patterns())
	for began := time.Now(); time.Since(began) < most; {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(as):
		}
		now := contents(w.patterns())
		if now == before {
			return true
		}
		before = now
	}
	return true
}

// contents returns a hash of what the files of patterns have, and of their names.
func contents(sources []string) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, pattern := range sources {
		names, err := glob.Names(pattern)
		fmt.Fprintf(h, "%q %v\n", pattern, err)
		for _, name := range names {
			if !glob.IsLeft(name) || filepath.Base(pattern) == glob.Literally(filepath.Base(name)) {
				of, err := content(name)
				fmt.Fprintf(h, "%q %x %v\n", name, of, err)
			}
		}
	}
	h.Sum(sum[:0])
	return sum
}

// content returns a hash of what a file has.
func content(name string) (sum []byte, err error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would be waited for
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.New("no regular file")
	}
	h := sha256.New()
	_, err = io.Copy(h, io.LimitReader(f, mostOf))
	return h.Sum(nil), err
}
