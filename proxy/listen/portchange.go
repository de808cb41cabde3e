package listen

import (
	"maps"
	"slices"
	"time"
)

// portChangeTime is how long a listener whose port another one takes over still accepts
// the connections whose TCP handshake had begun: a client whose packet was lost sends
// it again within this time.
const portChangeTime = 5 * time.Second

// closeOld closes the listeners of old that the set has no more. Their servers finish
// what they have.
func (s *Set) closeOld(old map[string]*Listener, timeout time.Duration) {
	kept := slices.Collect(maps.Values(s.open))
	for _, l := range old {
		if slices.Contains(kept, l) {
			continue
		}
		if l.server != nil && !l.passed && slices.ContainsFunc(kept, func(k *Listener) bool { return overlap(k.Address(), l.Address()) }) {
			s.closeReplaced(l, timeout)
			continue
		}
		l.Close()
		if l.server != nil {
			s.drainInBackground(l.server, timeout)
		}
	}
}

// closeReplaced closes a listener whose port another one has taken over, once the
// connections that were on their way to it have come.
func (s *Set) closeReplaced(l *Listener, timeout time.Duration) {
	if err := stopNewConnections(l.net); err != nil {
		s.env.Log().Warn().Err(err).Str("listener", l.name).Msg(
			"connections that came to this listener while it was closed may be lost: the system cannot hand its port over without a gap")
		l.Close()
		s.drainInBackground(l.server, timeout)
		return
	}
	s.closing = append(s.closing, l)
	s.running.Go(func() {
		select {
		case <-time.After(portChangeTime):
		case <-s.env.Stopping.Done():
		}
		l.Close()
		s.drainInBackground(l.server, timeout)
	})
}
