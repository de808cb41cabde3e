package upgrade

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"sluice/internal/httpsyntax"
)

// A Policy is what one route lets a handshake do. The zero value lets the
// backend decide everything.
type Policy struct {
	Origins          []Origin // empty: any
	Subprotocols     []string // empty: any
	StripCompression bool
}

// A Site is what a client believes to be connected to, as far as the gateway
// can tell: proxies in front may have changed Host.
type Site struct {
	Host   string // with its port
	Port   string // that Host may lack, as a proxy in front named it; may be empty
	Secure bool   // the client speaks TLS
}

// Apply checks q, which is for the site at, and takes out of it what the route
// does not pass on.
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
			return bad("The handshake must offer a subprotocol that is spoken here: " + strings.Join(p.Subprotocols, ", ") + ".")
		}
	}
	if p.StripCompression {
		q.Extensions = ""
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
