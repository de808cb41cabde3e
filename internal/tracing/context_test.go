package tracing

import (
	"encoding/hex"
	"regexp"
	"strings"
	"testing"

	"sluice/internal/header"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
	parent  = "00-" + traceID + "-" + spanID + "-01"
)

func TestParentsAreReadStrictly(t *testing.T) {
	tests := []struct {
		name, in    string
		ok, sampled bool
	}{
		{"sampled", parent, true, true},
		{"not sampled", "00-" + traceID + "-" + spanID + "-00", true, false},
		{"other flags", "00-" + traceID + "-" + spanID + "-fe", true, false},
		{"other flags and sampled", "00-" + traceID + "-" + spanID + "-03", true, true},
		{"a later version", "cc" + parent[2:], true, true},
		{"a later version with more", "cc" + parent[2:] + "-what-ever", true, true},
		{"a later version with more that is not apart", "cc" + parent[2:] + ".what", false, false},
		{"the version that is none", "ff" + parent[2:], false, false},
		{"version 0 with more", parent + "-00", false, false},
		{"version 0 with a '-' behind it", parent + "-", false, false},
		{"nothing", "", false, false},
		{"a digit too few", parent[:54], false, false},
		{"capitals", strings.ToUpper(parent), false, false},
		{"a capital in the trace", "00-" + strings.Replace(traceID, "a", "A", 1) + parent[35:], false, false},
		{"no digit in the trace", "00-" + strings.Replace(traceID, "a", "g", 1) + parent[35:], false, false},
		{"a trace of zeros", "00-" + strings.Repeat("0", 32) + parent[35:], false, false},
		{"a span of zeros", parent[:36] + strings.Repeat("0", 16) + "-01", false, false},
		{"no '-'", strings.ReplaceAll(parent, "-", "_"), false, false},
		{"no digits in the version", "0x" + parent[2:], false, false},
		{"no digits in the flags", parent[:53] + ".1", false, false},
		{"space in front", " " + parent[:54], false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseParent(tt.in)
			if ok != tt.ok || got.Sampled != tt.sampled || got.IsZero() == tt.ok {
				t.Fatalf("parseParent(%q) = %v, %v; want sampled %v, %v", tt.in, got, ok, tt.sampled, tt.ok)
			}
			if ok && (got.Name() != traceID || hex.EncodeToString(got.Span[:]) != spanID) {
				t.Errorf("parseParent(%q) = %s, %x", tt.in, got.Name(), got.Span)
			}
		})
	}
}

// What the specification says as a grammar (W3C Trace Context, section 3.2.2) is what is read, and what
// is read survives a round trip.
func FuzzParent(f *testing.F) {
	for _, s := range []string{parent, "cc" + parent[2:] + "-x", "ff" + parent[2:], parent + "-", strings.ToUpper(parent), "", "00-" + strings.Repeat("0", 32) + parent[35:]} {
		f.Add(s)
	}
	form := regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})((?s)-.*)?$`)
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseParent(s)
		m := form.FindStringSubmatch(s)
		want := m != nil && m[1] != "ff" && (m[1] != "00" || m[5] == "") && strings.Trim(m[2], "0") != "" && strings.Trim(m[3], "0") != ""
		if ok != want {
			t.Fatalf("parseParent(%q) = %v, want %v", s, ok, want)
		}
		if !ok {
			return
		}
		again := string(appendParent(nil, got))
		if back, ok := parseParent(again); !ok || back != got || again[3:52] != s[3:52] {
			t.Fatalf("%q became %q", s, again)
		}
	})
}

func TestParentsThatContradictBeginANewTrace(t *testing.T) {
	tests := []struct {
		name  string
		lines []string // name and value in turn
		ok    bool
		state string
	}{
		{"one", []string{"traceparent", parent}, true, ""},
		{"in capitals", []string{"TraceParent", parent, "TRACESTATE", "a=1"}, true, "a=1"},
		{"none", []string{"tracestate", "a=1"}, false, ""},
		{"two", []string{"traceparent", parent, "traceparent", "00" + parent[2:]}, false, ""},
		{"one and an empty one", []string{"traceparent", parent, "Traceparent", ""}, false, ""},
		{"two in one line", []string{"traceparent", parent + ", " + parent}, false, ""},
		{"malformed with a state", []string{"traceparent", "00-1-2-3", "tracestate", "a=1"}, false, ""},
		{"states of several lines", []string{"traceparent", parent, "tracestate", "a=1,b@c=2", "tracestate", "d*/-_=;:x"}, true, "a=1,b@c=2,d*/-_=;:x"},
		{"a state with an empty member", []string{"traceparent", parent, "tracestate", "a=1, ,b=2"}, true, "a=1, ,b=2"},
		{"a malformed state", []string{"traceparent", parent, "tracestate", "a=1,b"}, true, ""},
		{"a state with a key in capitals", []string{"traceparent", parent, "tracestate", "A=1"}, true, ""},
		{"a state with two '='", []string{"traceparent", parent, "tracestate", "a=1=2"}, true, ""},
		{"a state that is too long", []string{"traceparent", parent, "tracestate", "a=" + strings.Repeat("x", 255) + ",b=" + strings.Repeat("x", 255)}, true, ""},
		{"a state with too many members", []string{"traceparent", parent, "tracestate", strings.Repeat("a=1,", 33)}, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h header.Fields
			for i := 0; i < len(tt.lines); i += 2 {
				h.AddName(tt.lines[i], tt.lines[i+1])
			}
			_, state, ok := readParent(h)
			if ok != tt.ok || state != tt.state {
				t.Errorf("readParent(%v) = %q, %v; want %q, %v", h, state, ok, tt.state, tt.ok)
			}
		})
	}
}

func TestBaggageOverItsLimitIsDropped(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		left  int
	}{
		{"small", []string{"a=1", "b=2"}, 2},
		{"as long as it may be", []string{strings.Repeat("x", maxBaggage)}, 1},
		{"too long", []string{strings.Repeat("x", maxBaggage+1)}, 0},
		{"too long together", []string{strings.Repeat("x", maxBaggage/2), strings.Repeat("x", maxBaggage/2)}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h header.Fields
			h.Add(header.Accept, "*/*")
			for _, l := range tt.lines {
				h.AddName("Baggage", l)
			}
			if dropLongBaggage(&h); len(h) != 1+tt.left {
				t.Errorf("%d lines are left, want %d", len(h)-1, tt.left)
			}
		})
	}
}

func TestIdentitiesAreNeverZero(t *testing.T) {
	seen := make(map[[16]byte]bool)
	for range 1000 {
		id := newTraceID()
		if seen[id] || id == [16]byte{} || newSpanID() == [8]byte{} {
			t.Fatal("an identity is zero, or is there twice")
		}
		seen[id] = true
	}
}

func BenchmarkParent(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		parseParent(parent)
	}
}
