package forward

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// An Origin is where a request comes from, as far as it can be believed.
type Origin struct {
	Client netip.Addr // invalid when unknown, as on a Unix socket
	Proto  string     // "http" or "https", as the client spoke it
	Host   string     // that the client asked for, with its port
	Port   string     // that the client connected to
	ID     string     // of the request, given by a proxy in front; else ""

	peer    netip.Addr
	trusted bool // the peer is a proxy whose word counts
}

// NewOrigin reads the origin of r, which peer sent. What the headers say counts
// only when trusted(peer): then the client is the last address in
// X-Forwarded-For, or else in Forwarded (RFC 7239), that is not trusted itself.
func NewOrigin(r *http.Request, peer netip.Addr, trusted func(netip.Addr) bool) Origin {
	o := Origin{Client: peer, Proto: "http", Host: r.Host, peer: peer, trusted: peer.IsValid() && trusted(peer)}
	if r.TLS != nil {
		o.Proto = "https"
	}
	if o.trusted {
		o.believe(r.Header, trusted)
	}
	if o.Port == "" {
		o.Port = portOf(o.Host, o.Proto)
	}
	return o
}

// believe takes over what a trusted proxy says.
func (o *Origin) believe(h http.Header, trusted func(netip.Addr) bool) {
	elements := forwarded(h["Forwarded"])
	hops := list(h["X-Forwarded-For"])
	if len(hops) > 0 {
		elements = nil // a proxy that writes one passes the other on as anybody sent it
	}
	for _, e := range elements {
		hops = append(hops, e["for"])
	}
	for i := len(hops) - 1; i >= 0; i-- {
		a, ok := address(hops[i])
		if !ok {
			break // who is behind this one cannot be known
		}
		o.Client = a
		if !trusted(a) {
			break
		}
	}
	last := map[string]string{}
	if len(elements) > 0 {
		last = elements[len(elements)-1]
	}
	if p := lastOf(h["X-Forwarded-Proto"], last["proto"]); p == "http" || p == "https" {
		o.Proto = p
	}
	if host := lastOf(h["X-Forwarded-Host"], last["host"]); validHost(host) {
		o.Host = host
	}
	if p := lastOf(h["X-Forwarded-Port"], ""); validPort(p) {
		o.Port = p
	}
	if ids := h["X-Request-Id"]; len(ids) == 1 && validID(ids[0]) {
		o.ID = ids[0]
	}
}

// Set writes the origin into the headers for a backend. What a trusted proxy
// said of the way before is kept in front; what anybody else said is replaced.
func (o *Origin) Set(h http.Header) {
	var hops, elements []string
	if o.trusted {
		hops, elements = list(h["X-Forwarded-For"]), h["Forwarded"]
	}
	for _, name := range [...]string{"Forwarded", "X-Forwarded-For", "X-Real-Ip"} {
		delete(h, name)
	}
	for name := range h { // many servers read '_' as '-' (RFC 3875, section 4.1.18)
		if (!o.trusted || strings.Contains(name, "_")) && isForwarding(strings.ReplaceAll(name, "_", "-")) {
			delete(h, name)
		}
	}
	node := "unknown"
	if o.peer.IsValid() {
		node = o.peer.String()
		h["X-Forwarded-For"] = []string{strings.Join(append(hops, node), ", ")}
		if o.peer.Is6() {
			node = `"[` + node + `]"`
		}
	}
	element := "for=" + node + ";proto=" + o.Proto
	if validHost(o.Host) {
		element += `;host="` + o.Host + `"`
	}
	h["Forwarded"] = []string{strings.Join(append(elements, element), ", ")}
	h["X-Forwarded-Proto"] = []string{o.Proto}
	h["X-Forwarded-Host"] = []string{o.Host}
	h["X-Forwarded-Port"] = []string{o.Port}
}

// isForwarding reports whether name, in any case, is that of a header Set
// writes, or of one that is taken for it.
func isForwarding(name string) bool {
	return len(name) > len("X-Forwarded-") && strings.EqualFold(name[:len("X-Forwarded-")], "X-Forwarded-") ||
		strings.EqualFold(name, "X-Real-Ip") || strings.EqualFold(name, "X-Request-Id")
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

func lastOf(values []string, otherwise string) string {
	if all := list(values); len(all) > 0 {
		return strings.ToLower(all[len(all)-1])
	}
	return strings.ToLower(otherwise)
}

// maxForwarded bounds a Forwarded header that is read, in bytes.
const maxForwarded = 4 << 10

// forwarded reads the elements of a Forwarded header (RFC 7239, section 4), as
// pairs with names in lower case.
func forwarded(values []string) (elements []map[string]string) {
	for _, v := range values {
		if len(v) > maxForwarded {
			return nil
		}
		for e := range splitQuoted(v, ',') {
			pairs := make(map[string]string)
			for pair := range splitQuoted(e, ';') {
				name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
				pairs[strings.ToLower(name)] = strings.ReplaceAll(strings.Trim(value, `"`), `\`, "")
			}
			elements = append(elements, pairs)
		}
	}
	return elements
}

// splitQuoted splits s at sep, but not inside quotes.
func splitQuoted(s string, sep byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		quoted, start := false, 0
		for i := 0; i < len(s); i++ {
			switch {
			case quoted && s[i] == '\\':
				i++
			case s[i] == '"':
				quoted = !quoted
			case s[i] == sep && !quoted:
				if !yield(s[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(s[start:])
	}
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
	if proto == "https" {
		return "443"
	}
	return "80"
}

func validPort(s string) bool {
	return s != "" && len(s) <= 5 && only(s, "")
}

// validHost accepts what may stand in a Host header, without what has a meaning
// in the headers the host is put into.
func validHost(s string) bool {
	return s != "" && len(s) <= 260 && only(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_:[]")
}

// validID accepts the ids of requests that can be written anywhere.
func validID(s string) bool {
	return s != "" && len(s) <= 128 && only(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_:+/=@")
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
