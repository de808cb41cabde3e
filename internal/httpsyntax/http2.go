package httpsyntax

import (
	"errors"
	"io"
)

// ErrHTTP2 is what a backend fails with that is asked in HTTP/1.1 and answers in HTTP/2, as gRPC servers
// do.
var ErrHTTP2 = errors.New("it speaks HTTP/2 alone: write h2c:// in front of its address, or https:// and http2: true if it has TLS")

const (
	frameHeader = 9 // bytes before the payload of a frame (RFC 9113, section 4.1)
	settings    = 4 // the type of the frame with which an HTTP/2 server begins (section 3.4)
)

// BeginsHTTP2 reports whether in is the beginning of what an HTTP/2 server sends: a SETTINGS frame
// (RFC 9113, section 6.5), which no answer of HTTP/1.1 begins with.
func BeginsHTTP2(in []byte) bool {
	return len(in) >= frameHeader && in[0] == 0 && in[3] == settings && in[4] == 0 && string(in[5:frameHeader]) == "\x00\x00\x00\x00"
}

// An Opening reads what a server sends from R, up to a beginning in HTTP/2. Who waits for the end of
// a line, or of a head, would wait for a long time there.
type Opening struct {
	R     io.Reader
	first [frameHeader]byte
	n     int // bytes in first
}

// Read implements [io.Reader]. It fails with [ErrHTTP2] if the server has begun so. It waits until that is known; only
// where p has no room for so many bytes it returns a part of them before.
func (o *Opening) Read(p []byte) (int, error) {
	for n := 0; ; {
		read, err := o.R.Read(p[n:])
		o.n += copy(o.first[o.n:], p[n:n+read])
		n += read
		switch {
		case o.IsHTTP2():
			return 0, ErrHTTP2
		case err != nil, n == 0, n == len(p), o.first[0] != 0, o.n == frameHeader: // HTTP/1.1 has no byte that is 0
			return n, err
		}
	}
}

// IsHTTP2 reports whether the server has begun in HTTP/2.
func (o *Opening) IsHTTP2() bool { return BeginsHTTP2(o.first[:o.n]) }
