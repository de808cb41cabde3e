package answer

import (
	"encoding/json"
	"fmt"
	"html"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// Error writes an error of the gateway itself. Detail is a sentence for the
// client that names what failed; id is the request's, for the operator who
// looks for it in the log. Both may be "". Headers that are set already, such
// as Allow or Retry-After, go along. Nothing of r is repeated in the answer.
//
// The body is a page, problem details (RFC 9457) or plain text, as Accept
// prefers; without a preference it is plain text.
func Error(w http.ResponseWriter, r *http.Request, status int, id, detail string) {
	p := problem{Title: title(status), Status: status, Detail: detail, RequestID: id}
	kind := preferred(r.Header.Values("Accept"))
	body := p.text()
	switch kind {
	case typeHTML:
		body = p.page()
	case typeJSON:
		body = p.json()
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	write(w, r, status, body)
}

// title is the reason phrase of RFC 9110 and others, which is never empty.
func title(status int) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "Error"
}

type problem struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

func (p problem) text() string {
	s := fmt.Sprintf("%d %s\n", p.Status, p.Title)
	if p.Detail != "" {
		s += p.Detail + "\n"
	}
	if p.RequestID != "" {
		s += "Request: " + p.RequestID + "\n"
	}
	return s
}

func (p problem) page() string {
	heading := html.EscapeString(fmt.Sprintf("%d %s", p.Status, p.Title))
	s := `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">` +
		"\n<title>" + heading + "</title>\n<h1>" + heading + "</h1>\n"
	if p.Detail != "" {
		s += "<p>" + html.EscapeString(p.Detail) + "</p>\n"
	}
	if p.RequestID != "" {
		s += "<p><small>Request: <code>" + html.EscapeString(p.RequestID) + "</code></small></p>\n"
	}
	return s
}

func (p problem) json() string {
	text, _ := json.Marshal(p) // strings and a number always marshal
	return string(text) + "\n"
}

const (
	typeText = "text/plain; charset=utf-8"
	typeHTML = "text/html; charset=utf-8"
	typeJSON = "application/problem+json"
)

// preferred returns the type of body that an Accept header ranks highest (RFC
// 9110, section 12.5.1). Wildcards rank nothing, and of equals the first listed
// wins.
func preferred(accept []string) string {
	best, quality := typeText, 0.0
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, parameters, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := parameters["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		if q <= quality {
			continue
		}
		switch media {
		case "text/html", "application/xhtml+xml":
			best, quality = typeHTML, q
		case "application/json", "application/problem+json":
			best, quality = typeJSON, q
		case "text/plain":
			best, quality = typeText, q
		}
	}
	return best
}
