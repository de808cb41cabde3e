package forward

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// flushDelay is how long the backend must send nothing, in the middle of a body,
// before what has come so far is flushed to the client.
const flushDelay = 10 * time.Millisecond

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copyBody copies the body of res to w and returns its length in bytes. The error
// is an *[Error].
func copyBody(w http.ResponseWriter, res *http.Response) (int64, error) {
	out := &bodyWriter{
		w: w, controller: http.NewResponseController(w), length: res.ContentLength,
		live: strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream"),
	}
	defer out.end()
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	for n := 0; ; {
		err := out.write(buf[:n]) // the first time only the head
		if err != nil {
			return out.n, &Error{Client: true, Stage: "writing the answer", Err: err}
		}
		n, err = res.Body.Read(buf[:])
		switch {
		case err == io.EOF:
			if err = out.write(buf[:n]); err != nil {
				return out.n, &Error{Client: true, Stage: "writing the answer", Err: err}
			}
			return out.n, nil
		case err != nil:
			out.write(buf[:n])
			return out.n, &Error{Stage: "reading the answer", Err: err}
		}
	}
}

// bodyWriter writes a body to the client, and flushes it when no more comes for
// flushDelay.
type bodyWriter struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	length     int64 // of the body; negative if unknown
	live       bool  // flush each piece at once

	mu    sync.Mutex // between write and flush
	n     int64      // bytes written
	timer *time.Timer
	dirty bool // something is not flushed
	ended bool
}

// write writes p. The first call writes the head too, even if p is empty.
func (b *bodyWriter) write(p []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(p) > 0 {
		n, err := b.w.Write(p)
		b.n += int64(n)
		if err != nil {
			return err
		}
	}
	var err error
	switch {
	case b.live:
		err = b.controller.Flush()
	case b.n == b.length, len(p) == 0 && b.length >= 0: // the body is complete, or begins soon
		b.dirty = false
	case b.timer == nil:
		b.dirty = true
		b.timer = time.AfterFunc(flushDelay, b.flush)
	case !b.dirty:
		b.dirty = true
		b.timer.Reset(flushDelay)
	}
	return err
}

// flush is called by the timer. The next write returns its error.
func (b *bodyWriter) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dirty && !b.ended {
		b.dirty = false
		b.controller.Flush()
	}
}

// end makes sure that the timer does nothing from now on.
func (b *bodyWriter) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	if b.timer != nil {
		b.timer.Stop()
	}
}
