package proxy

import (
	"io"
	"net/http"
)

// recorder is the ResponseWriter of a request: it counts, and makes the
// route's changes to the headers that the client sees.
type recorder struct {
	http.ResponseWriter
	edit    *edit // nil before a route is found
	status  int   // 0 until the final answer is begun
	written int64
	taken   bool // the connection went to a session
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(status int) {
	if status >= 200 && w.status == 0 {
		w.status = status
		if w.edit != nil {
			w.edit.apply(w.Header())
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(p)
	w.written += int64(n)
	return n, err
}

// ReadFrom lets files go to the socket without a copy.
func (w *recorder) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := io.Copy(w.ResponseWriter, r)
	w.written += n
	return n, err
}
