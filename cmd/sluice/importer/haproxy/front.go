package haproxy

import (
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/haproxy/section"
	"sluice/cmd/sluice/importer/mapping"
)

// A bind is one address that a proxy listens on.
type bind struct {
	section.Line
	address string
	tls     bool
	refused string // why no client may come in by it
}

// Options of binds by whether a word follows them, which keep no client from anything.
var (
	bindFlags  = strings.Fields("v4v6 v6only tfo defer-accept transparent no-sslv3 no-tlsv10 no-tlsv11 no-tlsv12 no-tls-tickets allow-0rtt prefer-client-ciphers strict-sni quic-force-retry")
	bindValues = strings.Fields("alpn npn name id process thread backlog maxconn nice level ciphers ciphersuites ecdhe curves sigalgs tls-ticket-keys ssl-max-ver severity-output tcp-ut mss shards guid-prefix user group uid gid")
)

// readBind reads the addresses of a line bind.
func readBind(l section.Line) (all []bind, _ error) {
	like := bind{Line: l}
	for i := 2; i < len(l.Words); i++ {
		switch word := l.Words[i]; {
		case word == "ssl":
			like.tls = true
		case slices.Contains(bindFlags, word) || word == "accept-proxy":
		case slices.Contains(bindValues, word) || slices.Contains([]string{"crt", "ca-file", "crl-file", "verify", "ssl-min-ver", "mode"}, word):
			i++
		default:
			like.refused = "sluice does not know " + word + " of a bind"
		}
	}
	for _, text := range strings.Split(l.Word(1), ",") {
		if strings.HasPrefix(text, "quic") { // restrict tells of it
			continue
		}
		b := like
		var ok bool
		if b.address, ok = address(text, slices.Contains(l.Words, "v4v6")); !ok {
			return nil, l.Pos.Errorf("bind %s: not an address with one port, such as :8080: write a bind for each", text)
		}
		all = append(all, b)
	}
	return all, nil
}

// address reads that of a bind.
func address(text string, both bool) (string, bool) {
	for _, prefix := range []string{"ipv4@", "ipv6@", "unix@"} {
		text = strings.TrimPrefix(text, prefix)
	}
	if strings.HasPrefix(text, "/") {
		return "unix:" + text, true
	}
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return "", false
	}
	host, port := strings.Trim(text[:i], "[]"), text[i+1:]
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", false
	}
	switch host {
	case "", "*", "0.0.0.0":
		host = "0.0.0.0"
		if both {
			host = ""
		}
	case "::":
		host = ""
	default:
		if net.ParseIP(host) == nil && strings.ContainsAny(host, ":@%") {
			return "", false
		}
	}
	return net.JoinHostPort(host, port), true
}

// choose returns the frontend whose rules are carried: with sluice a route holds on every listener. Of
// several it is the first with TLS, or the first. It adds the listeners.
func (c *config) choose() (front *proxy, _ error) {
	var redirecting []*proxy
	for _, p := range c.proxies {
		switch {
		case !p.isFront() || len(p.binds) == 0:
		case p.toHTTPS():
			redirecting = append(redirecting, p)
		case front == nil || p.hasTLS() && !front.hasTLS():
			front = p
		}
	}
	if front == nil && len(redirecting) > 0 {
		front, redirecting = redirecting[0], redirecting[1:]
	}
	if front == nil {
		return nil, nil
	}
	content := slices.Clone(front.binds)
	plain := front.redirected()
	for _, b := range plain {
		content = slices.DeleteFunc(content, func(other bind) bool { return other.address == b.address })
	}
	for _, p := range c.proxies {
		switch {
		case p == front || !p.isFront() || len(p.binds) == 0:
		case slices.Contains(redirecting, p) && front.hasTLS():
			plain = append(plain, p.binds...)
		case !slices.Contains(redirecting, p) && p.twin(front):
			content = append(content, p.binds...)
		default:
			c.plan.Note(importer.Lost, p.Pos, p.Text, "sluice does not listen for it: its routes would hold for all other listeners too. Give it a file and a process of its own")
		}
	}
	c.listen(front, content, plain)
	return front, nil
}

func (p *proxy) hasTLS() bool {
	return slices.ContainsFunc(p.binds, func(b bind) bool { return b.tls })
}

