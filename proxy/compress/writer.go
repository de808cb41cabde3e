package compress

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	"sluice/internal/header"
	"sluice/internal/message"
)

const chunkSize = 32 << 10

type state uint8

const (
	unanswered state = iota // no final status yet
	undecided               // the headers, and fewer bytes than the minimum size, are held back
	plain                   // the answer passes as it is
	encoding                // it goes through an encoder
	headOnly                // the answer to a HEAD request; that to a GET would be compressed
	finished
)

var errFinished = errors.New("the answer was finished before this write")

// writer is the ResponseWriter of one answer.
type writer struct {
	http.ResponseWriter
	c      *Compressor
	r      *message.Request
	coding *coding // that the client ranks highest; nil when the answer must stay as it is
	state  state
	status int
	held   *held   // while undecided, else nil
	left   int64   // bytes of the declared length that the encoder has not got yet; -1 without one
	enc    *pooled // while encoding, else nil
}

// held is the part of an undecided answer that has not been sent.
type held struct {
	body   []byte
	header http.Header // as it was at WriteHeader
	late   http.Header // while held is released: as the handler has changed it since, for trailers
}

// Unwrap lets [http.ResponseController] reach the writer below.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writer) WriteHeader(status int) {
	if w.state != unanswered {
		return
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.status = status
	w.state = w.decide()
	switch w.state {
	case undecided:
		w.held = w.c.held.Get().(*held)
		maps.Copy(w.held.header, w.Header())
		return
	case headOnly:
		setEncoded(w.Header(), w.coding.name)
	}
	w.ResponseWriter.WriteHeader(status)
}

// decide returns the state of an answer by its status and headers, and sets the
// header fields that do not depend on its length.
func (w *writer) decide() state {
	h := w.Header()
	switch {
	case w.status == http.StatusNotModified:
		w.c.setNotModified(h, w.r)
		return plain
	case w.status < 200, w.status == http.StatusNoContent, w.status == http.StatusResetContent, !w.c.eligible(h):
		return plain
	}
	addVary(h)
	w.left = length(h)
	switch {
	case w.coding == nil, w.status == http.StatusPartialContent, len(h["Content-Range"]) > 0, noTransform(slices.Collect(w.r.Header.Values(header.CacheControl))):
		return plain
	case w.left >= 0 && w.left < int64(w.c.minSize):
		return plain
	case w.left >= 0 && w.r.Method == http.MethodHead:
		return headOnly
	}
	return undecided
}

func (w *writer) Write(p []byte) (int, error) {
	if w.state == unanswered {
		w.WriteHeader(http.StatusOK)
	}
	switch w.state {
	case undecided:
		if len(w.held.body)+len(p) < w.c.minSize {
			w.held.body = append(w.held.body, p...)
			return len(p), nil
		}
		if err := w.encode(); err != nil {
			return 0, err
		}
		return w.Write(p)
	case encoding:
		return w.compress(p)
	case headOnly:
		return len(p), nil
	case finished:
		return 0, errFinished
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom passes the rest of r to the writer below as soon as the answer is not
// compressed: a file then goes to the socket without a copy.
func (w *writer) ReadFrom(r io.Reader) (n int64, err error) {
	if w.state == unanswered {
		w.WriteHeader(http.StatusOK)
	}
	if w.state != plain {
		chunk := w.c.chunks.Get().(*[chunkSize]byte)
		defer w.c.chunks.Put(chunk)
		for w.state != plain {
			k, rerr := r.Read(chunk[:])
			m, err := w.Write(chunk[:k])
			n += int64(m)
			switch {
			case err != nil:
				return n, err
			case rerr == io.EOF:
				return n, nil
			case rerr != nil:
				return n, rerr
			}
		}
	}
	k, err := io.Copy(w.ResponseWriter, r)
	return n + k, err
}

// FlushError sends what is there. An answer that is still undecided is a stream,
// and stays as it is.
func (w *writer) FlushError() error {
	if w.state == unanswered {
		w.WriteHeader(http.StatusOK)
	}
	var err error
	switch w.state {
	case undecided:
		err = w.release(plain)
	case encoding:
		err = w.enc.Flush()
	case finished:
		err = errFinished
	}
	if err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// encode decides that the answer is compressed, unless there is no encoder for
// it.
func (w *writer) encode() error {
	if w.r.Method == http.MethodHead {
		return w.release(headOnly)
	}
	if w.enc = w.coding.get(w.ResponseWriter); w.enc == nil {
		return w.release(plain)
	}
	return w.release(encoding)
}

// release puts the answer into a state behind undecided, and sends what was held
// back.
func (w *writer) release(decided state) error {
	w.state = decided
	held, h := w.held, w.Header()
	w.held = nil
	replace(held.late, h)
	replace(h, held.header)
	if decided != plain {
		setEncoded(h, w.coding.name)
	}
	w.ResponseWriter.WriteHeader(w.status)
	replace(h, held.late)
	var err error
	if len(held.body) > 0 {
		_, err = w.Write(held.body)
	}
	held.body = held.body[:0]
	clear(held.header)
	clear(held.late)
	w.c.held.Put(held)
	return err
}

func replace(dst, src http.Header) {
	clear(dst)
	maps.Copy(dst, src)
}

// compress gives p to the encoder. It checks the length that the handler has
// declared: it is not sent, so the server below cannot check it.
func (w *writer) compress(p []byte) (int, error) {
	if w.left >= 0 {
		if int64(len(p)) > w.left {
			return 0, http.ErrContentLength
		}
		w.left -= int64(len(p))
	}
	return w.enc.Write(p)
}

// finish ends the answer; see [Compressor.Wrap].
func (w *writer) finish() (err error) {
	switch w.state {
	case undecided:
		err = w.release(plain)
	case encoding:
		if w.left > 0 {
			err = fmt.Errorf("the answer is %d bytes shorter than its Content-Length", w.left)
		} else {
			err = w.enc.Close()
		}
		w.coding.put(w.enc)
		w.enc = nil
		dropDigests(w.Header()) // those that are trailers
	}
	w.state = finished
	return err
}
