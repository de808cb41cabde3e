//go:build linux

package loop

import (
	"errors"

	"sluice/internal/record"
)

// cipherCacheSize is how many TLS states of a loop have their ciphers ready.
const cipherCacheSize = 256

// TLSStates is the TLS states of a loop's connections, in cells. Beside it is a
// direct-mapped cache of ciphers, indexed by cell mod 256: a miss replaces the entry, and
// the ciphers are built again when they are needed.
type TLSStates struct {
	cells cells[record.State]
	cache *[cipherCacheSize]cipherEntry // nil until there is a state
}

type cipherEntry struct {
	cell    int32
	ciphers record.Ciphers
}

// Add takes a state over and returns its cell. The caller's copy is wiped.
func (s *TLSStates) Add(state *record.State) (cell int32) {
	n, p := s.cells.alloc()
	*p = *state
	state.Wipe()
	if s.cache == nil {
		s.cache = new([cipherCacheSize]cipherEntry)
	}
	s.entry(n).ciphers = record.Ciphers{}
	return n
}

// entry returns the cache entry of a cell.
func (s *TLSStates) entry(cell int32) *cipherEntry {
	e := &s.cache[cell%cipherCacheSize]
	if e.cell != cell {
		*e = cipherEntry{cell: cell}
	}
	return e
}

// At returns the state of a cell and its ciphers. The ciphers are those of the state until
// At is called for another cell.
func (s *TLSStates) At(cell int32) (*record.State, *record.Ciphers) {
	return s.cells.at(cell), &s.entry(cell).ciphers
}

// Remove wipes the state of a cell and frees it.
func (s *TLSStates) Remove(cell int32) {
	s.entry(cell).ciphers = record.Ciphers{}
	s.cells.at(cell).Wipe()
	s.cells.release(cell)
}

// CountBadRecord counts an error of [record.State.Open] that is about a record that is not authentic.
func (l *Loop) CountBadRecord(err error) {
	if wrong, ok := errors.AsType[*record.AlertError](err); ok && wrong.Alert == record.BadRecordMAC && !wrong.Remote {
		l.BadRecords.Add(1)
	}
}

// Mapped returns how many bytes the states take outside the Go heap. Any goroutine may
// call it.
func (s *TLSStates) Mapped() int64 { return s.cells.mapped.Load() }
