package config

import (
	"math"
	"net"
	"reflect"
	"slices"
	"strings"
)

// listeners checks the listeners, or sets the default ones.
func (k *checker) listeners(at path) {
	c := k.config
	switch {
	case k.has(at):
	case c.TLS != nil:
		https, http := k.newListener(":443", c.TLS.Pos), k.newListener(":80", c.TLS.Pos)
		https.TLS, http.RedirectHTTPS = true, true
		c.Listeners = []Listener{https, http}
	default:
		c.Listeners = []Listener{k.newListener(":80", start)}
	}

	terminates, redirects := false, false // some listener does
	for _, l := range c.Listeners {
		terminates = terminates || l.TLS
		redirects = redirects || l.TLS && !strings.HasPrefix(l.Address, "unix:")
	}
	if t := c.TLS; terminates && t != nil && len(t.Certificates) == 0 && t.ACME == nil && len(t.SelfSigned) == 0 && !k.broken("tls") {
		k.fail("tls", "no certificate: add 'acme', 'certificates' or 'self_signed'")
	}

	addresses := slices.ContainsFunc(c.TrustedProxies, func(p Proxy) bool { return !p.Unix })
	lines := map[string]int{}
	for i := range c.Listeners {
		l, at := &c.Listeners[i], at.index(i)
		switch {
		case l.TLS && c.TLS == nil:
			k.fail(at.key("tls"), "this needs a section 'tls' with certificates")
		case l.TLS && l.RedirectHTTPS:
			k.fail(at.key("redirect_https"), "a listener with 'tls: true' is https itself: remove one of the two")
		case l.RedirectHTTPS && !redirects:
			k.fail(at.key("redirect_https"), "there is no listener with 'tls: true' and a port to redirect to")
		case !l.TLS && k.has(at.key("http2")):
			k.fail(at.key("http2"), "HTTP/2 is offered on listeners with 'tls: true' only: remove the key")
		case !(l.TLS && l.HTTP2) && k.has(at.key("max_streams")):
			k.fail(at.key("max_streams"), "there are streams in HTTP/2 only, which this listener does not offer: remove the key")
		}
		if l.ProxyProtocol && !addresses && !strings.HasPrefix(l.Address, "unix:") {
			k.fail(at.key("proxy_protocol"), "every connection would be refused: list those who send PROXY headers in 'trusted_proxies'")
		}
		if mode := at.key("mode"); k.good(mode) && !strings.HasPrefix(l.Address, "unix:") && k.good(at.key("address")) {
			k.fail(mode, "only the socket of an address 'unix:/path' has a mode: remove the key")
		}
		k.pace(l, at)
		if k.good(at.key("address")) {
			k.listen(l, at.key("address"), lines)
		}
	}
}

// newListener is a listener at address that is otherwise as the defaults have it.
func (k *checker) newListener(address string, pos Pos) Listener {
	l := Listener{Pos: pos, Address: address}
	k.defaults(reflect.ValueOf(&l).Elem())
	return l
}

// pace completes the limits of connections and requests.
func (k *checker) pace(l *Listener, at path) {
	burst(k, at, "connection_rate", l.ConnectionRate, "connection_burst", &l.ConnectionBurst)
	burst(k, at, "request_rate", l.RequestRate, "request_burst", &l.RequestBurst)
}

// listen checks the address of a listener against those before it, whose lines
// it keeps, and brings it into one spelling: by that a reload tells which
// listeners are the same.
func (k *checker) listen(l *Listener, at path, lines map[string]int) {
	network, address, wrong := splitAddress(l.Address)
	host, port, _ := net.SplitHostPort(address)
	switch {
	case wrong != "" && strings.HasPrefix(l.Address, "*:"):
		wrong = "has a host that is no address: write ':port' for all addresses"
	case wrong != "":
	case network == "unix":
		address = "unix:" + address
	case host == "::":
		address = ":" + port
	}
	if wrong != "" {
		k.rejectName(at, wrong)
		return
	}
	l.Address = address
	if network == "tcp" && port == "0" { // each gets a port of its own
		return
	}
	if line, twice := lines[address]; twice {
		k.reject(at, "is already the address of the listener at line %d", line)
		return
	}
	lines[address] = l.Pos.Line
}

// burst fills in the burst of a rate, which is nothing without one.
func burst[R Rate | ByteRate, B int | Size](k *checker, at path, rateKey string, rate R, burstKey string, burst *B) {
	switch given := k.has(at.key(burstKey)); {
	case !given:
		*burst = B(math.Ceil(float64(rate)))
	case rate == 0 && !k.broken(at.key(rateKey)):
		k.fail(at.key(burstKey), "there is no '%s' that this is a burst of: add one or remove the key", rateKey)
	}
}
