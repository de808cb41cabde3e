//go:build !portable

package relay

import (
	"errors"
	"io"

	"sluice/internal/record"
)

// warmth is the number of sides whose ciphers a loop keeps ready.
const warmth = 256

// warm is what makes the state of a side quick to use. There is one for many
// sides: whoever comes takes it over.
type warm struct {
	cell int32 // whose it is
	hot  record.Hot
}

// secrets is the TLS states of a loop's sessions.
type secrets struct {
	cells cells[record.State]
	warm  *[warmth]warm // nil until there is TLS
}

// keep takes a state over, and returns its cell. The caller's is wiped.
func (s *secrets) keep(state *record.State) int32 {
	n, cell := s.cells.take()
	*cell = *state
	state.Wipe()
	if s.warm == nil {
		s.warm = new([warmth]warm)
	}
	s.warmed(n).hot = record.Hot{}
	return n
}

// warmed returns what makes a cell's state quick to use.
func (s *secrets) warmed(n int32) *warm {
	w := &s.warm[n%warmth]
	if w.cell != n {
		*w = warm{cell: n}
	}
	return w
}

// at returns a state and its warmth.
func (s *secrets) at(n int32) (*record.State, *record.Hot) {
	return s.cells.at(n), &s.warmed(n).hot
}

// drop wipes a state.
func (s *secrets) drop(n int32) {
	s.warmed(n).hot = record.Hot{}
	s.cells.at(n).Wipe()
	s.cells.give(n)
}

// unseal opens the records of a side. Buf begins with plain bytes of plaintext that
// came before; ciphertext follows. What of it is no whole record is kept. It
// returns the plaintext, which lies at the start of buf, and why no more will
// come, if so.
func (l *loop) unseal(k joint, from Side, buf []byte, plain int) ([]byte, error) {
	state, hot := l.secrets.at(k.sockets[from].secret)
	in := buf[plain:]
	for {
		r, err := state.Open(hot, in, l.now)
		switch {
		case err != nil:
			var alert *record.AlertError
			if errors.As(err, &alert) && !alert.Remote {
				l.put(k, from, state.Alert(hot, l.sealed[:0], alert.Alert))
			}
			return buf[:plain], err
		case r.Kind == record.Closed:
			return buf[:plain], io.EOF
		case r.Used == 0:
			l.holdRecord(k, from, in)
			return buf[:plain], nil
		}
		plain += copy(buf[plain:], r.Data)
		in = in[r.Used:]
		if k.hot != nil {
			k.hot[from].record = k.hot[from].record[:0] // what is held next is another one
		}
	}
}

// holdRecord keeps the beginning of a record until more of it comes.
func (l *loop) holdRecord(k joint, from Side, part []byte) {
	switch {
	case len(part) > 0:
		h := &l.heat(k)[from]
		if len(h.record) == 0 {
			h.begun = l.now
		}
		h.record = append(h.record[:0], part...)
	case k.hot != nil:
		k.hot[from].record = nil
	}
}

// seal returns the records of b for a side, until the next call.
func (l *loop) seal(k joint, to Side, b []byte) ([]byte, error) {
	state, hot := l.secrets.at(k.sockets[to].secret)
	var err error
	l.sealed, err = state.Seal(hot, l.sealed[:0], b)
	return l.sealed, err
}

// sayGoodbye sends the close_notify of a side that has TLS, once.
func (l *loop) sayGoodbye(k joint, to Side) {
	if s := &k.sockets[to]; s.secret >= 0 {
		state, hot := l.secrets.at(s.secret)
		l.put(k, to, state.Alert(hot, l.sealed[:0], record.CloseNotify))
	}
}
