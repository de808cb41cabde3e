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

// title returns the reason phrase of a status (RFC 9110, section 15), which is never empty.
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

// body returns p as a body of the type kind.
func (p problem) body(kind string) string {
	switch kind {
	case typeHTML:
		return p.page()
	case typeJSON:
		return p.json()
	}
	return p.text()
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

// preferred returns the type of body that an Accept header ranks highest (RFC 9110, section 12.5.1),
// the first listed of equals, or "" if it names none of them. Then open reports whether the client
// accepts any type, because it has no Accept header or one with "*/*".
func preferred(accept []string) (kind string, open bool) {
	list := strings.Join(accept, ",")
	open = strings.TrimSpace(list) == ""
	quality := 0.0
	for item := range strings.SplitSeq(list, ",") {
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
		open = open || media == "*/*" && q > 0
		if !(q > quality) { // ParseFloat takes NaN
			continue
		}
		switch media {
		case "text/html", "application/xhtml+xml":
			kind, quality = typeHTML, q
		case "application/json", "application/problem+json":
			kind, quality = typeJSON, q
		case "text/plain":
			kind, quality = typeText, q
		}
	}
	return kind, open && kind == ""
}
