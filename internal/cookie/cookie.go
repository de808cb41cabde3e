// Package cookie is signed cookies: a client keeps an ID for the gateway and cannot
// change it. The ID itself is readable.
package cookie

import (
	"net/http"

	"sluice/internal/header"
	"sluice/internal/message"
)

// Cookie is a signed cookie of one purpose.
type Cookie struct {
	Key     *Key
	Purpose string      // a value that was signed for another one does not count
	Attrs   http.Cookie // name and attributes; its value is not used
}

// maxCandidates is how many cookies of the same name a request is searched for.
const maxCandidates = 4

// ID returns the ID that a request brings back, if it brings one with a valid
// signature.
func (c *Cookie) ID(r *message.Request) (id uint64, ok bool) {
	all := r.Cookies(c.Attrs.Name)
	for _, candidate := range all[:min(len(all), maxCandidates)] {
		if id, ok := c.Key.verify(c.Purpose, candidate); ok {
			return id, true
		}
	}
	return 0, false
}

// Set adds a Set-Cookie field with an ID to the header of an answer. Secure says
// that the client may send it back over TLS only.
func (c *Cookie) Set(h *header.Fields, id uint64, secure bool) {
	next := c.Attrs
	next.Value = c.Key.sign(c.Purpose, id)
	next.Secure = secure
	h.Add(header.SetCookie, next.String())
}
