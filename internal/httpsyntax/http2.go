package httpsyntax

import (
	"errors"
	"strings"
)

// ErrHTTP2 is what a backend fails with that is asked in HTTP/1.1 and answers in HTTP/2, as gRPC servers
// do.
var ErrHTTP2 = errors.New("it speaks HTTP/2 alone: " + forHTTP2)

// errUnasked is what a backend fails with that has sent something before the request, where what it was is not known.
var errUnasked = errors.New("it has sent something before it was asked, as HTTP/2 servers do; if it speaks HTTP/2 alone: " + forHTTP2)

const forHTTP2 = "write h2c:// in front of its address, or https:// and http2: true if it has TLS"

// settings is the type of the frame with which an HTTP/2 server begins (RFC 9113, section 3.4).
const settings = 4

// BeginsHTTP2 reports whether in is the beginning of what an HTTP/2 server sends: a SETTINGS frame
// (RFC 9113, section 6.5), which no answer of HTTP/1.1 begins with.
func BeginsHTTP2(in []byte) bool {
	const header = 9
	return len(in) >= header && in[0] == 0 && in[3] == settings && in[4] == 0 && string(in[5:header]) == "\x00\x00\x00\x00"
}

// ClearHTTP2 returns [ErrHTTP2] for an error of net/http that shows such a beginning, one that says so for one that may
// hide it, and others as they are.
func ClearHTTP2(err error) error {
	switch {
	case err == nil:
	case strings.Contains(err.Error(), `malformed HTTP response "\x00\x00`):
		return ErrHTTP2
	case strings.Contains(err.Error(), "readLoopPeekFailLocked: %!w(<nil>)"): // a connection that was idle a moment ago
		return errUnasked
	}
	return err
}
