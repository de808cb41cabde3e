package tracing

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"

	"sluice/internal/header"
	"sluice/internal/telemetry"
)

// The header fields of W3C Trace Context and of W3C Baggage.
const (
	traceparent = "traceparent"
	tracestate  = "tracestate"
	baggage     = "baggage"
)

// What is passed on of tracestate (W3C Trace Context, section 3.3.1.5) and of baggage (W3C Baggage,
// section 3.3.2) at most: every participant has to take as much, and may drop what is more.
const (
	maxState        = 512
	maxStateMembers = 32
	maxBaggage      = 8192
)

const (
	parentLength = len("00-") + 32 + len("-") + 16 + len("-00")
	sampledFlag  = 1
)

// parseParent reads a traceparent (W3C Trace Context, section 3.2). Of a later version it reads what
// this one has. A span of the result is the sender's.
func parseParent(s string) (t telemetry.Trace, ok bool) {
	if len(s) < parentLength || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return t, false
	}
	var version, flags [1]byte
	if !unhex(version[:], s[:2]) || !unhex(t.ID[:], s[3:35]) || !unhex(t.Span[:], s[36:52]) || !unhex(flags[:], s[53:55]) {
		return telemetry.Trace{}, false
	}
	longer := len(s) > parentLength
	switch {
	case version[0] == 0xff, version[0] == 0 && longer, longer && s[parentLength] != '-':
		return telemetry.Trace{}, false
	case t.IsZero(), t.Span == [8]byte{}:
		return telemetry.Trace{}, false
	}
	t.Sampled = flags[0]&sampledFlag != 0
	return t, true
}

// unhex decodes the hexadecimal digits of s, which are small letters, and reports whether there is
// nothing else.
func unhex(into []byte, s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(into, []byte(s))
	return err == nil
}

// appendParent appends t as a traceparent.
func appendParent(b []byte, t telemetry.Trace) []byte {
	b = append(b, "00-"...)
	b = append(hex.AppendEncode(b, t.ID[:]), '-')
	b = append(hex.AppendEncode(b, t.Span[:]), "-00"...)
	if t.Sampled {
		b[len(b)-1] = '1'
	}
	return b
}

// readParent returns the place in a trace that the sender of h names, and the tracestate that belongs
// to it. It is false if there is none, or more than one, or it is malformed: then a new trace begins
// (W3C Trace Context, section 4.3).
func readParent(h header.Fields) (t telemetry.Trace, state string, ok bool) {
	n := 0
	for value := range h.Named(traceparent) {
		if n++; n > 1 {
			return telemetry.Trace{}, "", false
		}
		t, ok = parseParent(value)
	}
	if ok {
		state = readState(h)
	}
	return t, state, ok
}

// readState returns the tracestate of h in one line, or "" if it is malformed or over a limit.
func readState(h header.Fields) (state string) {
	members := 0
	for value := range h.Named(tracestate) {
		for member := range strings.SplitSeq(value, ",") {
			if member = header.Trim(member); member == "" {
				continue
			}
			if members++; members > maxStateMembers || !isMember(member) {
				return ""
			}
		}
		if state != "" {
			state += ","
		}
		if state += value; len(state) > maxState {
			return ""
		}
	}
	return state
}

// isMember reports whether s is a member of a tracestate.
func isMember(s string) bool {
	key, value, ok := strings.Cut(s, "=")
	if !ok || key == "" || len(key) > 256 || value == "" || len(value) > 256 {
		return false
	}
	for i := range len(key) {
		if c := key[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte("_-*/@", c) < 0 {
			return false
		}
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '=' {
			return false
		}
	}
	return true
}

// dropLongBaggage removes the baggage if it is over the limit: no part of it may go on alone.
func dropLongBaggage(h *header.Fields) {
	size := 0
	for value := range h.Named(baggage) {
		size += len(value) + len(",")
	}
	if size > maxBaggage+len(",") {
		h.DelFunc(func(f *header.Field) bool { return f.Is(baggage) })
	}
}

// newTraceID returns the identity of a new trace.
func newTraceID() (id [16]byte) {
	a, b := newSpanID(), newSpanID()
	copy(id[:], a[:])
	copy(id[8:], b[:])
	return id
}

// newSpanID returns the identity of a new span, which is never zero.
func newSpanID() (id [8]byte) {
	binary.BigEndian.PutUint64(id[:], max(rand.Uint64(), 1))
	return id
}
