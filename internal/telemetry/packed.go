package telemetry

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// Packed is what was agreed on for a session, in few bytes: it is kept as long
// as the session lives. The zero value is an empty session.
//
// It begins with a byte of flags. Then come ID, client, host, method, protocol
// and subprotocol, each behind its length as a varint, unless a flag stands for
// it or for its length; the rest is the URI.
type Packed string

// The flags.
const (
	packedNumber  = 1 << iota // the ID is 16 hexadecimal digits, kept as 8 bytes
	packedGet                 // the method is GET
	packedHTTP11              // the protocol is HTTP/1.1
	packedDeflate             // Session.Deflate
	packedUnknown             // the least that means nothing
)

const numberSize = 8 // bytes of an ID that is a number

// Pack packs what is known of s when it begins, but for Route, Backend and
// Endpoint, which many sessions have in common. What records do not hold is cut
// off, so that it costs nothing while the session lives. The Exchange of s is not nil.
func (s *Session) Pack() Packed {
	var space [512]byte // so that mostly the result is all that is allocated
	b := append(space[:0], s.flags())
	if b[0]&packedNumber != 0 {
		b, _ = hex.AppendDecode(b, []byte(s.ID)) // flags has looked at it
	} else {
		b = appendPart(b, s.ID)
	}
	var address [64]byte
	client, _ := s.Client.AppendBinary(address[:0]) // there is no error
	b = appendPart(b, client)
	b = appendPart(b, cut(s.Host, maxWord))
	if b[0]&packedGet == 0 {
		b = appendPart(b, cut(s.Method, maxWord))
	}
	if b[0]&packedHTTP11 == 0 {
		b = appendPart(b, s.Proto)
	}
	b = appendPart(b, cut(s.Subprotocol, maxWord))
	return Packed(append(b, cut(s.URI, maxURI)...))
}

func (s *Session) flags() (flags byte) {
	for _, f := range [...]struct {
		flag byte
		set  bool
	}{
		{packedNumber, len(s.ID) == 2*numberSize && strings.Trim(s.ID, "0123456789abcdef") == ""},
		{packedGet, s.Method == "GET"},
		{packedHTTP11, s.Proto == "HTTP/1.1"},
		{packedDeflate, s.Deflate},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	return flags
}

func appendPart[T string | []byte](b []byte, part T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}

// Session returns the session that was packed, with an Exchange of its own. Its
// strings are parts of p. From what [Session.Pack] has not made it is empty.
func (p Packed) Session() Session {
	if s := (Session{Exchange: &Exchange{}}); p.unpack(&s) {
		return s
	}
	return Session{Exchange: &Exchange{}}
}

func (p Packed) unpack(s *Session) (ok bool) {
	u := unpacker{rest: string(p)}
	first := u.take(1)
	if first == "" || first[0] >= packedUnknown {
		return false
	}
	flags := first[0]
	if flags&packedNumber != 0 {
		s.ID = hex.EncodeToString([]byte(u.take(numberSize)))
	} else {
		s.ID = u.part()
	}
	if err := s.Client.UnmarshalBinary([]byte(u.part())); err != nil {
		return false
	}
	s.Host = u.part()
	if s.Method = "GET"; flags&packedGet == 0 {
		s.Method = u.part()
	}
	if s.Proto = "HTTP/1.1"; flags&packedHTTP11 == 0 {
		s.Proto = u.part()
	}
	s.Subprotocol = u.part()
	s.Deflate = flags&packedDeflate != 0
	s.URI = u.rest
	return !u.broken
}

// unpacker cuts a Packed into its parts. Once it is broken they are empty.
type unpacker struct {
	rest   string
	broken bool
}

func (u *unpacker) take(n uint64) (part string) {
	if n > uint64(len(u.rest)) {
		u.rest, u.broken = "", true
		return ""
	}
	part, u.rest = u.rest[:n], u.rest[n:]
	return part
}

func (u *unpacker) part() string {
	n, size := binary.Uvarint([]byte(u.rest[:min(len(u.rest), binary.MaxVarintLen64)]))
	if size <= 0 {
		u.rest, u.broken = "", true
		return ""
	}
	u.rest = u.rest[size:]
	return u.take(n)
}
