package forward

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// pauseTime is how long a backend has to be silent in the middle of a body for
// what has come so far to be sent on.
const pauseTime = 10 * time.Millisecond

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// stream copies the body of res to w and returns its length in bytes.
func (x *Exchange) stream(w http.ResponseWriter, res *http.Response) (int64, error) {
	out := &client{
		w: w, rc: http.NewResponseController(w), length: res.ContentLength,
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

// client is who a body is written to.
type client struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	length int64 // of the body, negative when unknown
	live   bool  // every piece goes out at once

	mu    sync.Mutex // between the writer and the timer
	n     int64
	timer *time.Timer
	dirty bool // something is not flushed
	ended bool
}

// write writes p. The head goes with the first piece, even if that is empty.
func (c *client) write(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(p) > 0 {
		n, err := c.w.Write(p)
		c.n += int64(n)
		if err != nil {
			return err
		}
	}
	var err error
	switch {
	case c.live:
		err = c.rc.Flush()
	case c.n == c.length, len(p) == 0 && c.length >= 0: // whole, or soon to come
		c.dirty = false
	case c.timer == nil:
		c.dirty = true
		c.timer = time.AfterFunc(pauseTime, c.flush)
	case !c.dirty:
		c.dirty = true
		c.timer.Reset(pauseTime)
	}
	return err
}

// flush is called by the timer. An error comes back at the next write.
func (c *client) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dirty && !c.ended {
		c.dirty = false
		c.rc.Flush()
	}
}

// end makes sure that the timer does nothing any more.
func (c *client) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.timer != nil {
		c.timer.Stop()
	}
}
