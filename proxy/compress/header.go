package compress

import (
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// eligible reports whether an answer with these headers is compressed for
// clients that like it, if it is long enough.
func (c *Compressor) eligible(h http.Header) bool {
	if len(h["Content-Encoding"]) > 0 || noTransform(h) {
		return false
	}
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if media == "" || media == "text/event-stream" {
		return false
	}
	for _, p := range c.types {
		if p.match(media) {
			return true
		}
	}
	return false
}

// noTransform reports the Cache-Control directive of that name, which requests
// can have too (RFC 9111, sections 5.2.1.6 and 5.2.2.6).
func noTransform(h http.Header) bool {
	return httpguts.HeaderValuesContainsToken(h["Cache-Control"], "no-transform")
}

// length returns the declared length of an answer, -1 where there is none.
func length(h http.Header) int64 {
	n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// addVary says that the answer depends on Accept-Encoding.
func addVary(h http.Header) {
	vary := h["Vary"]
	if !httpguts.HeaderValuesContainsToken(vary, "Accept-Encoding") && !httpguts.HeaderValuesContainsToken(vary, "*") {
		h.Add("Vary", "Accept-Encoding")
	}
}

// dropDigests removes digests of the content or of the representation, as
// headers and as trailers: a coding changes both (RFC 9530, sections 2 and 3).
// The first two names are those of their predecessors.
func dropDigests(h http.Header) {
	for _, name := range [...]string{"Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
		delete(h, name)
		delete(h, http.TrailerPrefix+name)
	}
}

// encoded makes the headers of an answer those of its encoded form.
func encoded(h http.Header, coding string) {
	h.Set("Content-Encoding", coding)
	h.Del("Content-Length")
	h.Del("Accept-Ranges") // ranges would be of the other representation
	dropDigests(h)
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		h.Set("ETag", "W/"+tag)
	}
}

// notModified makes the headers of a 304 those that the 200 would have (RFC
// 9110, section 15.4.5) as far as they can be known: mostly there is no type.
func (c *Compressor) notModified(h http.Header, r *http.Request) {
	if h.Get("Content-Type") != "" && !c.eligible(h) {
		return
	}
	addVary(h)
	tag := h.Get("ETag")
	if strings.HasPrefix(tag, `"`) && strings.Contains(strings.Join(r.Header["If-None-Match"], ","), "W/"+tag) {
		h.Set("ETag", "W/"+tag) // the client has the encoded form
	}
}
