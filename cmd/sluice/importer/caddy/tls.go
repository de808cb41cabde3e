package caddy

import (
	"net/netip"
	"slices"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/caddy/caddyfile"
	"sluice/cmd/sluice/importer/mapping"
)

// certificates carries where the certificates of the sites come from, and what is asked of clients.
func (c *config) certificates() {
	if secure, _ := c.secure(); !secure {
		return
	}
	keys := &c.plan.Keys
	var pairs []mapping.Map
	var asked []*unit
	public := false
	for _, u := range c.units {
		own := false
		for _, d := range caddyfile.All(u.site.Block, "tls") {
			own = c.siteTLS(u, d, &pairs) || own
			if caddyfile.Get(d.Block, "client_auth") != nil && !slices.Contains(asked, u) {
				asked = append(asked, u)
			}
		}
		switch {
		case own || u.host == "":
		case c.internal(u):
			keys.Add(u.host, "tls", "self_signed")
		case strings.HasPrefix(u.host, "*"):
			c.plan.Note(importer.Lost, u.site.Pos, u.host, "sluice orders no certificates for wildcards: list one in tls.certificates")
		default:
			public = true
		}
	}
	if public {
		c.acme()
	}
	if len(pairs) > 0 {
		keys.Set(pairs, "tls", "certificates")
	}
	if keys.Get("tls", "certificates") == nil && keys.Get("tls", "acme") == nil && keys.Get("tls", "self_signed") == nil {
		keys.Set([]string{"localhost"}, "tls", "self_signed")
		c.plan.Note(importer.Lost, c.units[0].site.Pos, "", "no site has a name or a certificate in a file: 'self_signed' stands in for it")
	}
	c.clientAuth(asked)
}

// internal reports whether a host gets a certificate of Caddy's own authority.
func (c *config) internal(u *unit) bool {
	if caddyfile.Get(c.global, "local_certs") != nil {
		return true
	}
	for _, d := range caddyfile.All(u.site.Block, "tls") {
		if i := caddyfile.Get(d.Block, "issuer"); d.Arg(0) == "internal" || i != nil && i.Arg(0) == "internal" {
			return true
		}
	}
	if _, err := netip.ParseAddr(u.host); err == nil {
		return true
	}
	for _, name := range []string{"localhost", "local", "internal", "home.arpa"} {
		if u.host == name || strings.HasSuffix(u.host, "."+name) {
			return true
		}
	}
	return false
}

// acme carries the options of orders.
func (c *config) acme() {
	keys := &c.plan.Keys
	if keys.Get("tls", "acme") == nil {
		keys.Set(true, "tls", "acme")
	}
	set := func(value string, names ...string) {
		if value == "" || caddyfile.HasPlaceholder(value) {
			return
		}
		if keys.Get("tls", "acme") == true {
			keys.Set(mapping.Map{}, "tls", "acme")
		}
		keys.Set(value, append([]string{"tls", "acme"}, names...)...)
	}
	set(c.option("email", ""), "email")
	set(c.option("acme_ca", ""), "directory")
	if ca := c.option("acme_ca_root", ""); ca != "" {
		set(c.absolute(ca), "root_ca")
	}
	if eab := caddyfile.Get(c.global, "acme_eab"); eab != nil {
		if id, key := caddyfile.Get(eab.Block, "key_id"), caddyfile.Get(eab.Block, "mac_key"); id != nil && key != nil {
			set(id.Arg(0), "eab", "key_id")
			set(key.Arg(0), "eab", "hmac_key")
		}
	}
}

// siteTLS carries one tls directive. It returns whether it names a certificate in a file.
func (c *config) siteTLS(u *unit, d *caddyfile.Directive, pairs *[]mapping.Map) (own bool) {
	keys := &c.plan.Keys
	switch {
	case len(d.Args) == 2:
		pair := mapping.Map{{Key: "cert", Value: c.absolute(d.Arg(0))}, {Key: "key", Value: c.absolute(d.Arg(1))}}
		if !slices.ContainsFunc(*pairs, func(p mapping.Map) bool { return p.Get("cert") == pair.Get("cert") }) {
			*pairs = append(*pairs, pair)
		}
		own = true
	case strings.Contains(d.Arg(0), "@"):
		c.acme()
		if keys.Get("tls", "acme", "email") == nil {
			if keys.Get("tls", "acme") == true {
				keys.Set(mapping.Map{}, "tls", "acme")
			}
			keys.Set(d.Arg(0), "tls", "acme", "email")
		}
	}
	for _, o := range d.Block {
		switch o.Name {
		case "protocols":
			if o.Arg(0) == "tls1.3" {
				keys.Set("1.3", "tls", "min_version")
			}
		case "issuer":
			if o.Arg(0) != "internal" && (o.Arg(0) != "acme" || len(o.Block) > 0 || len(o.Args) > 1) {
				c.lost(o, "sluice orders all certificates from one authority: tls.acme")
			}
		case "ca", "ca_root", "eab", "on_demand", "dns", "get_certificate", "load", "force_automate":
			c.lost(o, "sluice orders certificates for the hosts of routes from one authority, by HTTP-01 and TLS-ALPN-01: tls.acme")
		case "client_auth", "alpn", "key_type", "resolvers", "propagation_delay", "propagation_timeout", "dns_ttl", "dns_challenge_override_domain", "reuse_private_keys", "renewal_window_ratio":
		case "ciphers", "curves":
			c.lost(o, "the names differ: see tls.cipher_suites and tls.curves")
		default:
			c.lost(o, "sluice has nothing like it")
		}
	}
	return own
}

// clientAuth carries that clients are asked for certificates, if all sites ask in the same way. Else
// those that ask answer 403.
func (c *config) clientAuth(asked []*unit) {
	if len(asked) == 0 {
		return
	}
	question := func(u *unit) (mode, ca string) {
		var o *caddyfile.Directive
		for _, d := range caddyfile.All(u.site.Block, "tls") {
			if found := caddyfile.Get(d.Block, "client_auth"); found != nil {
				o = found
			}
		}
		if o == nil {
			return "", ""
		}
		for _, line := range o.Block {
			switch line.Name {
			case "mode":
				mode = line.Arg(0)
			case "trusted_ca_cert_file":
				ca = line.Arg(0)
			case "trust_pool":
				if line.Arg(0) == "file" && len(line.Args) == 2 && len(line.Block) == 0 {
					ca = line.Arg(1)
				} else if pem := caddyfile.Get(line.Block, "pem_file"); line.Arg(0) == "file" && pem != nil && len(line.Block) == 1 && len(pem.Args) == 1 {
					ca = pem.Arg(0)
				}
			default:
				return "", "" // leaves and the like, which sluice does not compare
			}
		}
		if mode == "" && ca != "" {
			mode = "require_and_verify"
		}
		return map[string]string{"require_and_verify": "require", "verify_if_given": "request"}[mode], ca
	}
	mode, ca := question(asked[0])
	same := mode != "" && ca != "" && len(asked) == len(c.units)
	for _, u := range asked {
		m, a := question(u)
		same = same && m == mode && a == ca
	}
	if same {
		c.plan.Keys.Set(mode, "tls", "client_auth", "mode")
		c.plan.Keys.Set(c.absolute(ca), "tls", "client_auth", "ca")
		return
	}
	for _, u := range asked {
		d := caddyfile.Get(u.site.Block, "tls")
		u.refuse(d.Pos, d.Text, "sluice asks the clients of all hosts for certificates from the same authorities, or none: not all sites ask in this way")
	}
}
