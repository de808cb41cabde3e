package record

import "crypto/tls"

// A Kind is what a record holds.
type Kind uint8

const (
	More    Kind = iota // the record is not complete
	Data                // application data
	Nothing             // nothing for the caller
	Closed              // the peer's close_notify; everything after it is ignored
)

// A Record is the first record of some input.
type Record struct {
	Kind Kind
	Used int    // bytes of the input that it has; 0 if it is not complete
	Data []byte // plaintext of Data, never empty; it lies in the input
}

// Handshake types (RFC 8446, section 4).
const (
	helloRequest     = 0 // RFC 5246
	clientHello      = 1 // RFC 5246
	newSessionTicket = 4
	keyUpdate        = 24
)

// maxTicket is the length of the longest NewSessionTicket (RFC 8446, section
// 4.6.1).
const maxTicket = 4 + 4 + 1 + 255 + 2 + (1<<16 - 1) + 2 + (1<<16 - 2)

// unexpected returns the error for a record that must not come.
func unexpected(reason string) error { return &AlertError{Alert: UnexpectedMessage, reason: reason} }

// forged returns the one error for every record that is not authentic.
func forged() error {
	return &AlertError{Alert: BadRecordMAC, reason: "a record that is not authentic"}
}

// Open opens the record at the start of in, in place: afterwards its bytes are plaintext or
// worthless. If the record is not complete, the kind is More and in is unchanged. In never has
// to hold more than one record of 2^14 + 2048 + 5 bytes. Now is a moment of any clock, in
// nanoseconds: records without data are limited per second.
//
// An error ends the connection; nothing of the record may be used. An error that the peer
// caused or sent is an [*AlertError]. When the peer asks for an update of our keys, the next
// Seal answers (RFC 8446, section 4.6.3).
func (s *State) Open(h *Ciphers, in []byte, now int64) (Record, error) {
	if s.received {
		return Record{Kind: Closed, Used: len(in)}, nil
	}
	if len(in) < headerSize {
		return Record{}, nil
	}
	n := int(in[3])<<8 | int(in[4])
	if err := s.header(in[0], in[1:3], n); err != nil {
		return Record{}, err
	}
	if len(in) < headerSize+n {
		return Record{}, nil
	}
	typ, plain, err := s.decrypt(&h.in, in[:headerSize+n])
	if err != nil {
		return Record{}, err
	}
	s.in.sequence++
	kind, err := s.content(h, typ, plain, now)
	if err != nil {
		return Record{}, err
	}
	r := Record{Kind: kind, Used: headerSize + n}
	if kind == Data {
		r.Data = plain
	}
	return r, nil
}

// header refuses the records that can be refused without a key. The version in a TLS 1.3
// record means nothing, but is authenticated (RFC 8446, section 5.2).
func (s *State) header(typ byte, version []byte, n int) error {
	if s.Version == tls.VersionTLS13 {
		switch {
		case typ != typeData:
			return unexpected("a record that is not encrypted")
		case n > maxCipher13:
			return &AlertError{Alert: RecordOverflow, reason: "a record above the limit"}
		}
		return nil
	}
	switch {
	case typ < typeChangeCipherSpec || typ > typeData:
		return unexpected("a record of no known type")
	case version[0] != 3 || version[1] != 3:
		return &AlertError{Alert: ProtocolVersion, reason: "a record of another version"}
	case n > maxCipher12:
		return &AlertError{Alert: RecordOverflow, reason: "a record above the limit"}
	}
	return nil
}

// decrypt decrypts a whole record in place.
func (s *State) decrypt(h *directionCipher, record []byte) (typ byte, plain []byte, err error) {
	if err := h.ready(s.Suite, &s.in); err != nil {
		return 0, nil, err
	}
	head, body := record[:headerSize], record[headerSize:]
	typ = head[0]
	if s.Version == tls.VersionTLS13 {
		if plain, err = h.aead.Open(body[:0], h.nonce[:], body, head); err != nil {
			return 0, nil, forged()
		}
		return inner(plain)
	}
	own := h.suite.explicit()
	if len(body) < own+tagSize {
		return 0, nil, forged()
	}
	copy(h.nonce[len(h.nonce)-own:], body[:own])
	body = body[own:]
	extra := h.additional(s.in.sequence, typ, len(body)-tagSize)
	if plain, err = h.aead.Open(body[:0], h.nonce[:], body, extra); err != nil {
		return 0, nil, forged()
	}
	if len(plain) > maxPlain {
		return 0, nil, &AlertError{Alert: RecordOverflow, reason: "a record with too much in it"}
	}
	return typ, plain, nil
}

