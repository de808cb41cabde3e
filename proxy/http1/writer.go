//go:build linux && !portable

package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/internal/h1"
	"sluice/internal/header"
)

// answerBuffer is how many bytes of an answer are gathered before they are written: a body
// that fits and ends needs no length from its handler, and goes out with its head.
const answerBuffer = 4 << 10

var answerBuffers = sync.Pool{New: func() any { b := make([]byte, 0, answerBuffer+1<<10); return &b }}

// writer is the [http.ResponseWriter] of a request. It implements what an
// [http.ResponseController] asks for.
type writer struct {
	conn   *conn
	body   body // of the request
	method string
	minor  int // of the client's version of HTTP

	header    http.Header
	fields    header.Fields // of the answer, as they were when it began
	status    int           // of the final answer; 0 until it begins
	beginning sync.Mutex    // guards status where the body is read by another goroutine
	length    int64         // of the answer's body, in bytes, if declared is set
	written   int64         // bytes of the body that the handler has written
	trailers  []string      // names that the handler has announced
	declared  bool          // the handler has set the length

	head     bool    // the head is in out, or was written
	chunked  bool    // the body goes out in chunks
	closes   bool    // the connection ends with the answer
	last     bool    // the client sends no other request
	hijacked bool    // the connection is the handler's
	out      *[]byte // waits to be written; nil while nothing does
	err      error   // of a write
}

// newWriter returns the writer of a request without a body.
func newWriter(c *conn, method string, minor int, closes bool) *writer {
	w := &writer{conn: c, method: method, minor: minor, header: make(http.Header), closes: closes, last: closes}
	w.body.proceed = w.sendContinue
	return w
}

// newWriterFor returns the writer of a request with a head, and with trailer fields that it has
// announced.
func newWriterFor(c *conn, h *h1.Head, announced http.Header) *writer {
	w := newWriter(c, h.Method, h.Minor, h.Close)
	w.body.conn, w.body.trailer, w.body.chunked = c, announced, h.Length == h1.Chunks
	w.body.frame.Start(h.Length)
	w.body.expects.Store(h.Expects)
	return w
}

// Header implements [http.ResponseWriter].
func (w *writer) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter].
func (w *writer) WriteHeader(status int) {
	switch {
	case w.hijacked || w.status != 0:
	case status < 100 || status > 999:
		panic("http1: invalid status " + strconv.Itoa(status))
	case status == http.StatusContinue:
		if w.body.expects.Swap(false) {
			w.sendContinue()
		}
	case status < 200:
		w.sendInformational(status)
	default:
		w.begin(status)
	}
}

// sendContinue makes the client send its body.
func (w *writer) sendContinue() error {
	w.beginning.Lock()
	defer w.beginning.Unlock()
	if w.status != 0 {
		return nil
	}
	_, err := w.conn.Conn.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
	return err
}

// sendInformational sends an informational answer with the fields that are set.
func (w *writer) sendInformational(status int) {
	if w.minor == 0 { // RFC 9110, section 15.2
		return
	}
	b := appendStatus(nil, status)
	fields := header.FromHTTP(w.header)
	fields.Del(header.ContentLength)
	fields.Del(header.TransferEncoding)
	w.send(append(fields.Append(b), "\r\n"...))
}

// begin fixes status and header of the answer.
func (w *writer) begin(status int) {
	w.beginning.Lock() // a 100 is sent before it, or never
	w.status = status
	w.beginning.Unlock()
	w.body.expects.Store(false)
	w.fields = header.FromHTTP(w.header)
	if n, err := strconv.ParseInt(w.fields.Get(header.ContentLength), 10, 64); err == nil && n >= 0 {
		w.length, w.declared = n, true
	} else {
		w.fields.Del(header.ContentLength)
	}
	for name := range w.fields.Elements(header.Trailer) {
		w.trailers = append(w.trailers, http.CanonicalHeaderKey(name))
	}
	w.fields.DelFunc(func(f *header.Field) bool {
		return strings.HasPrefix(f.Name, http.TrailerPrefix) || slices.Contains(w.trailers, f.Name)
	})
}

// hasBody reports whether an answer of that status to the request has a body.
func (w *writer) hasBody() bool { return hasBody(w.method, w.status) }

