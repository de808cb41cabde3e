package tlsconf

import (
	"errors"
	"os"
	"slices"

	"sluice/tlsconf/certfile"
)

// watched are files that are read together, and again when they change.
type watched struct {
	files   []string
	pair    int           // index into Options.Files; -1 for the files of client certificates
	loaded  []os.FileInfo // what was read last; an element is nil for a file that did not exist
	changed []os.FileInfo // what the last look saw, if that differs from loaded; else nil
	refused string        // the error that was reported last, "" after a success
}

// watch returns the files to watch.
func (s *Store) watch() []*watched {
	var all []*watched
	for i, f := range s.options.Files {
		all = append(all, &watched{files: []string{f.Cert, f.Key}, pair: i})
	}
	if c := s.options.ClientAuth; c != nil {
		w := &watched{files: []string{c.CA}, pair: -1}
		if c.CRL != "" {
			w.files = append(w.files, c.CRL)
		}
		all = append(all, w)
	}
	for _, w := range all {
		// The files may have changed since they were loaded, so the first look
		// reads them again. It reports nothing when they are the same.
		w.loaded = make([]os.FileInfo, len(w.files))
	}
	return all
}

// due reports whether the files must be read again: they differ from what was
// read last, and two looks have seen the same. A certificate and its key are two
// files, of which one may be replaced before the other. Links are followed, like
// those that Kubernetes swaps.
func (w *watched) due() bool {
	now := make([]os.FileInfo, len(w.files))
	for i, file := range w.files {
		now[i], _ = os.Stat(file) // nil when it does not exist
	}
	switch {
	case slices.EqualFunc(now, w.loaded, sameFile):
		w.changed = nil
		return false
	case w.changed == nil || !slices.EqualFunc(now, w.changed, sameFile):
		w.changed = now
		return false
	}
	w.loaded, w.changed = now, nil
	return true
}

func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// reload reads files that have changed. When there is a mistake in them, it
// reports the mistake once, and what was loaded before stays in use.
func (s *Store) reload(w *watched, report func(Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var e Event
	var same bool
	var err error
	if w.pair < 0 {
		e, same, err = s.reloadClientAuth()
	} else {
		e, same, err = s.reloadPair(w.pair)
	}
	switch {
	case err == nil:
		w.refused = ""
		if !same {
			report(e)
		}
	case err.Error() != w.refused:
		w.refused = err.Error()
		report(Event{What: "changed file refused", From: w.files[0], Err: err})
	}
}

// reloadClientAuth reads the files of Options.ClientAuth again. Same means that
// they hold what they held before. The caller holds s.mu.
func (s *Store) reloadClientAuth() (e Event, same bool, err error) {
	st := s.current.Load()
	client, err := loadClientAuth(*s.options.ClientAuth)
	if err != nil {
		return Event{}, false, err
	}
	s.set(st.pairs, client)
	return Event{What: "client authorities reloaded", From: client.options.CA}, client.same(st.client), nil
}

// reloadPair reads the files of Options.Files[i] again. Same means that they hold
// the certificate that they held before. The caller holds s.mu.
func (s *Store) reloadPair(i int) (e Event, same bool, err error) {
	st := s.current.Load()
	p, mistakes := certfile.LoadPair(s.options.Files[i])
	if err := errors.Join(mistakes...); err != nil {
		return Event{}, false, err
	}
	same = slices.EqualFunc(p.Certificate.Certificate, st.pairs[i].Certificate.Certificate, slices.Equal)
	pairs := slices.Clone(st.pairs)
	pairs[i] = p
	s.set(pairs, st.client)
	return Event{What: "certificate file reloaded", Names: p.Names(), From: p.File.Cert, Expiry: p.Leaf.NotAfter}, same, nil
}
