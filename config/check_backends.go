package config

import (
	"encoding/base64"
	"net"
	"net/url"
	"slices"
	"strings"

	"sluice/config/report"
	"sluice/config/spelling"
	"sluice/internal/httpsyntax"
)

func (k *checker) backend(b *Backend, at report.Path) {
	if !report.IsWord(b.Name) {
		k.Fail(at, "%s is not a name of a backend: use letters, digits, '_' and '-'", report.Quote(b.Name))
	}
	k.endpoints(b, at.Key("endpoints"))
	k.backendTLS(b, at.Key("tls"))
	if b.Health != nil {
		k.health(b.Health, at.Key("health"))
	}
	k.hashBy(b, at.Key("hash_by"))
	if b.Sticky != nil {
		k.sticky(b, at.Key("sticky"))
	}
	if rebalance := at.Key("rebalance"); b.Rebalance.Rate > 0 && k.Good(rebalance) {
		switch {
		case b.Sticky != nil:
			k.Fail(rebalance, "excludes sticky: a session that is ended would come back to the same endpoint")
		case b.Balance == "hash":
			k.Fail(rebalance, "excludes 'balance: hash': a session that is ended would come back to the same endpoint")
		}
	}
	if b.DNS.MaxTTL < b.DNS.MinTTL {
		k.Fail(at.Key("dns"), "max_ttl is less than min_ttl")
	}
	if b.Passive.MaxEject < b.Passive.Eject {
		k.Fail(at.Key("passive"), "max_eject is less than eject")
	}
	k.nameServer(b, at.Key("dns").Key("server"))
}

func (k *checker) endpoints(b *Backend, at report.Path) {
	seen := map[string]report.Path{}
	backups := 0
	for i := range b.Endpoints {
		e := &b.Endpoints[i]
		at := at.Index(i)
		if e.Backup {
			backups++
		}
		address := at.Key("address")
		if !k.Good(address) {
			continue
		}
		if wrong := e.parse(); wrong != "" {
			k.rejectName(address, wrong)
			continue
		}
		if e.Network == "srv" && e.TLS && b.TLS.ServerName == "" && len(b.TLS.PinnedKeys) == 0 && !b.TLS.Insecure {
			k.Reject(address, "takes the name to verify from DNS, where anybody may answer: set 'server_name' or 'pinned_keys' under 'tls'")
			continue
		}
		if first, twice := seen[e.Address]; twice {
			k.Reject(address, "is the same address as the endpoint at %s", k.Where(first))
			continue
		}
		seen[e.Address] = at
		k.loop(e, address)
		if e.H2C && b.ProxyProtocol != "" {
			k.Reject(address, "is HTTP/2, where a connection is many clients': it excludes proxy_protocol")
		}
	}
	if n := len(b.Endpoints); n > 0 && backups == n {
		k.Fail(at, "all endpoints are backups: one at least has to be none")
	}
}

// loop reports that connections to e, whose address is at a path, come to a listener of the same
// configuration. It returns whether they do.
func (k *checker) loop(e *Endpoint, at report.Path) bool {
	for i, l := range k.config.Listeners {
		listener := report.Path("listeners").Index(i)
		if !k.Good(listener.Key("address")) {
			continue
		}
		if network, address, wrong := spelling.Address(l.Address); wrong == "" && network == e.Network && spelling.SameSocket(network, address, e.Address) {
			k.Reject(at, "is the gateway's own listener at %s: requests would go round for ever", k.Where(listener))
			return true
		}
	}
	if k.isAdmin(e.Network, e.Address) {
		k.Reject(at, "is the gateway's own 'admin' interface: its clients would be as near as this machine")
		return true
	}
	return false
}

