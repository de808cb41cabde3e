package answer

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/header"
	"sluice/internal/httpsyntax"
	"sluice/internal/message"
)

// CORSOptions are which pages of other origins may read answers, and which requests they may send
// (Fetch standard, section 3.3).
type CORSOptions struct {
	// Origins are what [httpsyntax.ParseOriginPattern] reads, or "*" for any origin. An origin is
	// compared byte for byte, in the spelling of browsers.
	Origins []string

	// Methods and Headers are what requests may use besides GET, HEAD, POST and the headers that
	// are always allowed. Expose has the headers of answers that pages may read besides those that
	// are always allowed. A "*" in one of them means all (for the headers of requests, all but
	// Authorization), unless requests carry credentials.
	Methods, Headers, Expose []string

	// Credentials lets requests carry cookies. It has no effect with the origin "*": otherwise a
	// page of any origin could act as the user.
	Credentials bool

	// MaxAge is how long a browser may remember the answer to a preflight, in whole seconds. 0
	// leaves it to the browser (5 seconds).
	MaxAge time.Duration
}

// CORS answers for one route what browsers ask about pages of other origins. It replaces what the
// backend says about that.
type CORS struct {
	any                              bool
	origins                          []httpsyntax.OriginPattern
	methods, headers, expose, maxAge string
	credentials                      bool
}

// NewCORS returns the CORS for o. An origin that is no pattern matches nothing.
func NewCORS(o CORSOptions) *CORS {
	c := &CORS{
		any:     slices.Contains(o.Origins, "*"),
		methods: strings.Join(o.Methods, ", "),
		headers: strings.Join(o.Headers, ", "),
		expose:  strings.Join(o.Expose, ", "),
	}
	c.credentials = o.Credentials && !c.any
	if o.MaxAge > 0 {
		c.maxAge = strconv.FormatInt(int64(o.MaxAge/time.Second), 10)
	}
	for _, text := range o.Origins {
		if p, ok := httpsyntax.ParseOriginPattern(text); ok {
			c.origins = append(c.origins, p)
		}
	}
	return c
}

// Preflight answers r if it is a preflight, which asks whether another request would be allowed, and
// reports whether it is one. An origin that is not allowed gets an answer that allows nothing. The
// browser itself compares its method and headers with the lists in the answer. [CORS.Apply] must not
// change this answer.
func (c *CORS) Preflight(w http.ResponseWriter, r *message.Request) bool {
	if r.Method != http.MethodOptions || r.Header.Get(header.Origin) == "" || r.Header.Get(header.AccessControlRequestMethod) == "" {
		return false
	}
	var h header.Fields
	if c.allow(&h, r) {
		set(&h, "Access-Control-Allow-Methods", c.methods)
		set(&h, "Access-Control-Allow-Headers", c.headers)
		set(&h, "Access-Control-Max-Age", c.maxAge)
	}
	maps.Copy(w.Header(), h.HTTP())
	w.WriteHeader(http.StatusNoContent)
	return true
}

// CORSFields returns the names of the header fields that only CORS sets.
func CORSFields() []string {
	return []string{
		"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers",
		"Access-Control-Expose-Headers", "Access-Control-Max-Age",
	}
}

// Apply sets in h, the headers of the answer to r, which pages may read the answer.
func (c *CORS) Apply(h *header.Fields, r *message.Request) {
	fields := CORSFields()
	h.DelFunc(func(f *header.Field) bool {
		return f.ID == header.Other && slices.ContainsFunc(fields, func(name string) bool { return header.EqualFold(name, f.Name) })
	})
	if c.allow(h, r) {
		set(h, "Access-Control-Expose-Headers", c.expose)
	}
}

// allow names the origin of r in h if it is allowed, and reports whether it is. An answer that
// depends on the origin has Vary even if r has no origin: a cache could keep it for all.
func (c *CORS) allow(h *header.Fields, r *message.Request) bool {
	if c.any {
		set(h, "Access-Control-Allow-Origin", "*")
		return true
	}
	addVaryOrigin(h)
	origin := r.Header.Get(header.Origin)
	if r.Header.Count(header.Origin) != 1 || !slices.ContainsFunc(c.origins, func(p httpsyntax.OriginPattern) bool { return p.MatchText(origin) }) {
		return false
	}
	set(h, "Access-Control-Allow-Origin", origin)
	if c.credentials {
		set(h, "Access-Control-Allow-Credentials", "true")
	}
	return true
}

func addVaryOrigin(h *header.Fields) {
	if !h.HasToken(header.Vary, "*") && !h.HasToken(header.Vary, "Origin") {
		h.Add(header.Vary, "Origin")
	}
}

func set(h *header.Fields, name, value string) {
	if value != "" {
		h.SetName(name, value)
	}
}
