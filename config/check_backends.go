package config

import (
	"encoding/base64"
	"net"
	"slices"
	"strings"

	"sluice/internal/httpsyntax"
)

func (k *checker) backend(b *Backend, at path) {
	if strings.IndexFunc(b.Name, notWord) >= 0 || b.Name == "" {
		k.fail(at, "%s is not a name of a backend: use letters, digits, '_' and '-'", quote(b.Name))
	}
	k.endpoints(b, at.key("endpoints"))
	k.backendTLS(b, at.key("tls"))
	if b.Health != nil {
		k.health(b.Health, at.key("health"))
	}
	k.hashBy(b, at.key("hash_by"))
	if b.Sticky != nil {
		k.sticky(b, at.key("sticky"))
	}
	if rebalance := at.key("rebalance"); b.Rebalance.Rate > 0 && k.good(rebalance) {
		switch {
		case b.Sticky != nil:
			k.fail(rebalance, "excludes sticky: a session that is ended would come back to the same endpoint")
		case b.Balance == "hash":
			k.fail(rebalance, "excludes 'balance: hash': a session that is ended would come back to the same endpoint")
		}
	}
	if b.DNS.MaxTTL < b.DNS.MinTTL {
		k.fail(at.key("dns"), "max_ttl is less than min_ttl")
	}
	if b.Passive.MaxEject < b.Passive.Eject {
		k.fail(at.key("passive"), "max_eject is less than eject")
	}
	k.nameServer(b, at.key("dns").key("server"))
}

func (k *checker) endpoints(b *Backend, at path) {
	lines := map[string]int{}
	backups := 0
	for i := range b.Endpoints {
		e := &b.Endpoints[i]
		at := at.index(i)
		if e.Backup {
			backups++
		}
		address := at.key("address")
		if !k.good(address) {
			continue
		}
		if wrong := e.parse(); wrong != "" {
			k.rejectName(address, wrong)
			continue
		}
		if e.Network == "srv" && e.TLS && b.TLS.ServerName == "" && len(b.TLS.PinnedKeys) == 0 && !b.TLS.Insecure {
			k.reject(address, "takes the name to verify from DNS, where anybody may answer: set 'server_name' or 'pinned_keys' under 'tls'")
			continue
		}
		if line, twice := lines[e.Address]; twice {
			k.reject(address, "is the same address as the endpoint at line %d", line)
			continue
		}
		lines[e.Address] = e.Pos.Line
		if line := k.reaches(e); line > 0 {
			k.reject(address, "is the gateway's own listener at line %d: requests would go round for ever", line)
		}
		if e.H2C && b.ProxyProtocol != "" {
			k.reject(address, "is HTTP/2, where a connection is many clients': it excludes proxy_protocol")
		}
	}
	if n := len(b.Endpoints); n > 0 && backups == n {
		k.fail(at, "all endpoints are backups: one at least has to be none")
	}
}

// reaches returns the line of a listener of this file that connections to e
// come to, or 0.
func (k *checker) reaches(e *Endpoint) int {
	for i, l := range k.config.Listeners {
		if !k.good(path("listeners").index(i).key("address")) {
			continue
		}
		if network, address, wrong := splitAddress(l.Address); wrong == "" && network == e.Network && sameSocket(address, e.Address, network) {
			return l.Pos.Line
		}
	}
	return 0
}

// sameSocket tells whether who connects to an address comes to a listener.
func sameSocket(listener, address, network string) bool {
	if network != "tcp" {
		return listener == address
	}
	host, port, _ := net.SplitHostPort(listener)
	to, toPort, _ := net.SplitHostPort(address)
	if port != toPort {
		return false
	}
	loopback := func(host string) bool {
		ip := net.ParseIP(host)
		return host == "localhost" || ip != nil && ip.IsLoopback()
	}
	everywhere := host == "" || net.ParseIP(host) != nil && net.ParseIP(host).IsUnspecified()
	named := host == "localhost" || to == "localhost"
	return host == to || (everywhere || named && loopback(host)) && loopback(to)
}

