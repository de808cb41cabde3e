package httpsyntax

import (
	"errors"
	"strings"
)

// ErrHTTP2 is what a backend fails with that is asked in HTTP/1.1 and answers in HTTP/2, as gRPC servers
// do.
var ErrHTTP2 = errors.New("it speaks HTTP/2 alone: write h2c:// in front of its address, or https:// and http2: true if it has TLS")

// settings is the type of the frame with which an HTTP/2 server begins (RFC 9113, section 3.4).
const settings = 4

// BeginsHTTP2 reports whether in is the beginning of what an HTTP/2 server sends: a SETTINGS frame
// (RFC 9113, section 6.5), which no answer of HTTP/1.1 begins with.
func BeginsHTTP2(in []byte) bool {
	const header = 9
	return len(in) >= header && in[0] == 0 && in[3] == settings && in[4] == 0 && string(in[5:header]) == "\x00\x00\x00\x00"
}

// ClearHTTP2 returns [ErrHTTP2] for an error of net/http that shows such a beginning, and others as they
// are.
func ClearHTTP2(err error) error {
	if err != nil && strings.Contains(err.Error(), `malformed HTTP response "\x00\x00`) {
		return ErrHTTP2
	}
	return err
}
