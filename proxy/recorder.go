package proxy

import (
	"net/http"
	"time"
)

const (
	// lastTime is how long a client may take over the end of an answer, which is
	// sent when the handler is through: some KiB at the most.
	lastTime = 30 * time.Second

	// unwatched is how much of an answer is buffered, whatever the client does.
	unwatched = 2 << 10

	// piece is how much is written to a stream of a multiplexed connection at
	// once: the progress of the stream is seen piece by piece.
	piece = 16 << 10
)

// recorder is the ResponseWriter next to the client: it counts what goes out and
// bounds how long the client is waited for.
type recorder struct {
	http.ResponseWriter
	control *http.ResponseController
	client  *connection
	body    *clientBody // of the request; nil without one
	rate    float64     // bytes a second, at least, that the client has to take; 0 means any
	credit  *credit     // nil until there is much to take
	streams bool        // the connection has others
	last    bool        // the connection ends with the answer
	status  int         // 0 until the final answer is begun
	written int64
	taken   bool // the connection went to a session
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(status int) {
	if status >= 200 && w.status == 0 {
		w.status = status
		if w.body.answered() || w.last {
			w.Header().Set("Connection", "close")
		}
	}
	if status < 200 { // goes out at once
		w.watch().startWait()
		defer w.credit.endWait()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (n int, err error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	for len(p) > 0 && err == nil {
		part := p
		if w.streams {
			part = p[:min(len(p), piece)]
		}
		var m int
		m, err = w.write(part)
		n, p = n+m, p[m:]
	}
	return n, err
}

func (w *recorder) write(p []byte) (int, error) {
	if w.written+int64(len(p)) > unwatched {
		w.watch().startWait()
		defer w.credit.endWait()
	}
	n, err := w.ResponseWriter.Write(p)
	w.written += int64(n)
	if w.streams {
		w.client.wire.Allow(int64(n)) // for the updates of windows
	}
	return n, err
}

// FlushError is for http.ResponseController.
func (w *recorder) FlushError() error {
	w.watch().startWait()
	defer w.credit.endWait()
	return w.control.Flush()
}

// watch returns how long the client is waited for.
func (w *recorder) watch() *credit {
	if w.credit == nil {
		w.credit = newCredit(w.rate, w.streams, w.client.taken, func() { w.control.SetWriteDeadline(time.Unix(1, 0)) })
	}
	return w.credit
}

// begin takes away the deadlines that the connection had before the handler.
func (w *recorder) begin() {
	w.control.SetReadDeadline(time.Time{})
	w.control.SetWriteDeadline(time.Time{})
}

// end bounds what net/http still has of the answer, and writes after the
// handler.
func (w *recorder) end() { w.control.SetWriteDeadline(time.Now().Add(lastTime)) }

// dresser is the ResponseWriter next to the handler: it has the headers of an
// answer changed as the route wants them, before anything else sees them.
type dresser struct {
	http.ResponseWriter // the recorder, or compression in front of it
	dress               func(h http.Header, status int)
	begun               bool
}

// Unwrap is for http.ResponseController.
func (w *dresser) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *dresser) WriteHeader(status int) {
	if status >= 200 && !w.begun {
		w.begun = true
		w.dress(w.Header(), status)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *dresser) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}
