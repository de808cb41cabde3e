package httpsyntax

import (
	"net/url"
	"strings"
)

// Origin is where a page comes from (RFC 6454, section 4): its scheme and host in lower case, the
// host without brackets and without a trailing dot. Port is never empty for http and https.
type Origin struct{ Scheme, Host, Port string }

// ParseOrigin reads an origin as a browser writes it (RFC 6454, section 6.2), in any case and with
// or without the default port. It is not ok for "null" and "file://", which have no host, and for
// anything with a user name, a path, a query or a fragment.
func ParseOrigin(text string) (o Origin, ok bool) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || !strings.EqualFold(text, u.Scheme+"://"+u.Host) {
		return Origin{}, false
	}
	o = Origin{Scheme: u.Scheme, Host: strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), Port: u.Port()}
	if o.Host == "" || o.Host[0] == '.' || strings.Contains(o.Host, "*") {
		return Origin{}, false
	}
	if o.Port == "" {
		o.Port = DefaultPort(o.Scheme)
	}
	return o, true
}

// OriginPattern is an origin, or all origins whose hosts are below one. It compares in two ways:
// [OriginPattern.Match] by what an origin means, [OriginPattern.MatchText] by its text. The zero
// value matches none.
type OriginPattern struct {
	origin        Origin // zero for "null" and "file://"
	before, after string // the text of the pattern in front of its '*' and behind it
	below         bool   // there is a '*'
}

// ParseOriginPattern reads "null", "file://", or scheme://host[:port] in any case, where the host
// may begin with "*.", which stands for every name below the rest.
func ParseOriginPattern(text string) (p OriginPattern, ok bool) {
	if text == "null" || text == "file://" {
		return OriginPattern{before: text}, true
	}
	if p.origin, ok = ParseOrigin(strings.Replace(text, "://*.", "://", 1)); !ok {
		return OriginPattern{}, false
	}
	text = strings.ToLower(text)
	if port := DefaultPort(p.origin.Scheme); port != "" {
		text = strings.TrimSuffix(text, ":"+port)
	}
	p.before, p.after, p.below = strings.Cut(text, "*")
	return p, true
}

// Match reports whether origin is one of p, as URLs are compared: in any case, with or without the
// default port and a dot behind the host.
func (p *OriginPattern) Match(origin string) bool {
	if p.origin == (Origin{}) {
		return origin != "" && origin == p.before
	}
	o, ok := ParseOrigin(origin)
	switch {
	case !ok || o.Scheme != p.origin.Scheme || o.Port != p.origin.Port:
		return false
	case p.below:
		return strings.HasSuffix(o.Host, "."+p.origin.Host)
	}
	return o.Host == p.origin.Host
}

// MatchText reports whether origin is one of p, byte for byte: in lower case, without the default
// port, and with a dot behind the host exactly where p has one. It is how browsers compare an
// origin with Access-Control-Allow-Origin (Fetch standard, section 4.9).
func (p *OriginPattern) MatchText(origin string) bool {
	if !p.below {
		return origin != "" && origin == p.before
	}
	name, ok := strings.CutPrefix(origin, p.before)
	if !ok {
		return false
	}
	name, ok = strings.CutSuffix(name, p.after)
	return ok && name != "" && !strings.ContainsAny(name, ":/@?#")
}
