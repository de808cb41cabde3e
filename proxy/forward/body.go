package forward

import (
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"

	"sluice/internal/fieldname"
	"sluice/internal/hop"
)

// requestBody is a client's body as the transport reads it. The transport may
// go on reading after the exchange; the body is the server's again then.
type requestBody struct {
	request *http.Request
	limit   int64          // bytes; 0 means none
	trailer http.Header    // of the request for the backend; filled in at the end; nil for none
	kept    *fieldname.Set // names that do not come into it
	proceed func()         // has the client send it, before the first read; may be nil
	slow    alarm          // runs while the backend is waited for: it takes what was read, or answers
	read    atomic.Int64

	mu    sync.Mutex // not held while the body is read
	err   error      // of reading, but io.EOF
	begun bool
	whole bool // read to its end
	ended bool
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
	n, err := b.request.Body.Read(p) // net/http allows this while the handler returns
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
		b.whole = true
		if b.trailer != nil {
			fill(b.trailer, b.request.Trailer, b.kept)
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

// open reports whether the transport may be in the middle of the body. What
// follows it on the connection is then no request.
func (b *requestBody) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.whole && (b.begun || !b.ended)
}

// end stops the reading and returns the number of bytes read.
func (b *requestBody) end() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	return b.read.Load()
}

// informer passes informational answers on until the final one is there. A 100
// is the gateway's own: it goes out before the body is first read, which the
// transport does when the backend has asked for it, or taken too long.
type informer struct {
	w       http.ResponseWriter
	passes  bool           // HTTP/1.0 knows no informational answers
	expects bool           // the client waits for a 100 that is not the server's to send
	kept    *fieldname.Set // names that do not pass

	mu     sync.Mutex
	passed int
	ended  bool
}

// maxInformational bounds the informational answers to one request.
const maxInformational = 32

func newInformer(w http.ResponseWriter, r *http.Request, kept *fieldname.Set) *informer {
	return &informer{
		w:      w,
		kept:   kept,
		passes: r.ProtoAtLeast(1, 1),
		expects: r.ProtoMajor == 1 && r.ProtoMinor >= 1 && r.ContentLength != 0 &&
			httpguts.HeaderValuesContainsToken(r.Header["Expect"], "100-continue"),
	}
}

// proceed has the client send its body. Over HTTP/1.1 the server would do so by
// itself, but in the middle of what pass may be writing.
func (i *informer) proceed() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.expects && !i.ended {
		i.w.WriteHeader(http.StatusContinue)
	}
}

func (i *informer) pass(code int, header textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.passed++; i.passed > maxInformational {
		return errors.New("the backend sends one informational answer after the other")
	}
	if i.ended || !i.passes || code == http.StatusContinue {
		return nil
	}
	h := http.Header(header)
	hop.Strip(h)
	i.kept.Strip(h)
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