// toHTTPS reports whether a proxy without TLS sends all requests to the same host with https, before it
// does anything else.
func (p *proxy) toHTTPS() bool {
	if p.hasTLS() {
		return false
	}
	for _, s := range p.steps.all() {
		switch {
		case s.modifies():
		case s.isHTTPS():
			return len(s.condition) == 0 || p.isPlain(s)
		default:
			return false
		}
	}
	return false
}

// redirected returns the addresses without TLS of a proxy with it, if all that comes there is sent to https.
func (p *proxy) redirected() (all []bind) {
	if !p.hasTLS() || !slices.ContainsFunc(p.steps.all(), func(s step) bool { return s.isHTTPS() && p.isPlain(s) }) {
		return nil
	}
	for _, b := range p.binds {
		if !b.tls {
			all = append(all, b)
		}
	}
	return all
}

// twin reports whether two proxies do the same with requests, but for what they tell backends of TLS.
func (p *proxy) twin(other *proxy) bool {
	does := func(p *proxy) (all []string) {
		for _, l := range p.Lines {
			if !l.Has("bind") && !(l.Has("http-request", "set-header") && strings.HasPrefix(strings.ToLower(l.Word(2)), "x-forwarded-")) {
				all = append(all, strings.Join(l.Words, " "))
			}
		}
		return all
	}
	return p.Kind == "frontend" && other.Kind == "frontend" && slices.Equal(does(p), does(other))
}

// listen adds the listeners and what TLS needs.
func (c *config) listen(front *proxy, content, plain []bind) {
	c.tls = no
	for i, b := range content {
		switch {
		case i == 0 && b.tls:
			c.tls = yes
		case b.tls != (c.tls == yes) && i > 0:
			c.tls = either
		}
	}
	c.checkShadowed(front, slices.Concat(content, plain))
	most := c.mostConnections(front, len(content)+len(plain))
	for _, b := range content {
		keys := c.listenerKeys(front, b, most)
		if b.tls {
			keys.Set(true, "tls")
		}
		c.plan.Listen(b.address, keys)
	}
	for _, b := range plain {
		keys := c.listenerKeys(front, b, most)
		keys.Set(true, "redirect_https")
		c.plan.Listen(b.address, keys)
	}
	if slices.ContainsFunc(content, func(b bind) bool { return b.tls }) {
		c.certificates(content)
	}
	for _, b := range content {
		if b.refused != "" {
			c.refuseAll(b.Line, b.refused)
			return
		}
	}
}

// checkShadowed refuses everything if a proxy that is not carried has connections which sluice would take for one
// that is: those to an address within one of the binds.
func (c *config) checkShadowed(front *proxy, binds []bind) {
	for _, p := range slices.Concat(c.proxies, c.others) {
		for _, b := range p.binds {
			for _, wide := range binds {
				if importer.Within(b.address, wide.address) && !slices.ContainsFunc(binds, func(other bind) bool { return other.address == b.address }) {
					c.refuseAll(b.Line, "HAProxy gives these connections to "+p.Name+", and sluice to "+front.Name+", which listens on "+wide.address+": let "+front.Name+" listen on addresses of its own")
					return
				}
			}
		}
	}
}

// mostConnections returns how many connections each of n listeners may have, or 0.
func (c *config) mostConnections(front *proxy, n int) int {
	most := 0
	for _, text := range []string{front.value("maxconn"), c.globally("maxconn").Word(1)} {
		if v, err := strconv.Atoi(text); err == nil && v > 0 && (most == 0 || v < most) {
			most = v
		}
	}
	if most == 0 {
		return 0
	}
	return min(max(most/n, 1), 1_000_000)
}

// listenerKeys returns the keys of a listener.
func (c *config) listenerKeys(front *proxy, b bind, most int) (keys mapping.Map) {
	if slices.Contains(b.Words, "accept-proxy") {
		keys.Set(true, "proxy_protocol")
		if c.plan.Keys.Get("trusted_proxies") == nil {
			c.plan.Keys.Add("127.0.0.1", "trusted_proxies")
			c.lost(b.Line, "HAProxy takes PROXY headers of everybody; sluice refuses connections of those not in 'trusted_proxies': list the load balancers there")
		}
	}
	if t, ok := duration(front.value("timeout", "http-request")); ok {
		keys.Set(mapping.Duration(t, time.Millisecond, 10*time.Minute), "timeouts", "header")
	}
	if t, ok := duration(front.value("timeout", "http-keep-alive")); ok {
		keys.Set(mapping.Duration(t, time.Millisecond, 24*time.Hour), "timeouts", "idle")
	}
	if n, err := strconv.Atoi(b.After("maxconn")); err == nil && n > 0 && (most == 0 || n < most) {
		most = min(n, 1_000_000)
	}
	if most > 0 {
		keys.Set(most, "max_connections")
	}
	if mode := b.After("mode"); strings.HasPrefix(b.address, "unix:") && mode != "" {
		keys.Set(strings.Repeat("0", max(4-len(mode), 0))+mode, "mode")
	}
	return keys
}

