package forward

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"sluice/internal/fieldname"
	"sluice/internal/httpsyntax"
)

// own are the fields of a request that say whose it is and what it is called.
// Only the gateway sends them to backends.
var own = fieldname.NewSet("Forwarded", "X-Forwarded-*", "X-Real-IP", "X-Request-Id", "X-Client-*")

// An Origin is where a request comes from, as far as it can be believed.
type Origin struct {
	Client    netip.Addr // invalid when unknown, as on a Unix socket
	Proto     string     // "http" or "https", as the client spoke it
	Host      string     // that the client asked for, with its port; "" when unknown
	Port      string     // that the client connected to
	ProxyPort string     // the same if a proxy in front named it; else ""
	ID        string     // of the request, given by a proxy in front; else ""

	peer netip.Addr // invalid on a Unix socket
	way  way        // before the peer
}

// NewOrigin reads the origin of r, which peer sent, and removes from its
// headers what only the gateway says. What they say counts only when the peer
// is believed: then the client is the last address in X-Forwarded-For, or else
// in Forwarded (RFC 7239), that is not trusted itself.
func NewOrigin(r *http.Request, peer netip.Addr, believed bool, trusted func(netip.Addr) bool) Origin {
	o := Origin{Client: peer, Proto: "http", Host: r.Host, peer: peer}
	if r.TLS != nil {
		o.Proto = "https"
	}
	if believed {
		o.believe(r.Header, trusted)
	}
	if o.Port == "" {
		o.Port = portOf(o.Host, o.Proto)
	}
	for name := range r.Header {
		if own.Has(name) && !(believed && furtherForwarded(name)) {
			delete(r.Header, name)
		}
	}
	return o
}

// believe takes over what a trusted proxy says. What it says badly is as if it
// had not: an unknown word for the scheme must not turn https into http.
func (o *Origin) believe(h http.Header, trusted func(netip.Addr) bool) {
	o.way = wayOf(h)
	for i := len(o.way.hops) - 1; i >= 0; i-- {
		a, ok := address(o.way.hops[i])
		if !ok {
			break // who is behind this one cannot be known
		}
		o.Client = a
		if !trusted(a) {
			break
		}
	}
	for _, word := range [...]string{o.way.proto, lastOf(h["X-Forwarded-Proto"])} {
		switch strings.ToLower(word) {
		case "https", "wss": // some proxies say what a WebSocket's URL does
			o.Proto = "https"
		case "http", "ws":
			o.Proto = "http"
		}
	}
	for _, host := range [...]string{o.way.host, lastOf(h["X-Forwarded-Host"])} {
		if validHost(host) {
			o.Host = strings.ToLower(host)
		}
	}
	if p := lastOf(h["X-Forwarded-Port"]); validPort(p) {
		o.Port, o.ProxyPort = p, p
	}
	if ids := h["X-Request-Id"]; len(ids) == 1 && validID(ids[0]) {
		o.ID = ids[0]
	}
}

// Set writes the origin into the headers for a backend. X-Forwarded-For and
// Forwarded tell the same way, whichever of them came in.
func (o *Origin) Set(h http.Header) {
	hops, node := o.way.hops, "unknown"
	if o.peer.IsValid() {
		hops, node = append(hops[:len(hops):len(hops)], o.peer.String()), nodeOf(o.peer)
	}
	element := "for=" + node + ";proto=" + o.Proto
	delete(h, "X-Forwarded-For")
	if len(hops) > 0 {
		h["X-Forwarded-For"] = []string{strings.Join(hops, ", ")}
	}
	delete(h, "X-Forwarded-Host")
	if validHost(o.Host) {
		h["X-Forwarded-Host"] = []string{o.Host}
		element += `;host="` + o.Host + `"`
	}
	elements := o.way.elements
	h["Forwarded"] = []string{strings.Join(append(elements[:len(elements):len(elements)], element), ", ")}
	h["X-Forwarded-Proto"] = []string{o.Proto}
	h["X-Forwarded-Port"] = []string{o.Port}
}

// furtherForwarded reports whether name is, in its one spelling, that of a
// field like X-Forwarded-Prefix, which a trusted proxy may tell the backend.
func furtherForwarded(name string) bool {
	return strings.HasPrefix(name, "X-Forwarded-") && only(name, letters+"-")
}

// list reads a comma-separated header.
func list(values []string) (all []string) {
	for _, v := range values {
		for e := range strings.SplitSeq(v, ",") {
			if e = strings.TrimSpace(e); e != "" {
				all = append(all, e)
			}
		}
	}
	return all
}

// lastOf returns the last element of a comma-separated header.
func lastOf(values []string) string {
	if all := list(values); len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// address reads a node of a forwarding header: an address, perhaps with a port
// or in brackets.
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

// validHost accepts what may stand in a Host header, without what has a meaning
// in the headers the host is put into.
func validHost(s string) bool {
	return s != "" && len(s) <= 260 && only(s, letters+".-_:[]")
}

// validID accepts the ids of requests that can be written anywhere.
func validID(s string) bool {
	return s != "" && len(s) <= 128 && only(s, letters+".-_:+/=@")
}

// only reports whether s holds nothing but digits and the bytes of others.
func only(s, others string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && strings.IndexByte(others, s[i]) < 0 {
			return false
		}
	}
	return true
}
