package httpsyntax

import (
	"errors"
	"strings"
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
	for text, want := range map[string]error{
		`net/http: HTTP/1.x transport connection broken: malformed HTTP response "\x00\x00\x12\x04\x00\x00"`: ErrHTTP2,
		`readLoopPeekFailLocked: %!w(<nil>)`:            errUnasked,
		`readLoopPeekFailLocked: read tcp: i/o timeout`: nil,
		`malformed HTTP response "hello"`:               nil,
	} {
		err := errors.New(text)
		if want == nil {
			want = err
		}
		if got := ClearHTTP2(err); got != want {
			t.Errorf("%s becomes %v; want %v", text, got, want)
		}
	}
	if !strings.Contains(errUnasked.Error(), ErrHTTP2.Error()) {
		t.Errorf("%v does not say what to write", errUnasked)
	}
	if ClearHTTP2(nil) != nil {
		t.Error("no error became one")
	}
}
