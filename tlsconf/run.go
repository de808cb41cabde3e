package tlsconf

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"sluice/tlsconf/acme"
)

const (
	watchInterval = time.Second   // between looks at the files
	clockInterval = 1 * time.Hour // between looks at what depends on the clock
)

// Event tells what happened to certificates.
type Event struct {
	What   string    // as in "certificate renewed"
	Names  []string  // of the certificate; may be nil
	From   string    // a file, or "acme"
	Expiry time.Time // of a new certificate
	Err    error     // nil for good news
	Next   time.Time // of the next attempt; zero without one
}

// Run does what takes time, until ctx ends: it orders and renews certificates,
// reads files again that have changed, rotates the session ticket keys, and
// watches the clock. Report is called with what happens. It must not block, and
// may still be called after Run has ended, for an order that was under way then.
//
// Of two Stores that share accounts, run the younger one, after Run of the older
// one has returned.
func (s *Store) Run(ctx context.Context, report func(Event)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	ordered := func(e acme.Event) {
		report(Event{What: e.What, Names: []string{e.Host}, From: "acme", Expiry: e.Expiry, Err: e.Err, Next: e.Next})
	}
	for _, a := range s.accounts {
		if a != s.account {
			a.Assign(nil, ordered)
			continue
		}
		a.Assign(s.hosts, ordered)
		wg.Go(func() { a.Run(ctx) })
	}
	s.maintain(ctx, report)
}

// maintain does all that Run does, apart from orders.
func (s *Store) maintain(ctx context.Context, report func(Event)) {
	files := s.watch()
	told := s.Warnings() // New's caller has these
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
			if f.due() {
				s.reload(f, report)
			}
		}
		if now := s.now(); now.Sub(last) >= clockInterval {
			last = now
			s.rotate(report)
			if s.local != nil {
				_, _ = s.local.Certificate() // renewed before a handshake has to wait for it; the handshake reports errors
			}
			warnings := s.Warnings()
			for _, w := range warnings {
				if !slices.Contains(told, w) {
					report(Event{What: "certificate needs attention", Err: errors.New(w)})
				}
			}
			told = warnings
		}
	}
}

// rotate renews the session ticket keys when they are due.
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
