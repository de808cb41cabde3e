package answer

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/httpsyntax"
)

// CORSOptions say which pages of other origins may read answers, and send what
// requests (Fetch standard, section 3.3).
type CORSOptions struct {
	// Origins are patterns: "https://app.example.com", "https://*.example.com"
	// for every host below that one, "null", or "*" for any origin.
	Origins []string

	// Methods and Headers are what requests may use besides GET, HEAD, POST and
	// the headers that are always allowed. Expose are the headers of answers
	// that pages may read besides those always allowed. A "*" in one of them
	// means all (of the headers of requests, all but Authorization), unless
	// there are credentials.
	Methods, Headers, Expose []string

	// Credentials lets requests carry cookies. It has no effect for the origin
	// "*": a page of any origin could act as the user then.
	Credentials bool

	// MaxAge is how long a browser may remember the answer to a preflight, in
	// whole seconds. 0 leaves it to the browser (5 seconds).
	MaxAge time.Duration
}

// CORS answers for a route what browsers ask about pages of other origins. What
// the backend says about that is replaced.
type CORS struct {
	any                              bool
	origins                          []httpsyntax.OriginPattern
	methods, headers, expose, maxAge string
	credentials                      bool
}

// NewCORS returns the answers that o says.
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

// Preflight answers r if it is the question whether another request would be
// allowed, and reports whether it was. An origin that is not allowed gets an
// answer that allows nothing; of methods and headers the browser sees itself
// whether they are in the lists. [CORS.Apply] would spoil this answer.
func (c *CORS) Preflight(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodOptions || r.Header.Get("Origin") == "" || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h := w.Header()
	if c.allow(h, r) {
		set(h, "Access-Control-Allow-Methods", c.methods)
		set(h, "Access-Control-Allow-Headers", c.headers)
		set(h, "Access-Control-Max-Age", c.maxAge)
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// CORSFields returns the names of the fields that CORS decides about.
func CORSFields() []string {
	return []string{
		"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers",
		"Access-Control-Expose-Headers", "Access-Control-Max-Age",
	}
}

// Apply makes h, the headers of the answer to r, say who may read it.
func (c *CORS) Apply(h http.Header, r *http.Request) {
	for _, name := range CORSFields() {
		delete(h, name)
	}
	if c.allow(h, r) {
		set(h, "Access-Control-Expose-Headers", c.expose)
	}
}

// allow names the origin of r in h if it is allowed. What depends on the origin
// says so even where there is none: a cache could keep it for all.
func (c *CORS) allow(h http.Header, r *http.Request) bool {
	if c.any {
		h["Access-Control-Allow-Origin"] = []string{"*"}
		return true
	}
	addVaryOrigin(h)
	origins := r.Header["Origin"]
	if len(origins) != 1 || !slices.ContainsFunc(c.origins, func(p httpsyntax.OriginPattern) bool { return p.MatchText(origins[0]) }) {
		return false
	}
	h["Access-Control-Allow-Origin"] = []string{origins[0]}
	if c.credentials {
		h["Access-Control-Allow-Credentials"] = []string{"true"}
	}
	return true
}

func addVaryOrigin(h http.Header) {
	for _, line := range h["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name == "*" || strings.EqualFold(name, "Origin") {
				return
			}
		}
	}
	h.Add("Vary", "Origin")
}

func set(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}
