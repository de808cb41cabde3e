package forward

import (
	"bytes"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"sluice/internal/fieldname"
	"sluice/internal/header"
	"sluice/internal/httpsyntax"
	"sluice/internal/message"
)

// gatewayFields is the fields of a request that say who sent it and name it. Only
// the gateway may send them to backends.
var gatewayFields = fieldname.NewSet("Forwarded", "X-Forwarded-*", "X-Real-IP", "X-Request-Id", "X-Client-*")

// An Origin is where a request comes from, as far as the gateway can trust it.
type Origin struct {
	Client    netip.Addr // invalid if unknown, as on a Unix socket
	Proto     string     // of the client: "http" or "https"
	Host      string     // that the client asked for, with its port; "" if unknown
	Port      string     // that the client connected to
	ProxyPort string     // Port, if a proxy in front reported it; else ""
	ID        string     // of the request, if a proxy in front reported it; else ""
	Stripped  string     // prefix of the path that the backend does not see; "" for none

	prefix string // that a proxy in front reports to have stripped; "" for none

	peer  netip.Addr // invalid on a Unix socket
	chain proxyChain // before the peer
}

// NewOrigin returns the origin of r, and removes the fields from its header that
// only the gateway may send. It reads them only if the peer is trusted: then the client is the last address in X-Forwarded-For, or without that
// in Forwarded (RFC 7239), for which trusted returns false.
func NewOrigin(r *message.Request, peerTrusted bool, trusted func(netip.Addr) bool) Origin {
	peer := r.Peer.Addr()
	o := Origin{Client: peer, Proto: "http", Host: r.Host, peer: peer}
	if r.TLS != nil {
		o.Proto = "https"
	}
	if peerTrusted {
		o.readHeader(r.Header, trusted)
	}
	if o.Port == "" {
		o.Port = portOf(o.Host, o.Proto)
	}
	r.Header.DelFunc(func(f *header.Field) bool {
		return gatewayFields.Has(f.Name) && !(peerTrusted && otherForwarded(f.Name))
	})
	return o
}

// readHeader reads what a trusted proxy reports. It ignores what is malformed: an
// unknown word for the scheme must not turn https into http.
func (o *Origin) readHeader(h header.Fields, trusted func(netip.Addr) bool) {
	o.chain = readProxyChain(h)
	for i := len(o.chain.hops) - 1; i >= 0; i-- {
		a, ok := address(o.chain.hops[i])
		if !ok {
			break // what is before this one cannot be known
		}
		o.Client = a
		if !trusted(a) {
			break
		}
	}
	for _, word := range [...]string{o.chain.proto, lastOf(h, header.XForwardedProto)} {
		switch strings.ToLower(word) {
		case "https", "wss": // some proxies report the scheme of a WebSocket URL
			o.Proto = "https"
		case "http", "ws":
			o.Proto = "http"
		}
	}
	for _, host := range [...]string{o.chain.host, lastOf(h, header.XForwardedHost)} {
		if validHost(host) {
			o.Host = strings.ToLower(host)
		}
	}
	if p := lastOf(h, header.XForwardedPort); validPort(p) {
		o.Port, o.ProxyPort = p, p
	}
	if prefix := h.Get(header.XForwardedPrefix); strings.HasPrefix(prefix, "/") && !strings.HasPrefix(prefix, "//") && h.Count(header.XForwardedPrefix) == 1 {
		o.prefix = strings.TrimSuffix(prefix, "/")
	}
	if id := h.Get(header.XRequestID); h.Count(header.XRequestID) == 1 && validID(id) {
		o.ID = id
	}
}

// Set writes the origin into the header for a backend. X-Forwarded-For and
// Forwarded have the same nodes, whichever of them was received. X-Real-IP is the
// client, and X-Forwarded-Prefix what all proxies have stripped of the path.
func (o *Origin) Set(h *header.Fields) {
	h.DelFunc(func(f *header.Field) bool {
		switch f.ID {
		case header.XForwardedFor, header.XForwardedHost, header.Forwarded, header.XForwardedProto, header.XForwardedPort, header.XForwardedPrefix, header.XRealIP:
			return true
		}
		return false
	})
	b := make([]byte, 0, 256)
	for _, hop := range o.chain.hops {
		b = append(append(b, hop...), ", "...)
	}
	last := len(b)
	if o.peer.IsValid() {
		b = o.peer.AppendTo(b)
	} else {
		b = bytes.TrimSuffix(b, []byte(", "))
	}
	hops := len(b)
	b = o.appendForwarded(b)
	text := string(b) // one for both
	if hops > 0 {
		h.Add(header.XForwardedFor, text[:hops])
	}
	if validHost(o.Host) {
		h.Add(header.XForwardedHost, o.Host)
	}
	h.Add(header.Forwarded, text[hops:])
	h.Add(header.XForwardedProto, o.Proto)
	h.Add(header.XForwardedPort, o.Port)
	switch {
	case o.Client == o.peer && o.peer.IsValid():
		h.Add(header.XRealIP, text[last:hops])
	case o.Client.IsValid():
		h.Add(header.XRealIP, o.Client.String())
	}
	if o.prefix != "" || o.Stripped != "" {
		h.Add(header.XForwardedPrefix, o.prefix+o.Stripped)
	}
}

// appendForwarded appends the value of Forwarded (RFC 7239).
func (o *Origin) appendForwarded(b []byte) []byte {
	for _, e := range o.chain.elements {
		b = append(append(b, e...), ", "...)
	}
	b = append(b, "for="...)
	if o.peer.IsValid() {
		b = appendNode(b, o.peer)
	} else {
		b = append(b, "unknown"...)
	}
	b = append(append(b, ";proto="...), o.Proto...)
	if validHost(o.Host) {
		b = append(append(append(b, `;host="`...), o.Host...), '"')
	}
	return b
}

// otherForwarded reports whether name is a field like X-Forwarded-Prefix, in its
// one canonical spelling, which a trusted proxy may send to the backend.
func otherForwarded(name string) bool {
	return strings.HasPrefix(name, "X-Forwarded-") && only(name, letters+"-")
}

// lastOf returns the last element of a comma-separated header, or "".
func lastOf(h header.Fields, id header.ID) (last string) {
	for e := range h.Elements(id) {
		last = e
	}
	return last
}

// address parses a node of X-Forwarded-For or Forwarded: an address, which may have
// a port or brackets.
func address(node string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(node, "[]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if p, err := netip.ParseAddrPort(node); err == nil {
		return p.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

func portOf(host, proto string) string {
	if !strings.Contains(host, ":") {
		return httpsyntax.DefaultPort(proto)
	}
	if _, port, err := net.SplitHostPort(host); err == nil && validPort(port) {
		return port
	}
	return httpsyntax.DefaultPort(proto)
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// validHost reports whether s may be in a Host header, and has no byte with a
// meaning in the headers that the host is written to.
func validHost(s string) bool {
	return s != "" && len(s) <= 260 && only(s, letters+".-_:[]")
}

// validID reports whether s is an id of a request that is safe in headers and logs.
func validID(s string) bool {
	return s != "" && len(s) <= 128 && only(s, letters+".-_:+/=@")
}

// only reports whether s has only digits and bytes of others.
func only(s, others string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && strings.IndexByte(others, s[i]) < 0 {
			return false
		}
	}
	return true
}