// inner removes the padding and the content type of TLS 1.3 (RFC 8446, section 5.4).
func inner(plain []byte) (typ byte, content []byte, err error) {
	if len(plain) > maxPlain+1 {
		return 0, nil, &AlertError{Alert: RecordOverflow, reason: "a record with too much in it"}
	}
	for i := len(plain) - 1; i >= 0; i-- {
		if plain[i] != 0 {
			return plain[i], plain[:i], nil
		}
	}
	return 0, nil, unexpected("a record without a type")
}

// content handles the content of a record.
func (s *State) content(h *Ciphers, typ byte, plain []byte, now int64) (Kind, error) {
	if s.message.have > 0 && typ != typeHandshake {
		return 0, unexpected("a record inside a handshake message")
	}
	switch typ {
	case typeData:
		if len(plain) > 0 {
			return Data, nil
		}
		return Nothing, s.count(now)
	case typeAlert:
		return s.alert(plain, now)
	case typeHandshake:
		if err := s.count(now); err != nil {
			return 0, err
		}
		if s.Version == tls.VersionTLS13 {
			return Nothing, s.handshake(h, plain)
		}
		return 0, s.renegotiation(plain)
	}
	return 0, unexpected("a record of no known type")
}

// count counts a record without data.
func (s *State) count(now int64) error {
	if second := uint32(now >> 30); second != s.second {
		s.second, s.idle = second, 0
	}
	if s.idle++; s.idle > maxIdle {
		return unexpected("too many records without content")
	}
	return nil
}

// alert handles an alert, which is never in parts (RFC 8446, section 5.1).
func (s *State) alert(b []byte, now int64) (Kind, error) {
	switch {
	case len(b) == 0:
		return 0, unexpected("an empty alert")
	case len(b) != 2:
		return 0, &AlertError{Alert: DecodeError, reason: "an alert of the wrong length"}
	}
	const warning, fatal = 1, 2
	level, a := b[0], Alert(b[1])
	switch {
	case a == CloseNotify:
		s.received = true
		return Closed, nil
	case s.Version == tls.VersionTLS13:
		// The level means nothing, and every alert except this one ends the connection.
		if a == UserCanceled {
			return Nothing, s.count(now)
		}
	case level == warning:
		return Nothing, s.count(now)
	case level != fatal:
		return 0, &AlertError{Alert: DecodeError, reason: "an alert of no known level"}
	}
	s.ended = true
	return 0, &AlertError{Alert: a, Remote: true}
}

// renegotiation refuses every handshake message of TLS 1.2.
func (s *State) renegotiation(b []byte) error {
	first := byte(clientHello)
	if s.client {
		first = helloRequest
	}
	if len(b) > 0 && b[0] == first {
		return &AlertError{Alert: NoRenegotiation, reason: "a request to negotiate again"}
	}
	return unexpected("a handshake message behind the handshake")
}

// handshake reads the messages that TLS 1.3 has after the handshake: whole, in parts, or several
// in a record.
func (s *State) handshake(h *Ciphers, b []byte) error {
	if len(b) == 0 {
		return unexpected("an empty handshake record")
	}
	m := &s.message
	for len(b) > 0 {
		if m.have < uint8(len(m.head)) {
			n := copy(m.head[m.have:], b)
			m.have += uint8(n)
			b = b[n:]
			if m.have < uint8(len(m.head)) {
				return nil
			}
			if err := s.startMessage(); err != nil {
				return err
			}
		}
		if m.head[0] == keyUpdate {
			if len(b) == 0 {
				return nil
			}
			return s.peerUpdated(h, b)
		}
		n := min(int(m.left), len(b))
		m.left -= uint32(n)
		b = b[n:]
		if m.left == 0 {
			*m = message{}
		}
	}
	return nil
}

// startMessage checks the head of a message.
func (s *State) startMessage() error {
	m := &s.message
	m.left = uint32(m.head[1])<<16 | uint32(m.head[2])<<8 | uint32(m.head[3])
	switch {
	case m.head[0] == keyUpdate:
		if m.left != 1 {
			return &AlertError{Alert: DecodeError, reason: "a key update of the wrong length"}
		}
	case m.head[0] == newSessionTicket && s.client:
		if m.left == 0 || m.left > maxTicket {
			return &AlertError{Alert: DecodeError, reason: "a session ticket of the wrong length"}
		}
	default:
		return unexpected("a handshake message behind the handshake")
	}
	return nil
}

// peerUpdated updates the keys of the peer after its KeyUpdate, of which b is the body.
func (s *State) peerUpdated(h *Ciphers, b []byte) error {
	switch {
	case b[0] > 1:
		return &AlertError{Alert: IllegalParameter, reason: "a key update that asks for neither"}
	case len(b) > 1: // RFC 8446, section 5.1
		return unexpected("a record that goes on behind a key update")
	}
	s.message = message{}
	s.owed = s.owed || b[0] == 1
	if err := s.in.update(h.in.suite); err != nil {
		return err
	}
	h.in.aead = nil
	return nil
}
