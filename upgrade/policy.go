package upgrade

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"sluice/internal/httpsyntax"
)

// A Policy is what a route allows in a handshake. The zero value allows
// everything and leaves the decision to the backend.
type Policy struct {
	Origins          []Origin // empty for any
	Subprotocols     []string // empty for any
	StripCompression bool     // takes permessage-deflate out of the offer
	NoTakeover       bool     // permessage-deflate only without context takeover, in both directions
}

// A Site is what the client has connected to from its point of view, as far as
// the gateway knows: a proxy in front may have changed the Host header.
type Site struct {
	Host   string // with its port
	Port   string // as a proxy in front reports it, in case Host has none; may be empty
	Secure bool   // over TLS
}

// Apply checks q, which came for the site at, and takes out of q what the route
// does not pass on to the backend.
func (p *Policy) Apply(q *Request, at Site) *Refusal {
	if len(p.Origins) > 0 && q.Origin != "" {
		allowed := slices.ContainsFunc(p.Origins, func(o Origin) bool { return o.allows(q.Origin, at) })
		if !allowed {
			return &Refusal{
				Status: http.StatusForbidden,
				Reason: "Pages of this origin may not connect here.",
				Detail: fmt.Sprintf("origin %q is not among 'origins'", q.Origin),
			}
		}
	}
	if len(p.Subprotocols) > 0 {
		q.Protocols = slices.DeleteFunc(q.Protocols, func(t string) bool { return !slices.Contains(p.Subprotocols, t) })
		if len(q.Protocols) == 0 {
			return badRequest("The handshake must offer a subprotocol that is spoken here: " + strings.Join(p.Subprotocols, ", ") + ".")
		}
	}
	if p.StripCompression {
		q.Extensions = ""
	}
	if p.NoTakeover {
		q.Extensions, q.offers = withoutTakeover(q.Extensions), q.Extensions
	}
	return nil
}

// An Origin is a pattern for the Origin header (RFC 6454, section 7).
type Origin struct {
	same    bool // the site itself; pattern is not used
	pattern httpsyntax.OriginPattern
}

// ParseOrigin reads a pattern: "same-origin", or what [httpsyntax.ParseOriginPattern] reads.
func ParseOrigin(text string) (Origin, error) {
	if text == "same-origin" {
		return Origin{same: true}, nil
	}
	p, ok := httpsyntax.ParseOriginPattern(text)
	if !ok {
		return Origin{}, fmt.Errorf("origin %q is not of the form scheme://host[:port]", text)
	}
	return Origin{pattern: p}, nil
}

// allows reports whether a page of origin may connect to the site at.
func (o *Origin) allows(origin string, at Site) bool {
	if !o.same {
		return o.pattern.Match(origin)
	}
	page, ok := httpsyntax.ParseOrigin(origin)
	if !ok {
		return false
	}
	// In front of a plain listener there may be another TLS terminator, so only TLS of our own
	// rules the other scheme out.
	self, ok := httpsyntax.ParseOrigin(page.Scheme + "://" + at.Host)
	if bare := strings.LastIndexByte(at.Host, ':') <= strings.LastIndexByte(at.Host, ']'); bare && page.Port == at.Port {
		self.Port = page.Port
	}
	return ok && page == self && (page.Scheme == "https" || page.Scheme == "http" && !at.Secure)
}
