//go:build !portable

package relay

import (
	"errors"
	"io"

	"sluice/internal/record"
)

// warmth is the number of sides whose ciphers a loop keeps ready.
const cipherCacheSize = 256

// cipherEntry is what makes the state of a side quick to use. There is one for many
// sides: whoever comes takes it over.
type cipherEntry struct {
	cell    int32 // whose it is
	ciphers record.Hot
}

// tlsStates is the TLS states of a loop's sessions.
type tlsStates struct {
	cells       cells[record.State]
	cipherCache *[cipherCacheSize]cipherEntry // nil until there is TLS
}

// add takes a state over, and returns its cell. The caller's is wiped.
func (s *tlsStates) add(state *record.State) int32 {
	n, cell := s.cells.alloc()
	*cell = *state
	state.Wipe()
	if s.cipherCache == nil {
		s.cipherCache = new([cipherCacheSize]cipherEntry)
	}
	s.cacheEntry(n).ciphers = record.Hot{}
	return n
}

// cacheEntry returns what makes a cell's state quick to use.
func (s *tlsStates) cacheEntry(n int32) *cipherEntry {
	w := &s.cipherCache[n%cipherCacheSize]
	if w.cell != n {
		*w = cipherEntry{cell: n}
	}
	return w
}

// at returns a state and its warmth.
func (s *tlsStates) at(n int32) (*record.State, *record.Hot) {
	return s.cells.at(n), &s.cacheEntry(n).ciphers
}

// remove wipes a state.
func (s *tlsStates) remove(n int32) {
	s.cacheEntry(n).ciphers = record.Hot{}
	s.cells.at(n).Wipe()
	s.cells.release(n)
}

// unseal opens the records of a side. Buf begins with plain bytes of plaintext that
// came before; ciphertext follows. What of it is no whole record is kept. It
// returns the plaintext, which lies at the start of buf, and why no more will
// come, if so.
func (l *loop) unseal(k handle, from Side, buf []byte, plain int) ([]byte, error) {
	state, ciphers := l.tlsStates.at(k.sockets[from].tlsCell)
	in, opened := buf[plain:], false
	for {
		r, err := state.Open(ciphers, in, l.now)
		switch {
		case err != nil:
			l.keepPartialRecord(k, from, nil, true)
			var alert *record.AlertError
			if errors.As(err, &alert) && !alert.Remote {
				l.write(k, from, state.Alert(ciphers, l.sealed[:0], alert.Alert))
			}
			return buf[:plain], err
		case r.Kind == record.Closed:
			l.keepPartialRecord(k, from, nil, true)
			return buf[:plain], io.EOF
		case r.Used == 0:
			l.keepPartialRecord(k, from, in, opened)
			return buf[:plain], nil
		}
		plain += copy(buf[plain:], r.Data)
		in, opened = in[r.Used:], true
	}
}

// keepPartialRecord keeps part, the beginning of a record, until more of it comes. Fresh
// says that it is another record than the one that was kept, whose buffer it gets.
func (l *loop) keepPartialRecord(k handle, from Side, part []byte, fresh bool) {
	switch {
	case len(part) > 0:
		h := &l.ensurePending(k)[from]
		if fresh || len(h.partialRecord) == 0 {
			h.recordSince = l.now
		}
		h.partialRecord = append(h.partialRecord[:0], part...)
	case k.pending != nil:
		k.pending[from].partialRecord = nil
	}
}

// seal returns the records of b for a side, until the next call.
func (l *loop) seal(k handle, to Side, b []byte) ([]byte, error) {
	state, hot := l.tlsStates.at(k.sockets[to].tlsCell)
	var err error
	l.sealed, err = state.Seal(hot, l.sealed[:0], b)
	return l.sealed, err
}

// sendCloseNotify sends the close_notify of a side that has TLS, once.
func (l *loop) sendCloseNotify(k handle, to Side) {
	if s := &k.sockets[to]; s.tlsCell >= 0 {
		state, hot := l.tlsStates.at(s.tlsCell)
		l.write(k, to, state.Alert(hot, l.sealed[:0], record.CloseNotify))
	}
}
