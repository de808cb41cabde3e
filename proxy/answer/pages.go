package answer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxPage bounds a custom page in bytes.
const maxPage = 256 << 10

// Pages are an operator's own bodies for the gateway's errors. A nil *Pages has
// none.
type Pages struct {
	pages map[int]*page // by status, or by its first digit
}

// NewPages reads the file for each status ("404") or class of them ("5xx"):
// HTML, JSON or text in UTF-8, by its extension (.html, .htm, .json, .txt), of
// at most 256 KiB. In it, {{status}}, {{title}}, {{detail}} and {{id}} stand for
// what the error has there, escaped as text of HTML or inside a string of JSON.
// The error joins one for each file that cannot serve, in the order of names.
func NewPages(files map[string]string) (*Pages, error) {
	p := &Pages{pages: make(map[int]*page, len(files))}
	var mistakes []error
	for _, name := range slices.Sorted(maps.Keys(files)) {
		key, err := strconv.Atoi(strings.TrimSuffix(name, "xx"))
		if len(name) != 3 || err != nil || name[0] != '4' && name[0] != '5' {
			mistakes = append(mistakes, fmt.Errorf("error page %q: neither a status from 400 to 599 nor \"4xx\" or \"5xx\"", name))
			continue
		}
		if p.pages[key], err = readPage(files[name]); err != nil {
			mistakes = append(mistakes, fmt.Errorf("error page %s: %w", name, err))
		}
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	return p, nil
}

// Error writes an error of the gateway itself. Detail is a sentence for the
// client that names what failed; id is the request's, for the operator who
// looks for it in the log. Both may be "". Headers that are set already, such
// as Allow or Retry-After, go along. Nothing of r is repeated in the answer.
//
// The body is HTML, JSON or plain text, as Accept prefers, from the page for
// the status or else for its class where that is of this type. Without a
// preference it is from whichever of the two there is. Where there is none, the
// body is a short page, problem details (RFC 9457) or text, which is also what
// goes out without a preference.
func (p *Pages) Error(w http.ResponseWriter, r *http.Request, status int, id, detail string) {
	e := problem{Title: title(status), Status: status, Detail: detail, RequestID: id}
	kind, open := preferred(r.Header.Values("Accept"))
	kind = cmp.Or(kind, typeText)
	contentType, body := kind, ""
	if custom := p.find(status, kind, open); custom != nil {
		contentType, body = custom.contentType(), custom.render(e)
	} else {
		body = e.body(kind)
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	write(w, r, status, body)
}

// find returns the page for status, of that kind unless open to any, or nil.
func (p *Pages) find(status int, kind string, open bool) *page {
	if p == nil {
		return nil
	}
	for _, key := range [...]int{status, status / 100} {
		if found := p.pages[key]; found != nil && (open || found.kind == kind) {
			return found
		}
	}
	return nil
}

// page is a custom page: literal parts and names of placeholders in turn.
type page struct {
	kind  string // what it serves: typeHTML, typeJSON or typeText
	parts []string
}

func readPage(name string) (*page, error) {
	p := &page{}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".html", ".htm":
		p.kind = typeHTML
	case ".json":
		p.kind = typeJSON
	case ".txt":
		p.kind = typeText
	default:
		return nil, fmt.Errorf("%s: its name ends in none of .html, .htm, .json and .txt", name)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a fifo blocks
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxPage+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxPage:
		return nil, fmt.Errorf("%s: larger than %d KiB", name, maxPage>>10)
	case !utf8.Valid(text):
		return nil, fmt.Errorf("%s: not in UTF-8", name)
	}
	p.parts = split(string(text))
	if p.kind == typeJSON && !json.Valid([]byte(p.render(problem{Status: http.StatusNotFound}))) {
		return nil, fmt.Errorf("%s: not JSON once its placeholders are filled in", name)
	}
	return p, nil
}

// split cuts a text at its placeholders.
func split(text string) []string {
	var parts []string
	end := 0
	for _, at := range regexp.MustCompile(`\{\{(status|title|detail|id)\}\}`).FindAllStringSubmatchIndex(text, -1) {
		parts = append(parts, text[end:at[0]], text[at[2]:at[3]])
		end = at[1]
	}
	return append(parts, text[end:])
}

// contentType is the type that the page is sent as.
func (p *page) contentType() string {
	if p.kind == typeJSON {
		return "application/json"
	}
	return p.kind
}

// render fills the placeholders in.
func (p *page) render(e problem) string {
	var b strings.Builder
	for i, part := range p.parts {
		if i%2 == 1 {
			part = p.escape(e.field(part))
		}
		b.WriteString(part)
	}
	return b.String()
}

func (p *page) escape(text string) string {
	switch p.kind {
	case typeHTML:
		return html.EscapeString(text)
	case typeJSON:
		quoted, _ := json.Marshal(text) // a string always marshals
		return string(quoted[1 : len(quoted)-1])
	}
	return text
}

// field returns what a placeholder stands for.
func (e problem) field(placeholder string) string {
	switch placeholder {
	case "status":
		return strconv.Itoa(e.Status)
	case "title":
		return e.Title
	case "detail":
		return e.Detail
	}
	return e.RequestID
}
