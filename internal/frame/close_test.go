package frame

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

func TestValidCode(t *testing.T) {
	for code := range 1 << 16 {
		if got, want := ValidCode(ws.StatusCode(code)), mayBeSent(code); got != want {
			t.Errorf("ValidCode(%d) = %v; want %v", code, got, want)
		}
	}
}

func TestViolationsHaveWords(t *testing.T) {
	seen := map[string]bool{}
	for v := None; v <= ByteRate; v++ {
		s := v.String()
		if seen[s] || strings.HasPrefix(s, "an unknown") {
			t.Errorf("violation %d is %q, like another", v, s)
		}
		if len(s) > ws.MaxControlFramePayloadSize-2 {
			t.Errorf("violation %d does not fit into a Close frame: %q", v, s)
		}
		seen[s] = true
	}
	if got := (ByteRate + 1).String(); got != "an unknown violation" {
		t.Errorf("Violation(%d) = %q", ByteRate+1, got)
	}
}

func TestCodesOfViolations(t *testing.T) {
	others := map[Violation]ws.StatusCode{CloseReason: 1007, FrameSize: 1009, MessageSize: 1009, MessageRate: 1008, ByteRate: 1008}
	for v := None + 1; v <= ByteRate; v++ {
		want, ok := others[v]
		if !ok {
			want = 1002
		}
		if got := v.Code(); got != want {
			t.Errorf("Code of %q = %d; want %d", v, got, want)
		}
	}
}

func TestAppendClose(t *testing.T) {
	mask := [4]byte{1, 2, 3, 4}
	tests := []struct {
		name   string
		code   ws.StatusCode
		reason string
		mask   *[4]byte
		want   string
	}{
		{"for a client", 1000, "", nil, "\x88\x02\x03\xe8"},
		{"with a reason", 1014, "bad", nil, "\x88\x05\x03\xf6bad"},
		{"for a backend", 1001, "ab", &mask, "\x88\x84\x01\x02\x03\x04\x02\xebbf"},
		{"the longest reason", 1000, strings.Repeat("x", 123), nil, "\x88\x7d\x03\xe8" + strings.Repeat("x", 123)},
		{"a longer reason", 1000, strings.Repeat("x", 124), nil, "\x88\x7d\x03\xe8" + strings.Repeat("x", 123)},
		{"a reason that fits to the last character", 1000, strings.Repeat("€", 41) + "x", nil, "\x88\x7d\x03\xe8" + strings.Repeat("€", 41)},
		{"a cut before a character", 1000, "xx" + strings.Repeat("€", 41), nil, "\x88\x7c\x03\xe8xx" + strings.Repeat("€", 40)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := AppendClose([]byte("before"), tt.code, tt.reason, tt.mask)
			if want := "before" + tt.want; string(got) != want {
				t.Errorf("AppendClose(%d, %q) = %x; want %x", tt.code, tt.reason, got, want)
			}
		})
	}
}

func TestParseCloseWithoutACode(t *testing.T) {
	for _, client := range []bool{true, false} {
		b := build(client, fin|closing, "")
		if code, reason := ParseClose(b); code != 1005 || reason != "" {
			t.Errorf("ParseClose(%x) = %d, %q; want 1005 and no reason", b, code, reason)
		}
	}
}

func TestParseCloseLeavesTheFrameAsItIs(t *testing.T) {
	b := build(true, fin|closing, close4(1000, "a reason of more than sixteen bytes"))
	before := bytes.Clone(b)
	ParseClose(b)
	if !bytes.Equal(b, before) {
		t.Errorf("ParseClose changed %x to %x", before, b)
	}
}

// A Close frame that may be sent passes Next and has the code and the reason that were put in;
// one that may not be sent does not pass.
func FuzzClose(f *testing.F) {
	f.Add(uint16(1000), "", false, uint32(0))
	f.Add(uint16(1014), "backend gone", true, uint32(0xdeadbeef))
	f.Add(uint16(1005), strings.Repeat("€", 50), true, uint32(1))
	f.Add(uint16(4999), "x\xff", false, uint32(2))
	f.Fuzz(func(t *testing.T, code uint16, reason string, client bool, key uint32) {
		var mask *[4]byte
		if client {
			mask = &[4]byte{byte(key >> 24), byte(key >> 16), byte(key >> 8), byte(key)}
		}
		b := AppendClose(nil, ws.StatusCode(code), reason, mask)
		d := direction(client, false)
		v := d.Next(b, nil, 0)
		fits := len(reason) <= 123
		switch {
		case !mayBeSent(int(code)):
			if v.Violation != CloseCode {
				t.Fatalf("Next(%x) = %+v; want %v", b, v, CloseCode)
			}
			return
		case fits && !utf8.ValidString(reason):
			if v.Violation != CloseReason {
				t.Fatalf("Next(%x) = %+v; want %v", b, v, CloseReason)
			}
			return
		case !fits && !utf8.ValidString(reason):
			return // it is cut at a byte that starts a character, if there is one
		}
		if v != (Verdict{Do: Close, Take: len(b)}) {
			t.Fatalf("Next(%x) = %+v; want Close of %d bytes", b, v, len(b))
		}
		gotCode, got := ParseClose(b)
		if gotCode != ws.StatusCode(code) {
			t.Fatalf("ParseClose(%x) = code %d; want %d", b, gotCode, code)
		}
		if fits && got != reason || !strings.HasPrefix(reason, got) || !fits && len(got) < 120 {
			t.Fatalf("ParseClose(%x) = %q; want %q or as much of it as fits", b, got, reason)
		}
	})
}

// ParseClose reads the Close frames that Next lets through as the reference does.
func TestParseCloseUnmasks(t *testing.T) {
	for n := range 124 {
		reason := strings.Repeat("0123456789abcdef", 8)[:n]
		for _, client := range []bool{true, false} {
			b := build(client, fin|closing, close4(3000+n, reason))
			d := direction(client, false)
			if v := d.Next(b, nil, 0); v.Do != Close {
				t.Fatalf("Next(%x) = %+v", b, v)
			}
			if code, got := ParseClose(b); int(code) != 3000+n || got != reason {
				t.Errorf("ParseClose(%x) = %d, %q; want %d, %q", b, code, got, 3000+n, reason)
			}
		}
	}
}
