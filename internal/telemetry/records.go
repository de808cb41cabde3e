package telemetry

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/rs/zerolog"

	"sluice/internal/frame"
)

// How many bytes of a field that a client chose are written to a record, and kept
// for as long as a session lives.
const (
	maxURI  = 1 << 10
	maxWord = 256 // of a method, a host, a subprotocol
)

// cut returns s, or its beginning and "..." when s is longer than most bytes. What
// it cuts is a copy, so that the rest of s does not stay in memory.
func cut(s string, most int) string {
	const sign = "..."
	if len(s) <= most {
		return s
	}
	n := most - len(sign)
	for back := 0; back < utf8.UTFMax-1 && !utf8.RuneStart(s[n]); back++ {
		n--
	}
	return s[:n] + sign
}

// An Exchange is what the records of a request and of its session have in
// common. A record leaves empty fields out, and cuts long ones: a URI after 1 KiB,
// other fields that a client chooses after 256 bytes.
type Exchange struct {
	ID, Route, Backend, Endpoint string
	Client                       netip.Addr
	Method, Host, URI, Proto     string // the URI has been through Redact
	Trace                        Trace
}

// Trace is a place in a trace (W3C Trace Context). The zero value is none.
type Trace struct {
	ID      [16]byte
	Span    [8]byte
	Sampled bool // its spans are exported
}

// IsZero reports whether t is no place in any trace.
func (t Trace) IsZero() bool { return t.ID == [16]byte{} }

// Name returns the identity of the trace as it is written everywhere: 32 hexadecimal digits.
func (t Trace) Name() string { return hex.EncodeToString(t.ID[:]) }

// Word returns s as records have what a client chose: not more than its beginning.
func Word(s string) string { return cut(s, maxWord) }

// Target is Word for a URI.
func Target(s string) string { return cut(s, maxURI) }

func (x *Exchange) fields(e *zerolog.Event) *zerolog.Event {
	for _, f := range [...]struct{ name, value string }{
		{"id", x.ID}, {"route", x.Route}, {"backend", x.Backend}, {"endpoint", x.Endpoint},
		{"method", cut(x.Method, maxWord)}, {"host", cut(x.Host, maxWord)}, {"uri", cut(x.URI, maxURI)}, {"proto", x.Proto},
	} {
		if f.value != "" {
			e.Str(f.name, f.value)
		}
	}
	if x.Client.IsValid() {
		e.Stringer("client", x.Client)
	}
	if !x.Trace.IsZero() {
		e.Str("trace_id", x.Trace.Name())
	}
	return e
}

// A Request tells how an HTTP exchange ended. A handshake that failed is one too.
type Request struct {
	*Exchange
	Status   int
	In, Out  int64 // bytes of the bodies, from the client and to it
	Duration time.Duration
	Error    string // the stage and the side of what went wrong, and what it was
}

// Log writes the record with e, which sets its level.
func (r *Request) Log(e *zerolog.Event) {
	e = r.fields(e).Int("status", r.Status).Int64("bytes_in", r.In).Int64("bytes_out", r.Out)
	e = duration(e, r.Duration)
	if r.Error != "" {
		e = e.Str("error", r.Error)
	}
	e.Msg("request")
}

// A Session tells what was negotiated for a session, and how it ended.
type Session struct {
	*Exchange
	Number      uint64 // the gateway's own, of the session
	Subprotocol string
	Deflate     bool // permessage-deflate is in use

	// Each compressed message of the client, and of the backend, can be read by itself: there is no
	// context takeover (RFC 7692, section 7.1.1).
	ClientNoTakeover, BackendNoTakeover bool

	// These are set when the session has ended.
	Duration                time.Duration
	FromClient, FromBackend frame.Counts
	Code                    ws.StatusCode
	Reason                  string
	EndedBy, Cause, Detail  string
}

// SessionName returns how a session is called everywhere: its number as 16 hexadecimal digits.
func SessionName(number uint64) string { return SessionNameLike(number, "") }

// SessionNameLike is [SessionName]. Where like is the name, as the ID of a request mostly is, it returns
// that and allocates nothing.
func SessionNameLike(number uint64, like string) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], number)
	var digits [2 * len(b)]byte
	if hex.Encode(digits[:], b[:]); string(digits[:]) == like {
		return like
	}
	return string(digits[:])
}

func (s *Session) fields(e *zerolog.Event) *zerolog.Event {
	e = s.Exchange.fields(e.Str("session", SessionName(s.Number)))
	if s.Subprotocol != "" {
		e = e.Str("subprotocol", cut(s.Subprotocol, maxWord))
	}
	return e.Bool("compression", s.Deflate)
}

// LogOpened writes the record of a session that has begun with e, which sets its level.
func (s *Session) LogOpened(e *zerolog.Event) { s.fields(e).Msg("session opened") }

// LogEnded writes the record of a session that has ended with e, which sets its level.
func (s *Session) LogEnded(e *zerolog.Event) {
	e = duration(s.fields(e), s.Duration)
	e = counts(e, "client_", &s.FromClient)
	e = counts(e, "backend_", &s.FromBackend)
	e = e.Uint16("close_code", uint16(s.Code)).Str("ended_by", s.EndedBy).Str("cause", s.Cause)
	if s.Reason != "" {
		e = e.Str("close_reason", s.Reason)
	}
	if s.Detail != "" {
		e = e.Str("detail", s.Detail)
	}
	e.Msg("session ended")
}

func counts(e *zerolog.Event, prefix string, c *frame.Counts) *zerolog.Event {
	return e.Uint64(prefix+"messages", c.Messages).Uint64(prefix+"frames", c.Frames).
		Uint64(prefix+"controls", c.Controls).Uint64(prefix+"bytes", c.Bytes)
}

func duration(e *zerolog.Event, d time.Duration) *zerolog.Event {
	return e.Float64("duration_ms", float64(d.Microseconds())/1000)
}