// certificates reads the certificates of the binds, and what is asked of clients.
func (c *config) certificates(content []bind) {
	var pairs []mapping.Map
	var asked []bind
	version := strings.Contains(c.globally("ssl-default-bind-options").Text, "ssl-min-ver TLSv1.3")
	secure := slices.DeleteFunc(slices.Clone(content), func(b bind) bool { return !b.tls })
	for _, b := range secure {
		for i, word := range b.Words[:len(b.Words)-1] {
			if word != "crt" {
				continue
			}
			file := b.Words[i+1]
			if base := c.globally("crt-base").Word(1); base != "" && !filepath.IsAbs(file) {
				file = filepath.Join(base, file)
			}
			if strings.HasSuffix(file, "/") || filepath.Ext(file) == "" {
				c.lost(b.Line, "sluice takes each certificate of a directory by its name: write one of 'tls.certificates' for each file of "+file)
				continue
			}
			pair := mapping.Map{{Key: "cert", Value: file}, {Key: "key", Value: file}}
			if !slices.ContainsFunc(pairs, func(p mapping.Map) bool { return p.Get("cert") == file }) {
				pairs = append(pairs, pair)
			}
		}
		if mode := b.After("verify"); mode != "" && mode != "none" {
			asked = append(asked, b)
		}
		version = version && b.After("ssl-min-ver") == "" || b.After("ssl-min-ver") == "TLSv1.3"
	}
	if version {
		c.plan.Keys.Set("1.3", "tls", "min_version")
	}
	if len(pairs) > 0 {
		c.plan.Keys.Set(pairs, "tls", "certificates")
	} else {
		c.plan.Keys.Set([]string{"localhost"}, "tls", "self_signed")
		c.lost(secure[0].Line, "no certificate is named by its file: 'self_signed' stands in for it")
	}
	c.clientAuth(content, asked)
}

// clientAuth carries over that clients are asked for certificates, if all binds ask in the same way.
func (c *config) clientAuth(content, asked []bind) {
	if len(asked) == 0 {
		return
	}
	first := asked[0]
	mode := map[string]string{"required": "require", "optional": "request"}[first.After("verify")]
	ca, crl := first.After("ca-file"), first.After("crl-file")
	same := mode != "" && ca != "" && len(asked) == len(content)
	for _, b := range asked {
		same = same && b.After("verify") == first.After("verify") && b.After("ca-file") == ca && b.After("crl-file") == crl
	}
	if !same {
		c.refuseAll(first.Line, "sluice asks the clients of all listeners for certificates, in one way")
		return
	}
	base := func(file string) string {
		if dir := c.globally("ca-base").Word(1); dir != "" && !filepath.IsAbs(file) {
			return filepath.Join(dir, file)
		}
		return file
	}
	c.plan.Keys.Set(mode, "tls", "client_auth", "mode")
	c.plan.Keys.Set(base(ca), "tls", "client_auth", "ca")
	if crl != "" {
		c.plan.Keys.Set(base(crl), "tls", "client_auth", "crl")
	}
}

// refuseAll makes every request answer 403.
func (c *config) refuseAll(l section.Line, why string) {
	r := &importer.Rule{Pos: l.Pos}
	r.Note(importer.Refused, l.Pos, l.Text, why)
	c.plan.Rules = append(c.plan.Rules, r)
}

// duration reads a time of HAProxy: 5000 is five seconds, 30s, 1h.
func duration(text string) (time.Duration, bool) {
	digits := strings.TrimRight(text, "usmhd")
	n, err := strconv.ParseUint(digits, 10, 31)
	unit, known := map[string]time.Duration{
		"us": time.Microsecond, "ms": time.Millisecond, "": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
	}[text[len(digits):]]
	if err != nil || !known || n == 0 || n > uint64(1<<62/unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}
