package forward

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"sluice/internal/fieldname"
	"sluice/internal/message"
)

// requestBody is the body of a client's request, for the transport. The transport
// may still read when the exchange is over; after end it gets nothing more,
// because the body belongs to the server again.
type requestBody struct {
	request  *message.Request
	limit    int64          // bytes; 0 for none
	trailer  http.Header    // of the request for the backend, filled at the end of the body; nil for none
	reserved *fieldname.Set // names that must not be in trailer
	proceed  func()         // makes the client send the body, before the first read; may be nil
	slow     timeout        // runs while the backend takes what was read, and until it answers
	read     atomic.Int64   // bytes

	mu       sync.Mutex // not held while the body is read
	err      error      // of reading, except for io.EOF
	begun    bool
	complete bool // read to its end
	ended    bool
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.ended {
		b.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	begun := b.begun
	b.begun = true
	b.mu.Unlock()
	if !begun && b.proceed != nil {
		b.proceed()
	}
	b.slow.pause()
	n, err := b.request.Body().Read(p) // net/http allows this while the handler returns
	total := b.read.Add(int64(n))
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return 0, http.ErrBodyReadAfterClose
	}
	b.slow.start()
	switch {
	case b.limit > 0 && total > b.limit:
		err = ErrTooLarge
		b.err = err
	case err == io.EOF:
		b.complete = true
		if b.trailer != nil {
			copyTrailer(b.trailer, b.request.Trailer(), b.reserved)
		}
	case err != nil:
		b.err = err
	}
	return n, err
}

// Close does nothing: the server closes the body.
func (b *requestBody) Close() error { return nil }

// failed returns the error of reading the body, or nil.
func (b *requestBody) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// unfinished reports whether the transport may be in the middle of the body. Then
// what follows on the client's connection is not a request.
func (b *requestBody) unfinished() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.complete && (b.begun || !b.ended)
}

// end stops the reading and returns the number of bytes that were read.
func (b *requestBody) end() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	return b.read.Load()
}
