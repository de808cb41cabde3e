package upgrade

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A Policy is what a route allows in a handshake. The zero value allows
// everything and leaves the decision to the backend.
type Policy struct {
	Origins          []Origin // empty for any
	Subprotocols     []string // empty for any
	StripCompression bool     // takes permessage-deflate out of the offer
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
	return nil
}

// An Origin is a pattern for the Origin header (RFC 6454, section 7).
type Origin struct {
	same         bool
	opaque       string // "null" or "file://", which stand for no host
	scheme, port string
	host         string // without "*" when below
	below        bool
}

// ParseOrigin reads a pattern: "same-origin", "null", "file://", or
// scheme://host[:port], where the host may begin with "*." to mean every name
// below.
func ParseOrigin(text string) (Origin, error) {
	switch text {
	case "same-origin":
		return Origin{same: true}, nil
	case "null", "file://":
		return Origin{opaque: text}, nil
	}
	host, below := strings.Replace(text, "://*.", "://", 1), strings.Contains(text, "://*.")
	scheme, name, port, ok := splitOrigin(host)
	if !ok {
		return Origin{}, fmt.Errorf("origin %q is not of the form scheme://host[:port]", text)
	}
	return Origin{scheme: scheme, host: name, port: port, below: below}, nil
}

// allows reports whether a page of origin may connect to the site at.
func (o Origin) allows(origin string, at Site) bool {
	if o.opaque != "" {
		return origin == o.opaque
	}
	scheme, name, port, ok := splitOrigin(origin)
	if !ok {
		return false
	}
	if o.same {
		// In front of a plain listener there may be another TLS terminator, so
		// only TLS of our own rules the other scheme out.
		_, self, selfPort, ok := splitOrigin(scheme + "://" + at.Host)
		if bare := strings.LastIndexByte(at.Host, ':') <= strings.LastIndexByte(at.Host, ']'); bare && port == at.Port {
			selfPort = port
		}
		return ok && name == self && port == selfPort && (scheme == "https" || scheme == "http" && !at.Secure)
	}
	if scheme != o.scheme || port != o.port {
		return false
	}
	if o.below {
		return strings.HasSuffix(name, "."+o.host)
	}
	return name == o.host
}

// splitOrigin reads a serialised origin, in lower case and with its port.
func splitOrigin(text string) (scheme, host, port string, ok bool) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || !strings.EqualFold(text, u.Scheme+"://"+u.Host) {
		return "", "", "", false
	}
	scheme, port = u.Scheme, u.Port()
	host = strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if host == "" || host[0] == '.' || strings.Contains(host, "*") {
		return "", "", "", false
	}
	switch {
	case port != "":
	case scheme == "https":
		port = "443"
	case scheme == "http":
		port = "80"
	}
	return scheme, host, port, true
}
