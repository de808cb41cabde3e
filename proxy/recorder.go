package proxy

import (
	"net/http"
	"time"
)

// takeTime is how long a client may take over one piece of an answer, at most
// 32 KiB, and over the rest that is sent when the handler is through.
const takeTime = 30 * time.Second

// recorder is the ResponseWriter next to the client: it counts what goes out.
type recorder struct {
	http.ResponseWriter
	control *http.ResponseController
	last    bool // the connection ends with the answer
	paced   bool // somebody else bounds how long the client is waited for
	status  int  // 0 until the final answer is begun
	written int64
	taken   bool // the connection went to a session
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(status int) {
	if status >= 200 && w.status == 0 {
		w.status = status
		if w.last {
			w.Header().Set("Connection", "close")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.paced {
		w.hurry()
	}
	n, err := w.ResponseWriter.Write(p)
	w.written += int64(n)
	return n, err
}

// hurry gives the client a while to take what is written next.
func (w *recorder) hurry() { w.control.SetWriteDeadline(time.Now().Add(takeTime)) }

// begin takes away what end has left on the connection.
func (w *recorder) begin() { w.control.SetWriteDeadline(time.Time{}) }

// end bounds what net/http still has of the answer, and writes after the
// handler.
func (w *recorder) end() {
	if !w.taken {
		w.hurry()
	}
}

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
