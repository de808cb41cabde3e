package record

import (
	"crypto/tls"
	"errors"
	"slices"
)

var errClosed = errors.New("TLS: nothing may follow an alert")

// Seal appends plain to dst as application data: records of 2^14 bytes and one with the rest,
// and a KeyUpdate in front of a record where one is due. It allocates only if dst has no room
// for them. Plain must not overlap dst. Up to the capacity of plain, its memory must not be
// used by others during the call; it is unchanged afterwards. All records must reach the peer,
// in the order in which they were sealed.
//
// After an error the connection is over: its keys are used up, or an alert was sent.
func (s *State) Seal(h *Ciphers, dst, plain []byte) ([]byte, error) {
	if s.ended {
		return dst, errClosed
	}
	dst = slices.Grow(dst, sealedSize(len(plain)))
	for len(plain) > 0 {
		var err error
		if s.owed || s.out.sequence >= maxRecords && s.Version == tls.VersionTLS13 {
			if dst, err = s.update(h, dst); err != nil {
				return dst, err
			}
		}
		n := min(len(plain), maxPlain)
		if dst, err = s.encrypt(&h.out, dst, typeData, plain[:n]); err != nil {
			return dst, err
		}
		plain = plain[n:]
	}
	return dst, nil
}

// Alert appends an alert: [CloseNotify] before the end of what this side sends, or the alert of
// an [*AlertError]. Nothing can be sealed after it. A second alert, or one after a fatal alert
// of the peer, appends nothing.
func (s *State) Alert(h *Ciphers, dst []byte, a Alert) []byte {
	if s.ended {
		return dst
	}
	level := byte(2) // fatal
	switch a {
	case CloseNotify, UserCanceled, NoRenegotiation:
		level = 1
	}
	sealed, err := s.encrypt(&h.out, dst, typeAlert, []byte{level, byte(a)})
	s.ended = true
	if err != nil {
		return dst // the same as if it were lost on its way
	}
	return sealed
}

// update appends a KeyUpdate that asks for none in return, and changes our keys (RFC 8446,
// section 4.6.3).
func (s *State) update(h *Ciphers, dst []byte) ([]byte, error) {
	dst, err := s.encrypt(&h.out, dst, typeHandshake, []byte{keyUpdate, 0, 0, 1, 0})
	if err != nil {
		return dst, err
	}
	s.owed = false
	err = s.out.update(h.out.suite)
	h.out.aead = nil
	return dst, err
}

// encrypt appends one record.
func (s *State) encrypt(h *directionCipher, dst []byte, typ byte, plain []byte) ([]byte, error) {
	if err := h.ready(s.Suite, &s.out); err != nil {
		return dst, err
	}
	start := len(dst)
	if s.Version == tls.VersionTLS13 {
		n := len(plain) + 1 + tagSize
		dst = append(dst, typeData, 3, 3, byte(n>>8), byte(n))
		body := len(dst)
		if n := len(plain); n < cap(plain) { // the type is written after plain for a moment, which saves a copy
			next := &plain[:n+1][n]
			was := *next
			*next = typ
			dst = h.aead.Seal(dst, h.nonce[:], plain[:n+1], dst[start:body])
			*next = was
		} else {
			dst = append(append(dst, plain...), typ)
			dst = h.aead.Seal(dst[:body], h.nonce[:], dst[body:], dst[start:body])
		}
	} else {
		own := h.suite.explicit()
		n := own + len(plain) + tagSize
		dst = append(dst, typ, 3, 3, byte(n>>8), byte(n))
		dst = append(dst, h.nonce[len(h.nonce)-own:]...)
		dst = h.aead.Seal(dst, h.nonce[:], plain, h.additional(s.out.sequence, typ, len(plain)))
	}
	s.out.sequence++
	return dst, nil
}
