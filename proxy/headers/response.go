package headers

import (
	"maps"
	"net/http"
	"slices"

	"sluice/internal/fieldname"
)

const hstsField = "Strict-Transport-Security"

// Response is what a route does to the headers of its answers.
type Response struct {
	Edit

	cacheControl string
	security     map[string]string
	hsts         string
}

// Security is the headers that browsers protect a site by.
type Security struct {
	Always map[string]string // by name
	HSTS   string            // Strict-Transport-Security, over TLS only; "" for none
}

// NewResponse returns the changes to the answers of a route. CacheControl replaces the
// field of answers below 400 unless it is "". Fields in also are set by others later.
func NewResponse(remove []string, set map[string]Template, cacheControl string, s Security, also ...string) Response {
	names := slices.AppendSeq(slices.Clone(also), maps.Keys(s.Always))
	if s.HSTS != "" {
		names = append(names, hstsField)
	}
	return Response{NewEdit(remove, set, names...), cacheControl, s.Always, s.HSTS}
}

// cacheControl is the field in every spelling.
var cacheControl = fieldname.NewSet("Cache-Control")

// Apply changes the header of an answer before it goes out. OverTLS says that the
// client came by TLS.
func (e *Response) Apply(h http.Header, status int, overTLS bool, lookup func(variable string) string) {
	e.Edit.Apply(h, lookup)
	for _, name := range [...]string{"Content-Type", "Date"} {
		if _, ok := h[name]; !ok && e.names.Has(name) {
			h[name] = nil // otherwise net/http adds its own
		}
	}
	if e.cacheControl != "" && status < 400 {
		cacheControl.Strip(h)
		h.Set("Cache-Control", e.cacheControl)
	}
	for name, value := range e.security {
		h.Set(name, value)
	}
	if e.hsts != "" && overTLS {
		h.Set(hstsField, e.hsts)
	}
}
