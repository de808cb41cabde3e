package telemetry

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/rs/zerolog"

	"sluice/internal/frame"
)

// What a record holds of what a client chose, in bytes, and what is kept of it as
// long as a session lives.
const (
	maxURI  = 1 << 10
	maxWord = 256 // of a method, a host, a subprotocol
)

// cut returns s, or its beginning and "..." where s is longer than most bytes.
// That is a copy: what was cut off is not kept by it.
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
// common. Empty fields are left out, and long ones cut: of a URI records hold 1 KiB,
// of what else a client may choose 256 bytes.
type Exchange struct {
	ID, Route, Backend, Endpoint string
	Client                       netip.Addr
	Method, Host, URI, Proto     string // URI after Redact
}

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
	return e
}

// A Request is how an HTTP exchange ended; handshakes that fail are among them.
type Request struct {
	*Exchange
	Status   int
	In, Out  int64 // bytes of the bodies
	Duration time.Duration
	Error    string // stage and side of what went wrong
}

// Log writes the record as an event of some level.
func (r *Request) Log(e *zerolog.Event) {
	e = r.fields(e).Int("status", r.Status).Int64("bytes_in", r.In).Int64("bytes_out", r.Out)
	e = duration(e, r.Duration)
	if r.Error != "" {
		e = e.Str("error", r.Error)
	}
	e.Msg("request")
}

// A Session is what was agreed on for one, and how it ended.
type Session struct {
	*Exchange
	Subprotocol string
	Deflate     bool

	// Of a session that has ended.
	Duration                time.Duration
	FromClient, FromBackend frame.Counts
	Code                    ws.StatusCode
	Reason                  string
	EndedBy, Cause, Detail  string
}

func (s *Session) fields(e *zerolog.Event) *zerolog.Event {
	e = s.Exchange.fields(e)
	if s.Subprotocol != "" {
		e = e.Str("subprotocol", cut(s.Subprotocol, maxWord))
	}
	return e.Bool("compression", s.Deflate)
}

// LogOpened writes the record of a session that begins.
func (s *Session) LogOpened(l *zerolog.Logger) { s.fields(l.Info()).Msg("session opened") }

// LogEnded writes the record of a session that is over.
func (s *Session) LogEnded(l *zerolog.Logger) {
	e := duration(s.fields(l.Info()), s.Duration)
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

// Redact replaces the values of query parameters in a request target. Names
// are compared as they stand and percent-decoded, in any case. A ';' may begin
// a parameter too, as some servers have it.
func Redact(uri string, names []string) string {
	path, query, ok := strings.Cut(uri, "?")
	if !ok || len(names) == 0 {
		return uri
	}
	var b strings.Builder
	b.WriteString(path)
	sep := byte('?')
	for pair := range strings.SplitSeq(query, "&") {
		b.WriteByte(sep)
		sep = '&'
		if n := secretAt(pair, names); n >= 0 {
			b.WriteString(pair[:n])
			b.WriteString("=REDACTED")
		} else {
			b.WriteString(pair)
		}
	}
	return b.String()
}

// secretAt returns where the name of a secret ends in what stands between two
// '&', or -1. What follows there is to be hidden to its end: where a ';' does
// not separate, it belongs to the value.
func secretAt(pair string, names []string) int {
	if name, _, valued := strings.Cut(pair, "="); valued && secret(name, names) {
		return len(name)
	}
	start := 0
	for part := range strings.SplitSeq(pair, ";") {
		if name, _, valued := strings.Cut(part, "="); valued && secret(name, names) {
			return start + len(name)
		}
		start += len(part) + 1
	}
	return -1
}

func secret(name string, names []string) bool {
	plain, err := url.QueryUnescape(name)
	if err != nil {
		return true // what cannot be read could be anything
	}
	return slices.ContainsFunc(names, func(n string) bool {
		return strings.EqualFold(n, name) || strings.EqualFold(n, plain)
	})
}