// Write implements [http.ResponseWriter].
func (w *writer) Write(p []byte) (int, error) {
	if w.hijacked {
		return 0, http.ErrHijacked
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case w.status == http.StatusNoContent || w.status == http.StatusNotModified:
		return 0, http.ErrBodyNotAllowed
	case w.declared && w.written+int64(len(p)) > w.length:
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if w.method == http.MethodHead {
		return len(p), nil
	}
	b := w.buffer()
	if !w.head && !w.declared && len(*b)+len(p) <= answerBuffer {
		*b = append(*b, p...) // it may be all of the body
		return len(p), nil
	}
	if !w.head {
		before := slices.Clone(*b)
		*b = (*b)[:0]
		w.appendHead(append(before, p...), false)
		w.appendBody(before)
	}
	return len(p), w.gather(p)
}

// gather adds p to what waits to be written, and writes it if it has become much.
func (w *writer) gather(p []byte) error {
	b := w.buffer()
	if len(*b)+len(p) <= answerBuffer {
		w.appendBody(p)
		return w.err
	}
	if w.chunked {
		*b = appendChunkSize(*b, len(p))
		if err := w.flush(); err != nil {
			return err
		}
		if err := w.send(p); err != nil {
			return err
		}
		*w.buffer() = append(*w.buffer(), "\r\n"...)
		return nil
	}
	if len(*b) > 0 && len(p) <= 32<<10 { // one call of the system
		*b = append(*b, p...)
		return w.flush()
	}
	if err := w.flush(); err != nil {
		return err
	}
	return w.send(p)
}

// appendBody adds p, a piece of the body, to what waits to be written.
func (w *writer) appendBody(p []byte) {
	b := w.buffer()
	if len(p) == 0 {
		return
	}
	if !w.chunked {
		*b = append(*b, p...)
		return
	}
	*b = appendChunkSize(*b, len(p))
	*b = append(append(*b, p...), "\r\n"...)
}

func appendChunkSize(b []byte, n int) []byte {
	return append(strconv.AppendInt(b, int64(n), 16), "\r\n"...)
}

// appendHead adds the head to what waits to be written. Body is what there is of the body;
// whole says that it is all.
func (w *writer) appendHead(body []byte, whole bool) {
	w.head = true
	f := &w.fields
	closes := f.HasToken(header.Connection, "close")
	switch {
	case !w.hasBody():
		f.Del(header.TransferEncoding)
		if w.status == http.StatusNoContent {
			f.Del(header.ContentLength)
		}
	case w.declared:
		f.Del(header.TransferEncoding)
	case whole:
		w.length, w.declared = int64(len(body)), true
		f.Set(header.ContentLength, strconv.Itoa(len(body)))
	case w.minor > 0:
		w.chunked = true
		f.Set(header.TransferEncoding, "chunked")
	default:
		w.closes = true // the body ends with the connection
		f.Del(header.TransferEncoding)
	}
	if w.declared && whole && w.hasBody() && w.written < w.length {
		w.closes = true // the answer is cut
	}
	if _, set := w.header["Content-Type"]; !set && len(body) > 0 && !f.Has(header.ContentType) && !f.Has(header.ContentEncoding) {
		f.Add(header.ContentType, http.DetectContentType(body))
	}
	if _, set := w.header["Date"]; !set {
		f.Add(header.Date, time.Now().UTC().Format(http.TimeFormat))
	}
	if w.closes = w.closes || closes || w.conn.server.stopping.Load(); w.closes && w.status != http.StatusUpgradeRequired && !closes {
		f.Set(header.Connection, "close")
	} else if !w.closes && w.minor == 0 && !f.Has(header.Connection) {
		f.Add(header.Connection, "keep-alive")
	}
	b := w.buffer()
	*b = appendStatus(*b, w.status)
	*b = append(f.Append(*b), "\r\n"...)
}

// appendStatus appends a status line.
func appendStatus(b []byte, status int) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(status)...)
	return append(b, "\r\n"...)
}

// finish sends the end of the answer.
func (w *writer) finish() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.head {
		body := slices.Clone(*w.buffer())
		*w.buffer() = (*w.buffer())[:0]
		w.appendHead(body, true)
		w.appendBody(body)
	}
	if w.chunked {
		b := w.buffer()
		*b = append(*b, "0\r\n"...)
		*b = append(w.trailer().Append(*b), "\r\n"...)
	}
	if w.declared && w.hasBody() && w.written != w.length {
		w.closes = true // the client can tell that it is cut
	}
	err := w.flush()
	if w.out != nil {
		*w.out = (*w.out)[:0]
		answerBuffers.Put(w.out)
		w.out = nil
	}
	w.closes = !w.body.finish() || w.closes
	return err
}

// trailer returns the trailer section: the fields that were announced, and those whose names
// begin with [http.TrailerPrefix].
func (w *writer) trailer() (t header.Fields) {
	for _, name := range w.trailers {
		for _, v := range w.header[name] {
			t.AddName(name, v)
		}
	}
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			for _, v := range values {
				t.AddName(name, v)
			}
		}
	}
	return t
}

// keepsAlive reports whether the connection can carry another request after the answer.
func (w *writer) keepsAlive() bool { return !w.closes && w.err == nil }

// FlushError is for [http.ResponseController].
func (w *writer) FlushError() error {
	if w.hijacked {
		return http.ErrHijacked
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.head {
		body := slices.Clone(*w.buffer())
		*w.buffer() = (*w.buffer())[:0]
		w.appendHead(body, false)
		w.appendBody(body)
	}
	return w.flush()
}

func (w *writer) buffer() *[]byte {
	if w.out == nil {
		w.out = answerBuffers.Get().(*[]byte)
	}
	return w.out
}

// flush writes what waits.
func (w *writer) flush() error {
	if w.out == nil || len(*w.out) == 0 {
		return w.err
	}
	err := w.send(*w.out)
	*w.out = (*w.out)[:0]
	return err
}

// send writes p to the connection.
func (w *writer) send(p []byte) error {
	if w.err == nil {
		_, w.err = w.conn.Conn.Write(p)
	}
	return w.err
}

// SetReadDeadline is for [http.ResponseController].
func (w *writer) SetReadDeadline(t time.Time) error { return w.conn.Wire.SetReadDeadline(t) }

// SetWriteDeadline is for [http.ResponseController].
func (w *writer) SetWriteDeadline(t time.Time) error { return w.conn.Wire.SetWriteDeadline(t) }

// EnableFullDuplex is for [http.ResponseController]: nothing is read but by the handler.
func (w *writer) EnableFullDuplex() error { return nil }

// Hijack implements [http.Hijacker].
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.hijacked {
		return nil, nil, http.ErrHijacked
	}
	if w.head || w.status != 0 {
		return nil, nil, errors.New("the answer has begun")
	}
	w.hijacked = true
	w.conn.Wire.SetDeadline(time.Time{})
	in := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(w.conn.ahead), w.conn.Conn), max(len(w.conn.ahead), 16))
	in.Peek(len(w.conn.ahead))
	return w.conn.Conn.Conn, bufio.NewReadWriter(in, bufio.NewWriter(w.conn.Conn)), nil
}
