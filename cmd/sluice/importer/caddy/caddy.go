// Package caddy reads Caddyfiles.
package caddy

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/caddy/caddyfile"
	"sluice/cmd/sluice/importer/mapping"
)

// config is a configuration while it is read.
type config struct {
	plan   *importer.Plan
	dir    string // what relative names of files start from
	global []*caddyfile.Directive
	units  []*unit
	main   []importer.Listen // the listeners
}

// Read reads the files of a source, each as a Caddyfile. The values of environment variables are those
// of this process.
func Read(source importer.Source) (*importer.Plan, error) {
	file, err := caddyfile.Parse(source, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	if len(file.Sites) == 0 {
		return nil, errors.New(source.Files[0].Name + ": there is no site in it")
	}
	c := &config{
		plan: &importer.Plan{From: "Caddy", MergesSlashes: true}, dir: filepath.Dir(source.Files[0].Name), global: file.Global,
	}
	for _, s := range file.Sites {
		if err := c.addSite(s); err != nil {
			return nil, err
		}
	}
	c.listeners()
	c.certificates()
	c.options()
	return c.plan, c.rules(file)
}

// absolute returns the name of a file that does not depend on where the configuration is.
func (c *config) absolute(name string) string { return caddyfile.Absolute(c.dir, name) }

// lost adds a note about the plan.
func (c *config) lost(d *caddyfile.Directive, why string) {
	c.plan.Note(importer.Lost, d.Pos, d.Text, why)
}

// options carries the options for all.
func (c *config) options() {
	for _, d := range c.global {
		switch d.Name {
		case "grace_period":
			if t, ok := caddyfile.Duration(d.Arg(0)); ok {
				c.plan.Keys.Set(mapping.Duration(t, 0, 24*time.Hour), "shutdown_timeout")
			}
		case "debug":
			c.plan.Keys.Set("debug", "log", "level")
		case "servers":
			c.servers(d)
		case "http_port", "https_port", "default_bind", "order", "email", "acme_ca", "acme_ca_root", "acme_eab", "local_certs", "auto_https",
			"admin", "log", "persist_config", "skip_install_trust", "default_sni", "fallback_sni", "storage_check", "storage_clean_interval",
			"renew_interval", "ocsp_interval", "ocsp_stapling", "key_type", "preferred_chains", "cert_lifetime", "renewal_window_ratio", "metrics", "shutdown_delay":
		default:
			c.lost(d, "sluice has nothing like it")
		}
	}
}

// servers carries options of the servers, which hold for all listeners.
func (c *config) servers(d *caddyfile.Directive) {
	if len(d.Args) > 0 && !slices.ContainsFunc(c.main, func(l importer.Listen) bool { return strings.HasSuffix(l.Address, d.Arg(0)) }) {
		return // those of another listener
	}
	each := func(value any, keys ...string) {
		for i := range c.plan.Listeners {
			c.plan.Listeners[i].Keys.Set(value, keys...)
		}
	}
	for _, o := range d.Block {
		switch o.Name {
		case "trusted_proxies":
			c.trusted(o)
		case "timeouts":
			for _, t := range o.Block {
				d, ok := caddyfile.Duration(t.Arg(0))
				switch {
				case ok && t.Name == "read_header":
					each(mapping.Duration(d, time.Millisecond, 10*time.Minute), "timeouts", "header")
				case ok && t.Name == "idle":
					each(mapping.Duration(d, time.Millisecond, 24*time.Hour), "timeouts", "idle")
				default:
					c.lost(t, "sluice bounds how slowly bodies may come and go: 'min_body_rate'")
				}
			}
		case "max_header_size":
			if n, ok := caddyfile.Size(o.Arg(0)); ok {
				each(mapping.Size(min(max(n, 4<<10), 16<<20)), "max_header_bytes")
			}
		case "listener_wrappers":
			for _, wrapper := range o.Block {
				switch wrapper.Name {
				case "proxy_protocol":
					c.proxyProtocol(wrapper)
				case "tls", "http_redirect":
				default:
					c.lost(wrapper, "sluice has nothing like it")
				}
			}
		case "protocols":
			if !slices.Contains(o.Args, "h2") {
				for i, l := range c.plan.Listeners {
					if l.Keys.Get("tls") == true {
						c.plan.Listeners[i].Keys.Set(false, "http2")
					}
				}
			}
		case "client_ip_headers":
			if !slices.ContainsFunc(o.Args, func(name string) bool { return strings.EqualFold(name, "X-Forwarded-For") }) {
				c.lost(o, "sluice reads the client's address from X-Forwarded-For or Forwarded of 'trusted_proxies'")
			}
		case "name", "metrics", "trace", "log_credentials", "keepalive_interval", "keepalive_idle", "keepalive_count", "enable_full_duplex",
			"strict_sni_host", "trusted_proxies_strict", "0rtt", "packet_conn_wrappers":
		default:
			c.lost(o, "sluice has nothing like it")
		}
	}
}

// privateRanges is what Caddy calls private_ranges.
var privateRanges = []string{"192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8", "127.0.0.1/8", "fd00::/8", "::1"}

// trusted carries the proxies in front.
func (c *config) trusted(d *caddyfile.Directive) {
	if d.Arg(0) != "static" {
		c.lost(d, "list the proxies in front in 'trusted_proxies'")
		return
	}
	for _, network := range d.Args[1:] {
		c.trust(d, network)
	}
}

func (c *config) trust(d *caddyfile.Directive, network string) {
	if network == "private_ranges" {
		for _, private := range privateRanges {
			c.trust(d, private)
		}
		return
	}
	if network == "127.0.0.1/8" {
		network = "127.0.0.0/8"
	}
	if !isNetwork(network) {
		c.lost(d, "not an address or a network: "+network)
		return
	}
	c.plan.Keys.Add(network, "trusted_proxies")
}

// proxyProtocol makes the listeners ask for PROXY headers.
func (c *config) proxyProtocol(d *caddyfile.Directive) {
	allowed := caddyfile.All(d.Block, "allow")
	for _, o := range allowed {
		for _, network := range o.Args {
			c.trust(o, network)
		}
	}
	if c.plan.Keys.Get("trusted_proxies") == nil {
		c.plan.Keys.Add("127.0.0.1", "trusted_proxies")
		c.lost(d, "Caddy takes PROXY headers of everybody; sluice refuses connections of those not in 'trusted_proxies': list the load balancers there")
	}
	for i := range c.plan.Listeners {
		c.plan.Listeners[i].Keys.Set(true, "proxy_protocol")
	}
}
