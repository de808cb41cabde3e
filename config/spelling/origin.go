package spelling

import (
	"net"
	"net/url"
	"strings"

	"sluice/internal/httpsyntax"
)

// Origin checks an origin (RFC 6454, section 6.2), or a pattern of one, and returns it in the
// spelling of browsers: lower case, without a default port.
func Origin(origin string) (clean, wrong string) {
	switch lower := strings.ToLower(origin); {
	case origin == "same-origin" || origin == "null":
		return origin, ""
	case lower == "file://":
		return lower, ""
	}
	scheme, rest, found := strings.Cut(strings.ToLower(origin), "://")
	switch {
	case origin == "*":
		return "", "allows everyone: remove 'origins' and let the backend decide"
	case !found:
		return "", noScheme
	case strings.HasSuffix(rest, "/"):
		return "", "ends in '/': an origin has no path, leave it off"
	case strings.ContainsAny(rest, "/?#@"):
		return "", "has more than scheme, host and port"
	case scheme == "ws" || scheme == "wss":
		return "", "has a scheme that no page has: write http or https"
	}
	if u, err := url.Parse(scheme + "://x"); err != nil || u.Scheme != scheme {
		return "", "has a scheme that is none"
	}
	host, port := rest, ""
	if h, p, err := net.SplitHostPort(rest); err == nil {
		if wrong := checkPort(p); wrong != "" {
			return "", wrong
		}
		host, port = h, p
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	host, wrong = Pattern(host)
	if wrong != "" {
		return "", wrong
	}
	host = httpsyntax.Bracket(host)
	if port != "" && port != httpsyntax.DefaultPort(scheme) {
		host += ":" + port
	}
	return scheme + "://" + host, ""
}