func (k *checker) backendTLS(b *Backend, at path) {
	secure := func(e Endpoint) bool { return e.TLS }
	unknown := k.broken(at.parent().key("endpoints"))
	if !unknown && !slices.ContainsFunc(b.Endpoints, secure) {
		if k.good(at) {
			k.fail(at, "no endpoint of this backend is https or wss: write one so or remove the section")
		}
		if http2 := at.parent().key("http2"); b.HTTP2 && k.good(http2) {
			k.fail(http2, "no endpoint of this backend is https or wss; HTTP/2 in the clear is h2c://")
		}
	}
	if http2 := at.parent().key("http2"); b.HTTP2 && b.ProxyProtocol != "" && k.good(http2) {
		k.fail(http2, "excludes proxy_protocol: with HTTP/2 a connection is many clients'")
	}
	if over := at.parent().key("websocket_over"); b.WebSocketOver == "h2" && k.good(over) {
		switch speaks := func(e Endpoint) bool { return e.TLS || e.H2C }; {
		case !unknown && !slices.ContainsFunc(b.Endpoints, speaks):
			k.fail(over, "no endpoint of this backend is https, wss or h2c: only those can speak HTTP/2")
		case b.ProxyProtocol != "":
			k.fail(over, "excludes proxy_protocol: with HTTP/2 a connection is many clients'")
		}
	}
	k.resolve(at.key("ca"), &b.TLS.CA)
	k.resolve(at.key("cert"), &b.TLS.Cert)
	k.resolve(at.key("key"), &b.TLS.Key)
	if cert, key := at.key("cert"), at.key("key"); k.has(cert) != k.has(key) {
		k.fail(at, "cert and key belong together: give both or none")
	}
	if name := at.key("server_name"); k.good(name) {
		var wrong string
		if b.TLS.ServerName, wrong = cleanName(b.TLS.ServerName); wrong != "" {
			k.rejectName(name, wrong)
		}
	}
	k.list(at.key("pinned_keys"), b.TLS.PinnedKeys, func(pin *string) string {
		hash, found := strings.CutPrefix(*pin, "sha256/")
		if sum, err := base64.StdEncoding.DecodeString(hash); !found || err != nil || len(sum) != 32 {
			return "is not 'sha256/' and the base64 of 32 bytes"
		}
		return ""
	})
}

func (k *checker) health(h *Health, at path) {
	only := func(key string, checks ...string) {
		if at := at.key(key); k.has(at) && !slices.Contains(checks, h.Check) && k.good(at.parent().key("check")) {
			k.fail(at, "is for 'check: %s', not for %s", strings.Join(checks, "' and 'check: "), h.Check)
		} else if k.has(at) && !k.has(at.parent().key("check")) {
			k.fail(at, "needs 'check: %s'; the default is tcp", strings.Join(checks, "' or 'check: "))
		}
	}
	for _, key := range []string{"path", "host", "headers"} {
		only(key, "http", "websocket")
	}
	only("status", "http")
	only("body", "http")
	only("subprotocol", "websocket")
	if p := at.key("path"); k.good(p) && (!strings.HasPrefix(h.Path, "/") || hasControl(h.Path) || strings.ContainsAny(h.Path, " #")) {
		k.reject(p, "is not a path: it begins with '/' and has no space, '#' or control character")
	}
	if host := at.key("host"); k.text(host, h.Host) && (!isHeaderValue(h.Host) || strings.ContainsAny(h.Host, " /@")) {
		k.reject(host, "is not a host")
	}
	k.text(at.key("body"), h.Body)
	if name := at.key("subprotocol"); k.text(name, h.Subprotocol) && !httpsyntax.IsToken(h.Subprotocol) {
		k.reject(name, "is not a name of a subprotocol")
	}
	k.headerNames(at.key("headers"), h.Headers, func(name string) string {
		if strings.EqualFold(name, "Host") {
			return "is set with the key 'host'"
		}
		return owned(name)
	})
	k.headerValues(at.key("headers"), h.Headers)
}

func (k *checker) hashBy(b *Backend, at path) {
	if !k.good(at) {
		return
	}
	kind, name, _ := strings.Cut(b.HashBy, ":")
	switch {
	case b.Balance != "hash":
		k.fail(at, "is for 'balance: hash', not for %s", b.Balance)
	case b.HashBy == "client":
	case kind != "header" && kind != "cookie" && kind != "query":
		k.reject(at, "is not client, header:NAME, cookie:NAME or query:NAME")
	case kind == "query" && (name == "" || strings.ContainsAny(name, "?&=#")):
		k.reject(at, "has no name of a query parameter")
	case kind != "query" && !httpsyntax.IsToken(name):
		k.reject(at, "has no name of a %s", kind)
	}
}

func (k *checker) sticky(b *Backend, at path) {
	cookie := at.key("cookie")
	switch {
	case !k.has(cookie):
		b.Sticky.Cookie = "sluice_" + b.Name
	case k.text(cookie, b.Sticky.Cookie) && !httpsyntax.IsToken(b.Sticky.Cookie):
		k.reject(cookie, "is not a name of a cookie")
	}
}

func (k *checker) nameServer(b *Backend, at path) {
	if !k.good(at) {
		return
	}
	network, address, wrong := splitAddress(b.DNS.Server)
	if wrong == "" && network != "tcp" {
		wrong = "is not host:port"
	}
	if wrong == "" {
		wrong = dialable(address)
	}
	if wrong != "" {
		k.rejectName(at, wrong)
		return
	}
	b.DNS.Server = address
}
