package proxy

import (
	"io"
	"net/http"
)

// recorder is the ResponseWriter next to the client: it counts what goes out.
type recorder struct {
	http.ResponseWriter
	last    bool // the connection ends with the answer
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

// ReadFrom lets files go to the socket without a copy.
func (w *dresser) ReadFrom(r io.Reader) (int64, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return io.Copy(w.ResponseWriter, r)
}