func (k *checker) backendTLS(b *Backend, at report.Path) {
	secure := func(e Endpoint) bool { return e.TLS }
	unknown := k.Broken(at.Parent().Key("endpoints"))
	if !unknown && !slices.ContainsFunc(b.Endpoints, secure) {
		if k.Good(at) {
			k.Fail(at, "no endpoint of this backend is https or wss: write one so or remove the section")
		}
		if http2 := at.Parent().Key("http2"); b.HTTP2 && k.Good(http2) {
			k.Fail(http2, "no endpoint of this backend is https or wss; HTTP/2 in the clear is h2c://")
		}
	}
	if http2 := at.Parent().Key("http2"); b.HTTP2 && b.ProxyProtocol != "" && k.Good(http2) {
		k.Fail(http2, "excludes proxy_protocol: with HTTP/2 a connection is many clients'")
	}
	if over := at.Parent().Key("websocket_over"); b.WebSocketOver == "h2" && k.Good(over) {
		switch speaks := func(e Endpoint) bool { return e.TLS || e.H2C }; {
		case !unknown && !slices.ContainsFunc(b.Endpoints, speaks):
			k.Fail(over, "no endpoint of this backend is https, wss or h2c: only those can speak HTTP/2")
		case b.ProxyProtocol != "":
			k.Fail(over, "excludes proxy_protocol: with HTTP/2 a connection is many clients'")
		}
	}
	k.resolve(at.Key("ca"), &b.TLS.CA)
	k.resolve(at.Key("cert"), &b.TLS.Cert)
	k.resolve(at.Key("key"), &b.TLS.Key)
	if cert, key := at.Key("cert"), at.Key("key"); k.Has(cert) != k.Has(key) {
		k.Fail(at, "cert and key belong together: give both or none")
	}
	if name := at.Key("server_name"); k.Good(name) {
		var wrong string
		if b.TLS.ServerName, wrong = spelling.Name(b.TLS.ServerName); wrong != "" {
			k.rejectName(name, wrong)
		}
	}
	k.list(at.Key("pinned_keys"), b.TLS.PinnedKeys, func(pin *string) string {
		hash, found := strings.CutPrefix(*pin, "sha256/")
		if sum, err := base64.StdEncoding.DecodeString(hash); !found || err != nil || len(sum) != 32 {
			return "is not 'sha256/' and the base64 of 32 bytes"
		}
		return ""
	})
}

func (k *checker) health(h *Health, at report.Path) {
	only := func(key string, checks ...string) {
		if at := at.Key(key); k.Has(at) && !slices.Contains(checks, h.Check) && k.Good(at.Parent().Key("check")) {
			k.Fail(at, "is for 'check: %s', not for %s", strings.Join(checks, "' and 'check: "), h.Check)
		} else if k.Has(at) && !k.Has(at.Parent().Key("check")) {
			k.Fail(at, "needs 'check: %s'; the default is tcp", strings.Join(checks, "' or 'check: "))
		}
	}
	for _, key := range []string{"path", "host", "headers"} {
		only(key, "http", "websocket")
	}
	only("status", "http")
	only("body", "http")
	only("subprotocol", "websocket")
	if p := at.Key("path"); k.Good(p) && (!strings.HasPrefix(h.Path, "/") || spelling.HasControl(h.Path) || strings.ContainsAny(h.Path, " #")) {
		k.Reject(p, "is not a path: it begins with '/' and has no space, '#' or control character")
	}
	if host := at.Key("host"); k.text(host, h.Host) && (!spelling.IsHeaderValue(h.Host) || strings.ContainsAny(h.Host, " /@")) {
		k.Reject(host, "is not a host")
	}
	k.text(at.Key("body"), h.Body)
	if name := at.Key("subprotocol"); k.text(name, h.Subprotocol) && !httpsyntax.IsToken(h.Subprotocol) {
		k.Reject(name, "is not a name of a subprotocol")
	}
	k.headerNames(at.Key("headers"), h.Headers, func(name string) string {
		if strings.EqualFold(name, "Host") {
			return "is set with the key 'host'"
		}
		return owned(name)
	})
	k.headerValues(at.Key("headers"), h.Headers)
}

