package httpsyntax

import (
	"errors"
	"testing"
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

func TestClearHTTP2(t *testing.T) {
	for text, want := range map[string]bool{
		`net/http: HTTP/1.x transport connection broken: malformed HTTP response "\x00\x00\x12\x04\x00\x00"`: true,
		`malformed HTTP response "hello"`: false,
	} {
		err := errors.New(text)
		if got := ClearHTTP2(err); errors.Is(got, ErrHTTP2) != want || !want && got != err {
			t.Errorf("%s becomes %v", text, got)
		}
	}
	if ClearHTTP2(nil) != nil {
		t.Error("no error became one")
	}
}
