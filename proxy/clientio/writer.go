package clientio

import (
	"net/http"
	"sync/atomic"
	"time"

	"sluice/internal/message"
)

const (
	// flushTime is how long a client may take for the end of an answer that is sent
	// after the handler: some KiB at most.
	flushTime = 30 * time.Second

	// bufferedSize is how many bytes of an answer net/http buffers, whatever the
	// client does.
	bufferedSize = 2 << 10

	// pieceSize is how many bytes are written to a stream of a multiplexed
	// connection at once: the progress of the stream is seen piece by piece.
	pieceSize = 16 << 10
)

// Writer is the ResponseWriter next to the client. It counts what goes out and
// bounds how long it waits for the client.
type Writer struct {
	http.ResponseWriter
	Conn *Conn

	Status     int   // of the final answer; 0 until it begins
	Written    int64 // bytes of the body
	CloseAfter bool  // the connection must close after the answer (HTTP/1)
	Hijacked   bool  // the connection does not belong to HTTP any more

	control *http.ResponseController
	body    *body   // of the request; nil without one
	rate    float64 // bytes a second that the client must take at least; 0 means any
	credit  *credit // nil until the answer is larger than net/http's buffer
	tooSlow atomic.Bool
	streams bool // the connection is multiplexed
}

// Begin takes a request of conn over from what has read it: from now on its body is
// read, and its answer written, within the bounds of [DefaultRate]. The caller must call
// [Writer.Finish] at the end.
func Begin(conn *Conn, w http.ResponseWriter, r *message.Request) *Writer {
	control := http.NewResponseController(w)
	out := &Writer{
		ResponseWriter: w, Conn: conn, control: control, body: newBody(r, conn, control),
		rate: DefaultRate, streams: r.ProtoMajor > 1,
	}
	conn.start(r)
	if r.ProtoMajor == 1 { // the deadlines are those of the request before
		control.SetReadDeadline(time.Time{})
		control.SetWriteDeadline(time.Time{})
	}
	return out
}

// SetRate sets the rate, in bytes a second, at which the client must send the body
// and take the answer. 0 means any. It must be called before the answer begins.
func (w *Writer) SetRate(rate float64) {
	w.rate = rate
	if w.body != nil {
		w.body.credit.rate = rate
	}
}

// HasBody reports whether the request has a body, which may turn out to be empty.
func (w *Writer) HasBody() bool { return w.body != nil }

// BodyIsEmpty reports whether the request's body ends before its first byte. It
// waits until that is known; the body can be read as before.
func (w *Writer) BodyIsEmpty() bool { return w.body == nil || w.body.empty() }

// Multiplexed reports whether the connection has several streams.
func (w *Writer) Multiplexed() bool { return w.streams }

// FinishStream is called before [Writer.Finish], while the request still counts as one that
// is in work. Over HTTP/2 it reads the rest of a short body of which the client has said the
// length, so that the client hears an answer that came early.
func (w *Writer) FinishStream() {
	if w.streams && w.body != nil && w.Status != 0 {
		w.control.SetWriteDeadline(time.Now().Add(flushTime))
		w.body.drainStream(w.control)
	}
}

// Finish must be called when the handler has returned or panicked. It bounds what
// net/http still has to send, and reads or refuses the rest of the request's body.
// Completed is false after a panic. It does nothing once the connection is hijacked.
func (w *Writer) Finish(completed bool) {
	if w.Hijacked {
		return
	}
	w.control.SetWriteDeadline(time.Now().Add(flushTime))
	w.body.drainRest(w.control, !completed || w.Header().Get("Connection") == "close")
}

// Unwrap is for http.ResponseController.
func (w *Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *Writer) WriteHeader(status int) {
	if status >= 200 && w.Status == 0 {
		w.Status = status
		if w.body.answerBegins() || w.CloseAfter {
			w.Header().Set("Connection", "close")
		} else if w.Conn.Leaving != nil && w.Conn.Leaving.Load() && w.Header().Get("Connection") == "" {
			w.Header().Set("Connection", "close") // over HTTP/2 net/http sends GOAWAY instead
		}
	}
	if status < 200 { // goes out at once
		w.ensureCredit().startWait()
		defer w.credit.endWait()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *Writer) Write(p []byte) (n int, err error) {
	if w.Status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	for len(p) > 0 && err == nil {
		piece := p
		if w.streams {
			piece = p[:min(len(p), pieceSize)]
		}
		var m int
		m, err = w.writePiece(piece)
		n, p = n+m, p[m:]
	}
	return n, err
}

func (w *Writer) writePiece(p []byte) (int, error) {
	if w.Written+int64(len(p)) > bufferedSize {
		w.ensureCredit().startWait()
		defer w.credit.endWait()
	}
	n, err := w.ResponseWriter.Write(p)
	w.Written += int64(n)
	if w.streams {
		w.Conn.Allow(int64(n)) // for the updates of windows
	}
	return n, w.clear(err)
}

// TooSlow reports whether the client has used up its credit, and its answer was cut.
func (w *Writer) TooSlow() bool { return w.tooSlow.Load() }

// clear returns [ErrSlow] for the error of a client that has used up its credit, and others as they are.
func (w *Writer) clear(err error) error {
	if err != nil && w.TooSlow() {
		return ErrSlow
	}
	return err
}

// FlushError is for http.ResponseController.
func (w *Writer) FlushError() error {
	w.ensureCredit().startWait()
	defer w.credit.endWait()
	return w.clear(w.control.Flush())
}

// ensureCredit returns the credit for taking the answer.
func (w *Writer) ensureCredit() *credit {
	if w.credit == nil {
		w.credit = newCredit(w.rate, w.streams, w.Conn.Taken, func() {
			w.tooSlow.Store(true)
			if !w.streams {
				w.Conn.Wire.DropUnsent()
			}
			w.control.SetWriteDeadline(time.Unix(1, 0))
		})
	}
	return w.credit
}
