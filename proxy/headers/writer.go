package headers

import (
	"maps"
	"net/http"

	"sluice/internal/fieldname"
	"sluice/internal/header"
)

// A Writer is the ResponseWriter next to a handler. It changes the header of an answer
// before the layers below see it.
type Writer struct {
	http.ResponseWriter // what is below; it may change until the answer begins

	// Change is called once, when the answer begins and Changes is true. It returns the names
	// of the fields that only the gateway sets.
	Changes func() bool
	Change  func(h *header.Fields, status int) *fieldname.Set

	begun bool
}

// Unwrap is for http.ResponseController.
func (w *Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader begins the answer, unless the status is informational (1xx).
func (w *Writer) WriteHeader(status int) {
	if status >= 200 && !w.begun {
		w.begun = true
		w.change(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *Writer) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// change calls Change with the header of the handler. Nil values in it, which keep
// net/http from adding fields of its own, stay.
func (w *Writer) change(status int) {
	if !w.Changes() {
		return
	}
	h := w.Header()
	fields := header.FromHTTP(h)
	names := w.Change(&fields, status)
	maps.DeleteFunc(h, func(_ string, values []string) bool { return values != nil })
	maps.Copy(h, fields.HTTP())
	for _, id := range [...]header.ID{header.ContentType, header.Date} {
		if !fields.Has(id) && names.Has(id.String()) {
			h[id.String()] = nil
		}
	}
}
