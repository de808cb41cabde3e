package tlsconf

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	watchInterval = time.Second   // between looks at the files
	tendInterval  = 1 * time.Hour // between looks at the clock
)

// Event is something that happened to certificates.
type Event struct {
	What   string    // as in "certificate renewed"
	Names  []string  // what it is about; may be nil
	From   string    // a file, or "acme"
	Expiry time.Time // of a new certificate
	Err    error     // nil for good news
	Next   time.Time // of the next try; zero without one
}

// Run does what takes time, until ctx ends: it orders certificates that are
// missing, reads files that change again, rotates the session ticket keys, and
// watches the clock. Report is called with what happens; it must not block, and
// may still be called for an order that was under way when Run ended.
//
// Of two Stores that share accounts the younger one is to run, after the older
// one's Run has returned.
func (s *Store) Run(ctx context.Context, report func(Event)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, a := range s.accounts {
		if a == s.account {
			a.want(s.hosts, report)
			wg.Go(func() { a.run(ctx, s.hosts) })
		} else {
			a.want(nil, report)
		}
	}
	s.tend(ctx, report)
}

// tend looks after all but orders.
func (s *Store) tend(ctx context.Context, report func(Event)) {
	files := s.watch()
	said := s.Warnings() // who made the Store knows these
	s.rotate(report)
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	last := s.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, f := range files {
			if f.changed() {
				s.reread(f, report)
			}
		}
		if now := s.now(); now.Sub(last) >= tendInterval {
			last = now
			s.rotate(report)
			if s.issued != nil {
				_, _ = s.issued.certificate() // renewed before a handshake has to wait for it, which reports errors
			}
			warnings := s.Warnings()
			for _, w := range warnings {
				if !slices.Contains(said, w) {
					report(Event{What: "certificate needs attention", Err: errors.New(w)})
				}
			}
			said = warnings
		}
	}
}

// rotate renews the session ticket keys when it is time.
func (s *Store) rotate(report func(Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wasKept := s.tickets.kept
	changed, err := s.tickets.rotate(s.now())
	if err != nil && wasKept {
		report(Event{What: "session ticket keys are not kept over restarts", Err: err})
	}
	if st := s.current.Load(); changed {
		st.http1.SetSessionTicketKeys(s.tickets.secrets())
		st.http2.SetSessionTicketKeys(s.tickets.secrets())
	}
}

// watched are the files that something is made of.
type watched struct {
	files []string
	pair  int // into Options.Files, -1 for those of client certificates
	seen  []os.FileInfo
	fresh []os.FileInfo // nil when nothing has changed since seen
	wrong string        // what was said last
}

// watch begins to watch the files.
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
		// They may have changed since they were loaded: the first look reads them
		// again, and says nothing when that goes well.
		w.seen = make([]os.FileInfo, len(w.files))
	}
	return all
}

// changed reports whether the files are others than those seen last, and the
// same in two looks: of a certificate and its key one may be replaced before
// the other. Links are followed, as the ones that Kubernetes swaps.
func (w *watched) changed() bool {
	now := make([]os.FileInfo, len(w.files))
	for i, file := range w.files {
		now[i], _ = os.Stat(file) // nil when it is not there
	}
	switch {
	case slices.EqualFunc(now, w.seen, sameFile):
		w.fresh = nil
		return false
	case w.fresh == nil || !slices.EqualFunc(now, w.fresh, sameFile):
		w.fresh = now
		return false
	}
	w.seen, w.fresh = now, nil
	return true
}

func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// reread loads files that have changed. With a mistake in them what was loaded
// before stays in use.
func (s *Store) reread(w *watched, report func(Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.current.Load()
	var err error
	var done Event
	same := false
	if w.pair < 0 {
		client, wrong := loadClientAuth(*s.options.ClientAuth)
		if err = wrong; err == nil {
			s.set(st.pairs, client)
			done = Event{What: "client authorities reloaded", From: w.files[0]}
			same = client.same(st.client)
		}
	} else {
		p, wrong := load(s.options.Files[w.pair])
		if err = errors.Join(wrong...); err == nil {
			same = slices.EqualFunc(p.Certificate.Certificate, st.pairs[w.pair].Certificate.Certificate, slices.Equal)
			pairs := slices.Clone(st.pairs)
			pairs[w.pair] = p
			s.set(pairs, st.client)
			done = Event{What: "certificate file reloaded", Names: p.names(), From: w.files[0], Expiry: p.Leaf.NotAfter}
		}
	}
	switch {
	case err == nil:
		w.wrong = ""
		if !same {
			report(done)
		}
	case err.Error() != w.wrong:
		w.wrong = err.Error()
		report(Event{What: "changed file refused", From: w.files[0], Err: err})
	}
}
