package headers

import (
	"maps"
	"slices"

	"sluice/internal/fieldname"
	"sluice/internal/header"
)

// Response is what a route does to the headers of its answers.
type Response struct {
	Edit

	cacheControl string
	security     header.Fields
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
		names = append(names, header.StrictTransportSecurity.String())
	}
	var security header.Fields
	for _, name := range slices.Sorted(maps.Keys(s.Always)) {
		security.AddName(name, s.Always[name])
	}
	return Response{NewEdit(remove, set, names...), cacheControl, security, s.HSTS}
}

// Empty reports whether Apply changes nothing.
func (e *Response) Empty() bool {
	return e.names.Empty() && e.cacheControl == "" && len(e.security) == 0 && e.hsts == ""
}

// cacheControl is the field in every spelling.
var cacheControl = fieldname.NewSet("Cache-Control")

// Apply changes the header of an answer before it goes out. OverTLS says that the
// client came by TLS.
func (e *Response) Apply(h *header.Fields, status int, overTLS bool, lookup func(variable string) string) {
	e.Edit.Apply(h, lookup)
	if e.cacheControl != "" && status < 400 {
		cacheControl.Strip(h)
		h.Set(header.CacheControl, e.cacheControl)
	}
	for _, f := range e.security {
		h.SetName(f.Name, f.Value)
	}
	if e.hsts != "" && overTLS {
		h.Set(header.StrictTransportSecurity, e.hsts)
	}
}
