package forward

import (
	"io"
	"net/http"
	"net/textproto"
	"sync"
	"sync/atomic"

	"sluice/internal/hop"
)

// requestBody is a client's body as the transport reads it. The transport may
// go on reading after the exchange; the body is the server's again then.
type requestBody struct {
	request *http.Request
	limit   int64       // bytes; 0 means none
	trailer http.Header // of the request for the backend; filled in at the end
	read    atomic.Int64

	mu    sync.Mutex // not held while the body is read
	pace  pace
	err   error // of reading, but io.EOF
	ended bool
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.ended {
		b.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	began := b.pace.begin()
	b.mu.Unlock()
	n, err := b.request.Body.Read(p) // net/http allows this while the handler returns
	total := b.read.Add(int64(n))
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return 0, http.ErrBodyReadAfterClose
	}
	b.pace.end(began, n)
	switch {
	case b.limit > 0 && total > b.limit:
		err = ErrTooLarge
		b.err = err
	case err == io.EOF:
		b.pace.clear()
		for name := range b.trailer {
			b.trailer[name] = b.request.Trailer[name]
		}
	case err != nil:
		b.err = err
	}
	return n, err
}

// Close does nothing: the server closes the body.
func (b *requestBody) Close() error { return nil }

func (b *requestBody) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// end stops the reading and returns the number of bytes read.
func (b *requestBody) end() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.pace.clear()
	return b.read.Load()
}

// informer passes informational answers on until the final one is there.
type informer struct {
	w       http.ResponseWriter
	expects bool // the client waits for a 100

	mu    sync.Mutex
	ended bool
}

func (i *informer) pass(code int, header textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended || code == http.StatusContinue && !i.expects {
		return nil
	}
	h := http.Header(header)
	hop.Strip(h)
	for name, values := range h {
		i.w.Header()[name] = values
	}
	i.w.WriteHeader(code)
	clear(i.w.Header()) // they are not the final answer's
	return nil
}

func (i *informer) end() {
	i.mu.Lock()
	i.ended = true
	i.mu.Unlock()
}
