package config

import (
	"net"
	"net/url"
	"strings"

	"sluice/internal/httpsyntax"
)

func (k *checker) webSocket(r *Route, at path) {
	section := at.key("websocket")
	switch {
	case !k.has(section):
		return
	case !k.hasBackend(at):
		k.fail(section, "no WebSocket reaches this route: it has no backend; remove the section")
	case r.Protocol == "http":
		k.fail(section, "no WebSocket reaches this route: it has 'protocol: http'; remove one of the two")
	}
	k.list(section.key("origins"), r.WebSocket.Origins, func(origin *string) (wrong string) {
		*origin, wrong = cleanOrigin(*origin)
		return wrong
	})
	k.list(section.key("subprotocols"), r.WebSocket.Subprotocols, func(name *string) string {
		if !httpsyntax.IsToken(*name) {
			return "is not a name of a subprotocol"
		}
		return ""
	})
	k.sessionLimits(&r.WebSocket.Limits, section.key("limits"))
}

func (k *checker) sessionLimits(l *SessionLimits, at path) {
	burst(k, at, "handshake_rate", l.HandshakeRate, "handshake_burst", &l.HandshakeBurst)
	k.traffic(&l.Client, at)
	k.traffic(&l.Backend, at.key("backend"))
}

// traffic completes the limits of one side.
func (k *checker) traffic(t *Traffic, at path) {
	burst(k, at, "message_rate", t.MessageRate, "message_burst", &t.MessageBurst)
	burst(k, at, "byte_rate", t.ByteRate, "byte_burst", &t.ByteBurst)
	messages, bytes, excess := at.key("message_rate"), at.key("byte_rate"), at.key("on_excess")
	if k.has(excess) && t.MessageRate == 0 && t.ByteRate == 0 && !k.broken(messages) && !k.broken(bytes) {
		k.fail(excess, "there is no 'message_rate' or 'byte_rate' to exceed: add one or remove the key")
	}
}

// cleanOrigin checks an origin (RFC 6454, section 6.2), or a pattern of one, and
// returns it in the spelling of browsers: lower case, without a default port.
// The second result is what is wrong.
func cleanOrigin(origin string) (string, string) {
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
	host, wrong := cleanPattern(host)
	if wrong != "" {
		return "", wrong
	}
	host = httpsyntax.Bracket(host)
	if port != "" && port != httpsyntax.DefaultPort(scheme) {
		host += ":" + port
	}
	return scheme + "://" + host, ""
}
