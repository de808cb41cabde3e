package config

import (
	"math"
	"net"
	"slices"
	"strconv"
	"strings"

	"sluice/config/report"
	"sluice/config/spelling"
	"sluice/config/units"
)

// listeners checks the listeners, or sets the default ones.
func (k *checker) listeners(at report.Path) {
	c := k.config
	switch {
	case k.Has(at):
	case c.TLS != nil:
		https, http := k.newListener(":443", c.TLS.Pos), k.newListener(":80", c.TLS.Pos)
		https.TLS, http.RedirectHTTPS = true, true
		c.Listeners = []Listener{https, http}
	default:
		c.Listeners = []Listener{k.newListener(":80", k.Pos(""))}
	}

	terminates, redirects := false, false // some listener has TLS; plain ones can redirect to one
	for _, l := range c.Listeners {
		terminates = terminates || l.TLS
		redirects = redirects || l.TLS && !strings.HasPrefix(l.Address, "unix:") // systemd: may have a port
	}
	if t := c.TLS; terminates && t != nil && len(t.Certificates) == 0 && t.ACME == nil && len(t.SelfSigned) == 0 && !k.Broken("tls") {
		k.Fail("tls", "no certificate: add 'acme', 'certificates' or 'self_signed'")
	}

	addresses := slices.ContainsFunc(c.TrustedProxies, func(p Proxy) bool { return !p.Unix })
	seen := map[string]report.Path{}
	for i := range c.Listeners {
		l, at := &c.Listeners[i], at.Index(i)
		switch {
		case l.TLS && c.TLS == nil:
			k.Fail(at.Key("tls"), "this needs a section 'tls' with certificates")
		case l.TLS && l.RedirectHTTPS:
			k.Fail(at.Key("redirect_https"), "a listener with 'tls: true' is https itself: remove one of the two")
		case l.RedirectHTTPS && !redirects:
			k.Fail(at.Key("redirect_https"), "there is no listener with 'tls: true' and a port to redirect to")
		case !l.TLS && k.Has(at.Key("http2")):
			k.Fail(at.Key("http2"), "HTTP/2 is offered on listeners with 'tls: true' only: remove the key")
		case !(l.TLS && l.HTTP2) && k.Has(at.Key("max_streams")):
			k.Fail(at.Key("max_streams"), "there are streams in HTTP/2 only, which this listener does not offer: remove the key")
		}
		if l.ProxyProtocol && !addresses && !strings.HasPrefix(l.Address, "unix:") && !strings.HasPrefix(l.Address, "systemd:") {
			k.Fail(at.Key("proxy_protocol"), "every connection would be refused: list those who send PROXY headers in 'trusted_proxies'")
		}
		if mode := at.Key("mode"); k.Good(mode) && !strings.HasPrefix(l.Address, "unix:") && k.Good(at.Key("address")) {
			k.Fail(mode, "only the socket of an address 'unix:/path' has a mode: remove the key")
		}
		k.rates(l, at)
		if k.Good(at.Key("address")) {
			k.address(l, at, seen)
		}
	}
}

// newListener returns a listener at an address with all defaults.
func (k *checker) newListener(address string, pos Pos) Listener {
	l := Listener{Pos: pos, Address: address}
	k.setDefaults(&l)
	return l
}

// rates checks the rates of connections and requests and fills in their bursts.
func (k *checker) rates(l *Listener, at report.Path) {
	burst(k, at, "connection_rate", l.ConnectionRate, "connection_burst", &l.ConnectionBurst)
	burst(k, at, "request_rate", l.RequestRate, "request_burst", &l.RequestBurst)
}

// address checks the address of the listener at a path against those seen before, to which it adds
// it, and brings it into one spelling, by which a reload tells which listeners are the same.
func (k *checker) address(l *Listener, listener report.Path, seen map[string]report.Path) {
	at := listener.Key("address")
	if _, err := strconv.ParseUint(l.Address, 10, 16); err == nil { // a port stands for all addresses
		l.Address = ":" + l.Address
	}
	if name, ok := strings.CutPrefix(l.Address, "systemd:"); ok {
		k.socketName(at, name)
		k.unique(at, l.Address, listener, seen)
		return
	}
	network, address, wrong := spelling.Address(l.Address)
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
	k.unique(at, address, listener, seen)
}

// unique checks that no other listener has the address.
func (k *checker) unique(at report.Path, address string, listener report.Path, seen map[string]report.Path) {
	if first, twice := seen[address]; twice {
		k.Reject(at, "is already the address of the listener at %s", k.Where(first))
		return
	}
	seen[address] = listener
}

// socketName checks the name of a socket of the service manager, as sd_listen_fds_with_names(3) allows it.
func (k *checker) socketName(at report.Path, name string) {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }
	switch {
	case name == "":
		k.Reject(at, "has no name behind 'systemd:': write that of the socket, as in systemd:web")
	case len(name) > 255 || strings.ContainsFunc(name, bad):
		k.Reject(at, "has a name that no socket can have: up to 255 characters of ASCII, without spaces and ':'")
	}
}

// burst fills in the burst of a rate. A burst without a rate is a problem.
func burst[R units.Rate | units.ByteRate, B int | units.Size](k *checker, at report.Path, rateKey string, rate R, burstKey string, burst *B) {
	switch given := k.Has(at.Key(burstKey)); {
	case !given:
		*burst = B(math.Ceil(float64(rate)))
	case rate == 0 && !k.Broken(at.Key(rateKey)):
		k.Fail(at.Key(burstKey), "there is no '%s' that this is a burst of: add one or remove the key", rateKey)
	}
}
