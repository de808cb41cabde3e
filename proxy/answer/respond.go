package answer

import (
	"io"
	"net/http"
	"strconv"

	"sluice/internal/message"
)

// Respond gives every request the same answer.
type Respond struct {
	Status      int // 200 to 599
	Body        string
	ContentType string
}

// Serve writes the answer, without a body where HTTP allows none (RFC 9110, sections 9.3.2,
// 15.3.5, 15.3.6 and 15.4.5).
func (a Respond) Serve(w http.ResponseWriter, r *message.Request) {
	switch a.Status {
	case http.StatusNoContent, http.StatusNotModified, http.StatusResetContent:
		w.WriteHeader(a.Status)
		return
	}
	if a.ContentType != "" {
		w.Header().Set("Content-Type", a.ContentType)
	}
	write(w, r, a.Status, a.Body)
}

// write sends a body whose type is set, or only its length if r is a HEAD request.
func write(w http.ResponseWriter, r *message.Request, status int, body string) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, body) // the client is gone
	}
}
