package httpsyntax

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestBeginsHTTP2(t *testing.T) {
	for in, want := range map[string]bool{
		"\x00\x00\x00\x04\x00\x00\x00\x00\x00":             true, // no settings
		"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03rest": true,
		"\x00\x00\x12\x04\x00\x00\x00\x00":                 false, // not whole
		"\x00\x00\x00\x04\x01\x00\x00\x00\x00":             false, // an acknowledgement
		"\x00\x00\x00\x04\x00\x00\x00\x00\x01":             false, // of a stream
		"\x00\x00\x00\x07\x00\x00\x00\x00\x00":             false, // GOAWAY
		"HTTP/1.1 200 OK\r\n\r\n":                          false,
		"":                                                 false,
	} {
		if got := BeginsHTTP2([]byte(in)); got != want {
			t.Errorf("%q: %t, want %t", in, got, want)
		}
	}
}

func TestOpening(t *testing.T) {
	for in, want := range map[string]bool{
		"\x00\x00\x00\x04\x00\x00\x00\x00\x00":             true,
		"\x00\x00\x00\x04\x00\x00\x00\x00\x00 and more":    true,
		"\x00\x00\x00\x04\x00\x00\x00\x00":                 false,
		"HTTP/1.1 200\x00\x00\x00\x04\x00\x00\x00\x00\x00": false,
		"": false,
	} {
		for _, r := range []io.Reader{strings.NewReader(in), iotest.OneByteReader(strings.NewReader(in))} {
			o := Opening{R: r}
			b, err := io.ReadAll(&o)
			if want && !errors.Is(err, ErrHTTP2) || !want && (string(b) != in || err != nil) {
				t.Errorf("%q is read as %q, %v", in, b, err)
			}
			if got := o.IsHTTP2(); got != want {
				t.Errorf("%q: %t, want %t", in, got, want)
			}
		}
	}
}

// Who reads has the beginning at once, however it came.
func TestOpeningIsNotReadInParts(t *testing.T) {
	const in = "\x00\x00\x00\x04\x00\x00\x00\x00\x01 of a stream"
	o := Opening{R: iotest.OneByteReader(strings.NewReader(in))}
	p := make([]byte, 100)
	if n, err := o.Read(p); string(p[:n]) != in[:frameHeader] || err != nil {
		t.Errorf("the first Read returns %q, %v; want %q", p[:n], err, in[:frameHeader])
	}
	if n, err := o.Read(p[:3]); string(p[:n]) != " " || err != nil {
		t.Errorf("the second Read returns %q, %v; want a space", p[:n], err)
	}
}
