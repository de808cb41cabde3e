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

	"sluice/internal/header"
	"sluice/internal/message"
)

// maxPage is the largest size of a custom page, in bytes.
const maxPage = 256 << 10

// Pages are an operator's own bodies for the gateway's errors. A nil *Pages has none.
type Pages struct {
	pages map[int]*page // by status, or by its first digit
}

// NewPages reads the file for each status ("404") or class of statuses ("5xx"): HTML, JSON or text,
// by its extension (.html, .htm, .json, .txt), in UTF-8 and of at most 256 KiB. In it, {{status}},
// {{title}}, {{detail}} and {{id}} stand for the values of the error, escaped as text of HTML or as
// part of a string of JSON. The error joins one for each file that cannot be used, in the order of
// the statuses.
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
			mistakes = append(mistakes, fmt.Errorf("error page %s: %s: %w", name, files[name], cause(err)))
		}
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	return p, nil
}

// Error writes an error of the gateway itself. Detail is a sentence for the client about what
// failed; id is that of the request, by which an operator finds it in the log. Both may be "". Headers
// that are set already, such as Allow or Retry-After, are sent too. Nothing of r is repeated in the
// answer.
//
// The body is HTML, JSON or plain text, as Accept prefers. It is made from the page for the status,
// or else for its class, if that page has this type; without a preference, from the first of the two
// that there is. If there is no such page, the body is a short HTML page, problem details (RFC 9457)
// or text; without a preference it is text.
func (p *Pages) Error(w http.ResponseWriter, r *message.Request, status int, id, detail string) {
	e := problem{Title: title(status), Status: status, Detail: detail, RequestID: id}
	kind, open := preferred(slices.Collect(r.Header.Values(header.Accept)))
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

// find returns the page for status, or else for its class, or nil. Unless open is set it has to be
// of the type kind.
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

// page is a custom page. Its parts are literal text and names of placeholders in turn.
type page struct {
	kind  string // typeHTML, typeJSON or typeText
	parts []string
}

// readPage reads a page. Its errors do not name the file.
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
		return nil, errors.New("its name ends in none of .html, .htm, .json and .txt")
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a fifo blocks
		return nil, errors.New("not a regular file")
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
		return nil, fmt.Errorf("larger than %d KiB", maxPage>>10)
	case !utf8.Valid(text):
		return nil, errors.New("not in UTF-8")
	}
	p.parts = split(string(text))
	if p.kind == typeJSON && !json.Valid([]byte(p.render(problem{Status: http.StatusNotFound}))) {
		return nil, errors.New("not JSON once its placeholders are filled in")
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

// contentType returns the Content-Type of the page.
func (p *page) contentType() string {
	if p.kind == typeJSON {
		return "application/json"
	}
	return p.kind
}

// render returns the page with the values of e.
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

// field returns the value of a placeholder.
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
