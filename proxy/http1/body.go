//go:build linux && !portable

package http1

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"sluice/internal/h1"
	"sluice/internal/header"
	"sluice/internal/record"
)

// chunkBuffer is how many bytes are read at once where a body has chunks.
const chunkBuffer = 8 << 10

var chunkBuffers = sync.Pool{New: func() any { return new([chunkBuffer]byte) }}

// body is the body of a request. It may be read by another goroutine than the one that serves
// the request, and until that is done with it.
type body struct {
	conn    *conn
	left    context.CancelFunc // ends the context of the request: the client has left
	expects atomic.Bool        // the client waits for a 100 (Continue)
	proceed func() error       // sends it
	trailer http.Header        // the names that are announced; with their values at the end

	mu    sync.Mutex // held while the body is read
	frame h1.Body

	buf     *[chunkBuffer]byte // with chunks, while it is read
	data    []byte             // in buf: of a chunk, not returned yet
	rest    []byte             // in buf: not looked at yet
	err     error
	chunked bool
}

// announced returns the names of the fields that the trailer section will have, or nil.
func announced(h *h1.Head) (names http.Header) {
	if h.Length != h1.Chunks {
		return nil
	}
	for name := range h.Fields.Elements(header.Trailer) {
		if names == nil {
			names = make(http.Header)
		}
		names[http.CanonicalHeaderKey(name)] = nil
	}
	return names
}

// Read implements [io.Reader]. After a *h1.Refusal nothing is known of what follows.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.err != nil:
		return 0, b.err
	case b.frame.Done() && len(b.data) == 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	case b.expects.Swap(false):
		if b.err = b.proceed(); b.err != nil {
			return 0, b.err
		}
	}
	if b.chunked {
		return b.readChunks(p)
	}
	n, err := b.conn.readAhead(p)
	data, used, _ := b.frame.Next(p[:n])
	if used < n { // the next request
		b.conn.ahead = slices.Concat(p[used:n], b.conn.ahead)
	}
	return b.returns(len(data), err)
}

// returns returns what Read does after n bytes and an error of the connection.
func (b *body) returns(n int, err error) (int, error) {
	switch {
	case b.frame.Done() && len(b.data) == 0:
		if b.chunked {
			b.end()
		}
		return n, io.EOF
	case err == io.EOF:
		b.err = io.ErrUnexpectedEOF
	case err != nil && b.conn.Wire.ReadsEnded():
		b.err = err
		b.left()
	default:
		b.err = err
	}
	return n, b.err
}

func (b *body) readChunks(p []byte) (int, error) {
	if b.buf == nil {
		b.buf = chunkBuffers.Get().(*[chunkBuffer]byte)
	}
	for len(b.data) == 0 {
		data, used, refusal := b.frame.Next(b.rest)
		b.data, b.rest = data, b.rest[used:]
		switch {
		case refusal != nil:
			return b.returns(0, refusal)
		case b.frame.Done():
			return b.returns(0, nil)
		case used > 0:
			continue
		}
		kept := copy(b.buf[:], b.rest)
		n, err := b.conn.readAhead(b.buf[kept:])
		if b.rest = b.buf[:kept+n]; err != nil {
			return b.returns(0, err)
		}
	}
	n := copy(p, b.data)
	b.data = b.data[n:]
	return n, nil
}

// followed reports whether bytes have come behind the request; it does not know while the body is read.
func (b *body) followed() bool {
	if !b.mu.TryLock() {
		return false
	}
	defer b.mu.Unlock()
	if len(b.conn.ahead) > 0 {
		return true
	}
	r, ok := b.conn.Conn.Conn.(*record.Conn)
	return ok && r.Unread()
}

// end notes the trailer section, and leaves what follows it to the connection.
func (b *body) end() {
	for _, f := range b.frame.Trailer {
		if b.trailer == nil {
			b.trailer = make(http.Header)
		}
		b.trailer.Add(f.Name, f.Value)
	}
	b.conn.ahead = slices.Concat(b.rest, b.conn.ahead)
	b.freeBuffer()
}

// finish gives the buffer back, and reports whether the body was read to its end. Nothing is
// read any more.
func (b *body) finish() (complete bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	complete = b.err == nil && b.frame.Done() && len(b.data) == 0
	if b.freeBuffer(); !complete && b.err == nil {
		b.err = http.ErrBodyReadAfterClose
	}
	return complete
}

func (b *body) freeBuffer() {
	if b.buf != nil {
		chunkBuffers.Put(b.buf)
		b.buf, b.data, b.rest = nil, nil, nil
	}
}

// Close implements [io.Closer]. What is left of the body is the server's to read.
func (b *body) Close() error { return nil }

// readAhead reads what the loop has read already or, after that, from the connection.
func (c *conn) readAhead(p []byte) (int, error) {
	if len(c.ahead) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		c.ahead = nil
	}
	return n, nil
}
