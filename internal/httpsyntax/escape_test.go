package httpsyntax_test

import (
	"net/url"
	"strings"
	"testing"

	"sluice/internal/httpsyntax"
)

func TestEscape(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{name: "nothing", in: "", want: ""},
		{name: "unreserved bytes", in: "azAZ09-._~", want: "azAZ09-._~"},
		{name: "first byte", in: " a", want: "%20a"},
		{name: "last byte", in: "a/", want: "a%2F"},
		{name: "sign of escapes", in: "%41", want: "%2541"},
		{name: "not ASCII", in: "é", want: "%C3%A9"},
		{name: "smallest and largest byte", in: "\x00\xff", want: "%00%FF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := httpsyntax.Escape(tt.in, httpsyntax.IsUnreserved); got != tt.want {
				t.Errorf("Escape(%q, IsUnreserved) = %q; want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestEscapeOfNothingAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { httpsyntax.Escape("a-b_c.d~e", httpsyntax.IsUnreserved) }); n != 0 {
		t.Errorf("Escape allocates %v times; want 0", n)
	}
}

func TestUnescape(t *testing.T) {
	tests := []struct {
		name, in string
		want     byte
		ok       bool
	}{
		{name: "digits", in: "%20", want: ' ', ok: true},
		{name: "capitals", in: "%AF", want: 0xaf, ok: true},
		{name: "small letters", in: "%af", want: 0xaf, ok: true},
		{name: "more behind it", in: "%2Fabc", want: '/', ok: true},
		{name: "NUL", in: "%00", want: 0, ok: true},
		{name: "cut", in: "%2"},
		{name: "no escape", in: "abc"},
		{name: "no digit", in: "%2g"},
		{name: "sign", in: "%+1"},
		{name: "empty", in: ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := httpsyntax.Unescape(tt.in); ok != tt.ok || ok && got != tt.want {
				t.Errorf("Unescape(%q) = %#02x, %v; want %#02x, %v", tt.in, got, ok, tt.want, tt.ok)
			}
		})
	}
}

// FuzzEscape: what is escaped holds only what may stand there, and stands for what it came from.
func FuzzEscape(f *testing.F) {
	for _, seed := range []string{"", "a b", "%2f", "é\x00", strings.Repeat("~", 40)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		escaped := httpsyntax.Escape(in, httpsyntax.IsUnreserved)
		if back, err := url.PathUnescape(escaped); err != nil || back != in {
			t.Fatalf("Escape(%q) = %q, which stands for %q, %v", in, escaped, back, err)
		}
		for i := 0; i < len(escaped); i++ {
			c, ok := httpsyntax.Unescape(escaped[i:])
			switch {
			case ok && httpsyntax.IsUnreserved(c):
				t.Fatalf("Escape(%q) = %q, which escapes %q", in, escaped, c)
			case ok:
				i += len("XX")
			case !httpsyntax.IsUnreserved(escaped[i]):
				t.Fatalf("Escape(%q) = %q, which holds %q", in, escaped, escaped[i])
			}
		}
	})
}

func BenchmarkEscape(b *testing.B) {
	for name, s := range map[string]string{"clean": "id=1234567890&name=somebody-else&page=42", "escaped": "id=1234567890&name=somebody else&page=42"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				httpsyntax.Escape(s, func(c byte) bool { return c > ' ' && c < 0x7f })
			}
		})
	}
}
