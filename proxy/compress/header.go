package compress

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"sluice/internal/header"
	"sluice/internal/message"
)

// eligible reports whether an answer with these headers may be compressed. Its
// length and the client decide too.
func (c *Compressor) eligible(h http.Header) bool {
	if len(h["Content-Encoding"]) > 0 || noTransform(h["Cache-Control"]) {
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

// noTransform reports whether a Cache-Control field has the directive
// no-transform, which is defined for requests and for answers (RFC 9111,
// sections 5.2.1.6 and 5.2.2.6).
func noTransform(cacheControl []string) bool {
	return httpguts.HeaderValuesContainsToken(cacheControl, "no-transform")
}

// length returns the declared length of an answer in bytes, or -1 when there is
// none.
func length(h http.Header) int64 {
	n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// addVary adds Accept-Encoding to the header Vary, unless it covers it already.
func addVary(h http.Header) {
	vary := h["Vary"]
	if !httpguts.HeaderValuesContainsToken(vary, "Accept-Encoding") && !httpguts.HeaderValuesContainsToken(vary, "*") {
		h.Add("Vary", "Accept-Encoding")
	}
}

// dropDigests removes digests of the content and of the representation, as
// headers and as trailers: a coding changes both (RFC 9530, sections 2 and 3).
// The first two names are from older specifications.
func dropDigests(h http.Header) {
	for _, name := range [...]string{"Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
		delete(h, name)
		delete(h, http.TrailerPrefix+name)
	}
}

// setEncoded changes the headers of an answer to those of its compressed form.
func setEncoded(h http.Header, coding string) {
	h.Set("Content-Encoding", coding)
	h.Del("Content-Length")
	h.Del("Accept-Ranges") // the handler would count ranges in the other representation
	dropDigests(h)
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		h.Set("ETag", "W/"+tag)
	}
}

// setNotModified changes the headers of a 304 to those that the 200 would have
// (RFC 9110, section 15.4.5), as far as they are known: a 304 mostly has no type.
func (c *Compressor) setNotModified(h http.Header, r *message.Request) {
	if h.Get("Content-Type") != "" && !c.eligible(h) {
		return
	}
	addVary(h)
	tag := h.Get("ETag")
	if strings.HasPrefix(tag, `"`) && strings.Contains(strings.Join(slices.Collect(r.Header.Values(header.IfNoneMatch)), ","), "W/"+tag) {
		h.Set("ETag", "W/"+tag) // the client has the compressed form
	}
}
