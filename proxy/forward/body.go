package forward

import (
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"

	"sluice/internal/hop"
)

// requestBody is a client's body as the transport reads it. The transport may
// go on reading after the exchange; the body is the server's again then.
type requestBody struct {
	body io.Reader
	read atomic.Int64

	mu    sync.Mutex
	err   error // of reading, but io.EOF
	ended bool
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	ended := b.ended
	b.mu.Unlock()
	if ended {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.body.Read(p) // net/http allows this while the handler returns
	b.read.Add(int64(n))
	if err != nil && err != io.EOF {
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
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
	b.ended = true
	b.mu.Unlock()
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

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// stream copies the body of res to w and returns its length. What comes in
// pieces goes out in pieces.
func stream(w http.ResponseWriter, res *http.Response) (n int64, err error) {
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	live := res.ContentLength < 0 || strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream")
	flusher := http.NewResponseController(w)
	if live { // an event stream may be silent at first
		if err := flusher.Flush(); err != nil {
			return 0, &Error{Client: true, Stage: "writing the answer", Err: err}
		}
	}
	for {
		k, rerr := res.Body.Read(buf[:])
		if k > 0 {
			m, werr := w.Write(buf[:k])
			n += int64(m)
			if werr == nil && live {
				werr = flusher.Flush()
			}
			if werr != nil {
				return n, &Error{Client: true, Stage: "writing the answer", Err: werr}
			}
		}
		if rerr == io.EOF {
			return n, nil
		}
		if rerr != nil {
			return n, &Error{Stage: "reading the answer", Err: rerr}
		}
	}
}
