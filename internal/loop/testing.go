//go:build linux

package loop

import "reflect"

// Only tests use what is in this file. It is exported for the tests of packages whose
// handlers run on loops.

// A TestDriver lets a test decide what time it is on a loop, and look into the loop. Its
// methods are called on the loop's goroutine.
type TestDriver struct{ loop *Loop }

// DriverOf returns the driver of a loop.
func DriverOf(l *Loop) TestDriver { return TestDriver{l} }

// SetNow makes now the moment of the loop until the next batch of events.
func (d TestDriver) SetNow(now int64) { d.loop.now = now }

// FireTimers calls Due for every timer that has fired by now.
func (d TestDriver) FireTimers() { d.loop.fireTimers() }

// Poll handles the events of sockets that there are at this moment, without waiting, and
// returns their number.
func (d TestDriver) Poll() (handled int) {
	l := d.loop
	n := l.fetch()
	for i := range l.events[:n] {
		if e := &l.events[i]; e.Fd != wakeData { // that event comes again
			handled++
			l.dispatch(e)
		}
	}
	handled += len(l.again)
	l.dispatchAgain()
	return handled
}

// Handled returns how many events of sockets were handled.
func (d TestDriver) Handled() uint64 { return d.loop.handled }

// Timers returns how many timers are set.
func (d TestDriver) Timers() int { return len(d.loop.timers) }

// Count returns how many pipes are open and how many of them are spare.
func (s *Pipes) Count() (open, spare int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open, len(s.spare)
}

// Secrets counts what is kept of secrets: the bytes of cells that are not zero, and the
// cache entries with ciphers. Both are 0 when all states were removed.
func (s *TLSStates) Secrets() (bytes, ciphers int) {
	for _, k := range s.cells.chunks {
		if k == nil {
			continue
		}
		for _, b := range k.memory {
			if b != 0 {
				bytes++
			}
		}
	}
	if s.cache != nil {
		for i := range s.cache {
			if !reflect.ValueOf(&s.cache[i].ciphers).Elem().IsZero() {
				ciphers++
			}
		}
	}
	return bytes, ciphers
}
