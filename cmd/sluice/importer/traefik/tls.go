package traefik

import (
	"slices"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/mapping"
	"sluice/cmd/sluice/importer/traefik/document"
)

// certificates carries where certificates come from, and what is asked of clients.
func (c *config) certificates() {
	if c.plain() {
		return
	}
	keys := &c.plan.Keys
	var pairs []mapping.Map
	add := func(n *document.Node) {
		cert, key := n.String("certFile"), n.String("keyFile")
		if cert == "" || key == "" || strings.Contains(cert, "\n") || strings.Contains(key, "\n") {
			return
		}
		pair := mapping.Map{{Key: "cert", Value: c.absolute(cert)}, {Key: "key", Value: c.absolute(key)}}
		if !slices.ContainsFunc(pairs, func(p mapping.Map) bool { return p.Get("cert") == pair.Get("cert") }) {
			pairs = append(pairs, pair)
		}
	}
	add(c.root.Get("tls", "stores", "default", "defaultCertificate"))
	for _, n := range c.root.Get("tls", "certificates").Items() {
		add(n)
	}
	c.acme()
	if len(pairs) > 0 {
		keys.Set(pairs, "tls", "certificates")
	}
	if keys.Get("tls", "certificates") == nil && keys.Get("tls", "acme") == nil {
		keys.Set([]string{"localhost"}, "tls", "self_signed")
		c.plan.Note(importer.Lost, c.routers[0].n.Pos, "", "no certificate is in a file or ordered: 'self_signed' stands in for Traefik's own")
	}
	c.options()
}

// resolver returns the name of what orders the certificate of a router, or "".
func (c *config) resolver(r *router) string {
	if name := r.n.String("tls", "certResolver"); name != "" {
		return name
	}
	for _, e := range c.entries {
		if slices.ContainsFunc(r.listens, func(l importer.Listen) bool { return l.Address == e.address }) {
			if name := e.n.String("http", "tls", "certResolver"); name != "" {
				return name
			}
		}
	}
	return ""
}

// acme carries the orders of certificates.
func (c *config) acme() {
	keys := &c.plan.Keys
	asked := ""
	for _, r := range c.routers {
		name := c.resolver(r)
		if name == "" {
			continue
		}
		if asked != "" && name != asked {
			c.lost(r.n, "sluice orders all certificates from one authority: tls.acme")
			continue
		}
		asked = name
		for _, domain := range r.n.Get("tls", "domains").Items() {
			for _, host := range append(domain.Strings("sans"), domain.Strings("main")...) {
				switch host = strings.ToLower(host); {
				case strings.HasPrefix(host, "*"):
					c.lost(domain, "sluice orders no certificates for wildcards: list one in tls.certificates")
				case hostName.MatchString(host):
					keys.Add(host, "tls", "acme", "hosts")
				}
			}
		}
	}
	if asked == "" {
		return
	}
	n := c.root.Get("certificatesResolvers", asked, "acme")
	for _, option := range []struct{ theirs, ours string }{{"email", "email"}, {"caServer", "directory"}} {
		if value := n.String(option.theirs); value != "" {
			keys.Set(value, "tls", "acme", option.ours)
		}
	}
	if id, key := n.String("eab", "kid"), n.String("eab", "hmacEncoded"); id != "" && key != "" {
		keys.Set(id, "tls", "acme", "eab", "key_id")
		keys.Set(key, "tls", "acme", "eab", "hmac_key")
	}
	if dns := n.Get("dnsChallenge"); dns != nil {
		c.lost(dns, "sluice proves names by TLS-ALPN-01 and HTTP-01: ports 443 or 80 have to be reachable")
	}
	if keys.Get("tls", "acme") == nil {
		keys.Set(true, "tls", "acme")
	}
}

// options carries what TLS has to be, if all routers say the same. Else a router that asks clients for
// certificates answers 403.
func (c *config) options() {
	var names []string
	for _, r := range c.routers {
		for _, name := range r.options {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 1 && c.policy(c.root.Get("tls", "options", names[0])) {
		return
	}
	for _, name := range names {
		n := c.root.Get("tls", "options", name)
		if len(names) > 1 && n != nil && !asks(n) {
			c.lost(n, "sluice has one policy for TLS: see 'tls' for what it allows")
		}
		for _, r := range c.routers {
			switch {
			case !slices.Contains(r.options, name):
			case n == nil && name != "default":
				r.refuse(r.n, "there are no options of TLS "+name+" in these files")
			case asks(n):
				r.refuse(n.Get("clientAuth"), "sluice asks the clients of all hosts for certificates from one file of authorities, or none: not all routers ask in this way")
			}
		}
	}
}

// asks reports whether options of TLS keep out clients without a certificate, or with a wrong one.
func asks(n *document.Node) bool {
	kind := n.String("clientAuth", "clientAuthType")
	return n.Get("clientAuth") != nil && kind != "NoClientCert" && kind != "RequestClientCert"
}

// policy carries the options of TLS that all routers have. It returns whether it made sluice ask
// clients for certificates.
func (c *config) policy(n *document.Node) bool {
	if n.String("minVersion") == "VersionTLS13" {
		c.plan.Keys.Set("1.3", "tls", "min_version")
	}
	for _, name := range []string{"cipherSuites", "curvePreferences", "maxVersion", "sniStrict"} {
		if n := n.Get(name); n != nil {
			c.lost(n, "see 'tls' for what sluice allows: cipher_suites, curves, min_version")
		}
	}
	// Without a type, files of authorities alone ask for a certificate.
	mode := map[string]string{"": "require", "RequireAndVerifyClientCert": "require", "VerifyClientCertIfGiven": "request"}[n.String("clientAuth", "clientAuthType")]
	files := n.Strings("clientAuth", "caFiles")
	if !asks(n) || mode == "" || len(files) != 1 || strings.Contains(files[0], "\n") {
		return false
	}
	c.plan.Keys.Set(mode, "tls", "client_auth", "mode")
	c.plan.Keys.Set(c.absolute(files[0]), "tls", "client_auth", "ca")
	return true
}

// shutOut returns the requests of a router, refused if it asks for what sluice cannot.
func (r *router) shutOut(s state) state {
	for _, n := range r.shut {
		s.Requests = s.Note(n.Kind, n.Pos, n.Text, n.Why)
	}
	s.Unsure = s.Unsure || r.unsure
	return s
}
