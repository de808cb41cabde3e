package telemetry

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// Packed holds what was negotiated for a session, in few bytes, because it is kept
// for as long as the session lives. The zero value is an empty session.
//
// It begins with a byte of flags, and the place in a trace, if there is one. Then come ID, client, host, method, protocol
// and subprotocol, each after its length as a varint. A flag may replace a part,
// or its length. The rest is the URI.
type Packed string

// The flags. No bit is left: another one needs a second byte.
const (
	packedNumber            = 1 << iota // the ID is 16 hexadecimal digits, kept as 8 bytes
	packedGet                           // the method is GET
	packedHTTP11                        // the protocol is HTTP/1.1
	packedDeflate                       // Session.Deflate
	packedClientNoTakeover              // Session.ClientNoTakeover, of a session with Deflate
	packedBackendNoTakeover             // Session.BackendNoTakeover, of a session with Deflate
	packedTrace                         // the place in a trace comes first
	packedSampled                       // Trace.Sampled, of a session with a trace
)

const numberSize = 8 // bytes of an ID that is a number

// Pack packs what is known of s when it begins, without Route, Backend and
// Endpoint, which many sessions have in common. It cuts fields as records do, so
// that the rest takes no memory while the session lives. The Exchange of s must
// not be nil.
func (s *Session) Pack() Packed {
	var space [512]byte // mostly enough: then only the result is allocated
	b := append(space[:0], s.flags())
	if b[0]&packedTrace != 0 {
		b = append(append(b, s.Trace.ID[:]...), s.Trace.Span[:]...)
	}
	if b[0]&packedNumber != 0 {
		b, _ = hex.AppendDecode(b, []byte(s.ID)) // flags has checked it
	} else {
		b = appendPart(b, s.ID)
	}
	var address [64]byte
	client, _ := s.Client.AppendBinary(address[:0]) // it never fails
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
		{packedClientNoTakeover, s.ClientNoTakeover},
		{packedBackendNoTakeover, s.BackendNoTakeover},
		{packedTrace, !s.Trace.IsZero()},
		{packedSampled, !s.Trace.IsZero() && s.Trace.Sampled},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	return flags
}

// appendPart appends part after its length.
func appendPart[T string | []byte](b []byte, part T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}

// Session returns the session that was packed, with an Exchange of its own. Its
// strings share the memory of p. If p does not come from [Session.Pack], the
// session is empty.
func (p Packed) Session() Session {
	s := Session{Exchange: new(Exchange)}
	p.Unpack(&s)
	return s
}

// Unpack is [Packed.Session] in memory of the caller: s and its Exchange, which
// must not be nil.
func (p Packed) Unpack(s *Session) {
	x := s.Exchange
	*x = Exchange{}
	if *s = (Session{Exchange: x}); !p.unpack(s) {
		*x = Exchange{}
		*s = Session{Exchange: x}
	}
}

// unpack fills s, and reports whether p could be read.
func (p Packed) unpack(s *Session) (ok bool) {
	u := unpacker{rest: string(p)}
	first := u.take(1)
	if first == "" {
		return false
	}
	flags := first[0]
	if flags&(packedTrace|packedSampled) == packedSampled || flags&packedDeflate == 0 && flags&(packedClientNoTakeover|packedBackendNoTakeover) != 0 {
		return false
	}
	if flags&packedTrace != 0 {
		if copy(s.Trace.ID[:], u.take(uint64(len(s.Trace.ID)))); s.Trace.IsZero() {
			return false
		}
		copy(s.Trace.Span[:], u.take(uint64(len(s.Trace.Span))))
	}
	s.Trace.Sampled = flags&packedSampled != 0
	if flags&packedNumber != 0 {
		var digits [2 * numberSize]byte
		s.ID = string(hex.AppendEncode(digits[:0], []byte(u.take(numberSize))))
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
	s.ClientNoTakeover, s.BackendNoTakeover = flags&packedClientNoTakeover != 0, flags&packedBackendNoTakeover != 0
	s.URI = u.rest
	return !u.broken
}

// unpacker splits a Packed into its parts. After a mistake, broken is set and all
// further parts are empty.
type unpacker struct {
	rest   string
	broken bool
}

// take returns the next n bytes.
func (u *unpacker) take(n uint64) (part string) {
	if n > uint64(len(u.rest)) {
		u.rest, u.broken = "", true
		return ""
	}
	part, u.rest = u.rest[:n], u.rest[n:]
	return part
}

// part returns the next part, which stands after its length.
func (u *unpacker) part() string {
	n, size := binary.Uvarint([]byte(u.rest[:min(len(u.rest), binary.MaxVarintLen64)]))
	if size <= 0 {
		u.rest, u.broken = "", true
		return ""
	}
	u.rest = u.rest[size:]
	return u.take(n)
}
