package headers

import "net/http"

// A Writer is the ResponseWriter next to a handler. It changes the header of an answer
// before the layers below see it.
type Writer struct {
	http.ResponseWriter                                 // what is below; it may change until the answer begins
	Change              func(h http.Header, status int) // called once, when the answer begins

	begun bool
}

// Unwrap is for http.ResponseController.
func (w *Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader begins the answer, unless the status is informational (1xx).
func (w *Writer) WriteHeader(status int) {
	if status >= 200 && !w.begun {
		w.begun = true
		w.Change(w.Header(), status)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *Writer) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}
