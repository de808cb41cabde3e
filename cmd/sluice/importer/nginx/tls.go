package nginx

import (
	"cmp"
	"slices"
	"strings"

	"sluice/cmd/sluice/importer/mapping"
	"sluice/cmd/sluice/importer/nginx/vocabulary"
)

// certificates reads the certificates of the servers on the main listeners, those of the default server
// first, and what is asked of clients.
func (c *config) certificates(main []string) {
	servers := slices.Clone(c.blocks)
	slices.SortStableFunc(servers, func(a, b *server) int {
		first := func(s *server) int {
			if slices.ContainsFunc(s.listens, func(l listen) bool { return l.first && slices.Contains(main, l.address) }) {
				return 0
			}
			return 1
		}
		return cmp.Compare(first(a), first(b))
	})
	var pairs []mapping.Map
	var asked []*server
	var others int
	for _, s := range servers {
		if len(s.content()) == 0 || s.isolated != "" || !slices.ContainsFunc(s.listens, func(l listen) bool { return l.tls }) {
			continue
		}
		certs, keys := s.scope.All("ssl_certificate"), s.scope.All("ssl_certificate_key")
		for i, d := range certs {
			key := d.Arg(0)
			if i < len(keys) {
				key = keys[i].Arg(0)
			}
			pair := mapping.Map{{Key: "cert", Value: c.absolute(d.Arg(0))}, {Key: "key", Value: c.absolute(key)}}
			switch {
			case vocabulary.HasVariable(d.Arg(0)) || strings.HasPrefix(d.Arg(0), "data:") || strings.HasPrefix(key, "engine:"):
				c.lost(d, "sluice reads certificates and keys from files")
			case !slices.ContainsFunc(pairs, func(p mapping.Map) bool { return p.Get("cert") == pair.Get("cert") }):
				pairs = append(pairs, pair)
			}
		}
		if mode := s.scope.Value("ssl_verify_client"); mode != "" && mode != "off" {
			asked = append(asked, s)
		} else {
			others++
		}
		if versions := s.scope.Get("ssl_protocols"); versions != nil && slices.Equal(versions.Args, []string{"TLSv1.3"}) {
			c.plan.Keys.Set("1.3", "tls", "min_version")
		}
		if d := s.scope.Get("ssl_password_file"); d != nil {
			c.lost(d, "sluice does not read keys with a passphrase: write the key without one")
		}
	}
	if len(pairs) > 0 {
		c.plan.Keys.Set(pairs, "tls", "certificates")
	} else {
		c.plan.Keys.Set([]string{"localhost"}, "tls", "self_signed")
		c.lost(c.first, "no server has a certificate in a file: 'self_signed' stands in for it")
	}
	c.clientAuth(asked, others)
}

// clientAuth carries over that clients are asked for certificates, if all servers ask in the same way.
func (c *config) clientAuth(asked []*server, others int) {
	if len(asked) == 0 {
		return
	}
	const why = "sluice asks the clients of all hosts for certificates, or none: not all servers ask in this way"
	first := asked[0].scope
	mode := map[string]string{"on": "require", "optional": "request"}[first.Value("ssl_verify_client")]
	same := others == 0 && mode != "" && first.Value("ssl_client_certificate") != ""
	for _, s := range asked {
		for _, name := range []string{"ssl_verify_client", "ssl_client_certificate", "ssl_crl"} {
			same = same && s.scope.Value(name) == first.Value(name)
		}
	}
	for _, s := range asked {
		if !same {
			s.isolated = why
		}
	}
	if same {
		c.plan.Keys.Set(mode, "tls", "client_auth", "mode")
		c.plan.Keys.Set(c.absolute(first.Value("ssl_client_certificate")), "tls", "client_auth", "ca")
		if crl := first.Value("ssl_crl"); crl != "" {
			c.plan.Keys.Set(c.absolute(crl), "tls", "client_auth", "crl")
		}
	}
}