func (k *checker) hashBy(b *Backend, at report.Path) {
	if !k.Good(at) {
		return
	}
	kind, name, _ := strings.Cut(b.HashBy, ":")
	switch {
	case b.Balance != "hash":
		k.Fail(at, "is for 'balance: hash', not for %s", b.Balance)
	case b.HashBy == "client":
	case kind != "header" && kind != "cookie" && kind != "query":
		k.Reject(at, "is not client, header:NAME, cookie:NAME or query:NAME")
	case kind == "query" && (name == "" || strings.ContainsAny(name, "?&=#")):
		k.Reject(at, "has no name of a query parameter")
	case kind != "query" && !httpsyntax.IsToken(name):
		k.Reject(at, "has no name of a %s", kind)
	}
}

func (k *checker) sticky(b *Backend, at report.Path) {
	cookie := at.Key("cookie")
	switch {
	case !k.Has(cookie):
		b.Sticky.Cookie = "sluice_" + b.Name
	case k.text(cookie, b.Sticky.Cookie) && !httpsyntax.IsToken(b.Sticky.Cookie):
		k.Reject(cookie, "is not a name of a cookie")
	}
}

func (k *checker) nameServer(b *Backend, at report.Path) {
	if !k.Good(at) {
		return
	}
	network, address, wrong := spelling.Address(b.DNS.Server)
	if wrong == "" && network != "tcp" {
		wrong = "is not host:port"
	}
	if wrong == "" {
		wrong = spelling.CheckDialable(address)
	}
	if wrong != "" {
		k.rejectName(at, wrong)
		return
	}
	b.DNS.Server = address
}

// parse reads the text of e, an address ("host:port", "unix:/path") or a URL with http, https, h2c,
// ws or wss, or with srv or srv+ one of these, into the fields without a key. It returns what is
// wrong with the text, or "".
func (e *Endpoint) parse() (wrong string) {
	e.Network, e.Address, e.TLS, e.H2C = "tcp", "", false, false
	scheme, rest, isURL := strings.Cut(e.Text, "://")
	if !isURL {
		if e.Network, e.Address, wrong = spelling.Address(e.Text); wrong == "" && e.Network == "tcp" {
			wrong = spelling.CheckDialable(e.Address)
		}
		return wrong
	}
	scheme = strings.ToLower(scheme)
	if scheme == "srv" {
		scheme = "srv+http"
	}
	plain, services := strings.CutPrefix(scheme, "srv+")
	port := "80"
	switch plain {
	case "http", "ws":
	case "h2c":
		e.H2C = true
	case "https", "wss":
		port, e.TLS = "443", true
	case "grpc":
		return "has a scheme that is none: gRPC is h2c:// in the clear, and https:// with 'http2: true' over TLS"
	default:
		return "has a scheme that is not one of http, https, h2c, ws, wss, or srv+ one of them"
	}
	u, err := url.Parse(scheme + "://" + rest)
	switch {
	case err != nil:
		return "is not a URL such as https://host:443"
	case u.User != nil:
		return "has a user name in it: set an Authorization header with 'request' instead"
	case u.Path != "" || strings.ContainsAny(rest, "?#"):
		return "has more than scheme, host and port: change paths with 'rewrite' or 'strip_prefix' of the route"
	case u.Port() == "" && strings.HasSuffix(u.Host, ":"):
		return "ends in ':' without a port"
	case u.Port() != "" && services:
		return "has a port: SRV records say the ports, leave it off"
	case u.Port() != "":
		port = u.Port()
	}
	if services {
		e.Network = "srv"
		if e.Address, wrong = spelling.Name(u.Hostname()); wrong == "" && httpsyntax.IsIP(e.Address) {
			wrong = "is an IP address: SRV records belong to a name"
		}
		return wrong
	}
	if _, e.Address, wrong = spelling.Address(net.JoinHostPort(u.Hostname(), port)); wrong == "" {
		wrong = spelling.CheckDialable(e.Address)
	}
	return wrong
}
