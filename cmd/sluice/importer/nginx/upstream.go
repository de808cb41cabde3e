package nginx

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/mapping"
	"sluice/cmd/sluice/importer/nginx/syntax"
	"sluice/cmd/sluice/importer/nginx/vocabulary"
)

// An upstream is where a proxy_pass leads, but for the path.
type upstream struct {
	scheme string // http, https or grpc
	name   string // of an upstream block, or host:port, or unix:/path
}

// backend returns the name of the backend for an upstream as a scope speaks to it.
func (c *config) backend(u upstream, s *syntax.Scope) (string, error) {
	var keys mapping.Map
	var notes []importer.Note
	note := func(kind importer.Kind, d *syntax.Directive, why string) {
		notes = append(notes, importer.Note{Kind: kind, Pos: d.Pos, Text: d.Text, Why: why})
	}
	block := c.upstreams[u.name]
	if block == nil {
		keys.Set([]string{c.endpoint(u, u.name)}, "endpoints")
	} else if err := c.servers(u, block, &keys, note); err != nil {
		return "", err
	}
	if d := s.Get("proxy_connect_timeout"); d != nil {
		if t, ok := vocabulary.Duration(d.Arg(0)); ok {
			keys.Set(mapping.Duration(t, time.Millisecond, 10*time.Minute), "connect_timeout")
		}
	}
	if tries, err := strconv.Atoi(s.Value("proxy_next_upstream_tries")); err == nil && tries > 0 {
		keys.Set(min(tries, 20), "retry")
	}
	if s.Value("proxy_next_upstream") == "off" {
		keys.Set(1, "retry")
	}
	if s.Value("proxy_protocol") == "on" {
		keys.Set("v1", "proxy_protocol")
	}
	if u.scheme == "https" {
		c.backendTLS(s, &keys, note)
	}
	signature := fmt.Sprint(u, keys)
	if name, ok := c.backends[signature]; ok {
		return name, nil
	}
	b := c.plan.AddBackend(strings.TrimPrefix(u.name, "unix:"))
	b.Keys, b.Notes = keys, notes
	c.backends[signature] = b.Name
	return b.Name, nil
}

// endpoint writes an address of nginx as one of a backend.
func (c *config) endpoint(u upstream, address string) string {
	if strings.HasPrefix(address, "unix:") {
		return address
	}
	port := "80"
	if u.scheme == "https" && c.upstreams[u.name] == nil {
		port = "443"
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), port)
	}
	switch u.scheme {
	case "https":
		return "https://" + address
	case "grpc":
		return "h2c://" + address
	}
	return address
}

// servers reads an upstream block.
func (c *config) servers(u upstream, block *syntax.Directive, keys *mapping.Map, note func(importer.Kind, *syntax.Directive, string)) error {
	var endpoints []mapping.Map
	balance := "round_robin"
	for _, d := range block.Block {
		switch d.Name {
		case "server":
			e := mapping.Map{{Key: "address", Value: c.endpoint(u, d.Arg(0))}}
			for _, arg := range d.Args[min(1, len(d.Args)):] {
				if strings.HasPrefix(arg, "max_conns=") {
					if n, err := strconv.Atoi(arg[len("max_conns="):]); err != nil || n < 0 || n > 0 && !importer.MaxConnections(&e, n) {
						note(importer.Refused, d, "sluice counts requests and sessions apart: one connection for both together has no counterpart")
					}
					continue
				}
				if why := serverOption(arg, &e, keys); why != "" {
					note(importer.Lost, d, why)
				}
			}
			endpoints = append(endpoints, e)
		case "least_conn", "least_time":
			balance = "least_connections"
		case "random":
			balance = "random_two"
		case "ip_hash":
			balance = "hash"
		case "hash":
			balance = "hash"
			if by, ok := hashBy(d.Arg(0)); ok && by != "client" {
				keys.Set(by, "hash_by")
			} else if !ok {
				balance = "round_robin"
				note(importer.Lost, d, "sluice hashes the client's address, a header, a cookie or a query parameter; it takes turns here")
			}
		case "sticky":
			keys.Set(true, "sticky")
			if d.Arg(0) == "cookie" && d.Arg(1) != "" {
				keys.Set(mapping.Map{{Key: "cookie", Value: d.Arg(1)}}, "sticky")
			}
		case "keepalive":
			if n, err := strconv.Atoi(d.Arg(0)); err == nil && n > 0 {
				keys.Set(min(n, 100_000), "keepalive", "idle")
			}
		case "keepalive_timeout":
			if t, ok := vocabulary.Duration(d.Arg(0)); ok && t > 0 {
				keys.Set(mapping.Duration(t, time.Millisecond, 24*time.Hour), "keepalive", "timeout")
			}
		case "keepalive_requests":
			if n, err := strconv.Atoi(d.Arg(0)); err == nil && n > 0 {
				keys.Set(min(n, 10_000_000), "keepalive", "requests")
			}
		case "zone", "resolver", "resolver_timeout", "keepalive_time":
		default:
			note(importer.Lost, d, "sluice has nothing like it")
		}
	}
	if len(endpoints) == 0 {
		return block.Pos.Errorf("upstream %s has no server", block.Arg(0))
	}
	*keys = append(mapping.Map{{Key: "endpoints", Value: endpoints}, {Key: "balance", Value: balance}}, *keys...)
	return nil
}

// serverOption reads an option of a server. It returns why it cannot be carried over, or "".
func serverOption(option string, e, keys *mapping.Map) (why string) {
	name, value, _ := strings.Cut(option, "=")
	n, err := strconv.Atoi(value)
	switch {
	case name == "weight" && err == nil && n > 0:
		e.Set(min(n, 1000), "weight")
	case name == "max_fails" && err == nil && n == 0:
		keys.Set(mapping.Amount("off"), "passive")
	case name == "max_fails" && err == nil:
		if keys.Get("passive") != mapping.Amount("off") {
			keys.Set(min(n, 10_000), "passive", "failures")
		}
	case name == "fail_timeout":
		if t, ok := vocabulary.Duration(value); ok && t > 0 && keys.Get("passive") != mapping.Amount("off") {
			keys.Set(mapping.Duration(t, 100*time.Millisecond, 5*time.Minute), "passive", "eject")
			keys.Set(mapping.Duration(t, time.Second, time.Hour), "passive", "window")
		}
	case name == "slow_start":
		if t, ok := vocabulary.Duration(value); ok && t > 0 {
			keys.Set(mapping.Duration(t, time.Second, time.Hour), "slow_start")
		}
	case option == "backup":
		e.Set(true, "backup")
	case option == "down" || option == "drain":
		e.Set(true, "drain")
	case option == "resolve" || name == "route":
	default:
		return "sluice has nothing like " + option
	}
	return ""
}

// hashBy returns what hash_by has to be for a variable of nginx.
func hashBy(key string) (by string, ok bool) {
	name := strings.Trim(strings.TrimPrefix(key, "$"), "{}")
	switch {
	case name == "remote_addr" || name == "binary_remote_addr":
		return "client", true
	case strings.HasPrefix(name, "http_"):
		return "header:" + strings.ReplaceAll(name[len("http_"):], "_", "-"), true
	case strings.HasPrefix(name, "cookie_"):
		return "cookie:" + name[len("cookie_"):], true
	case strings.HasPrefix(name, "arg_"):
		return "query:" + name[len("arg_"):], true
	}
	return "", false
}

// backendTLS reads how endpoints are spoken to over TLS.
func (c *config) backendTLS(s *syntax.Scope, keys *mapping.Map, note func(importer.Kind, *syntax.Directive, string)) {
	for _, name := range []struct{ nginx, key string }{
		{"proxy_ssl_trusted_certificate", "ca"}, {"proxy_ssl_certificate", "cert"}, {"proxy_ssl_certificate_key", "key"},
	} {
		if file := s.Value(name.nginx); file != "" {
			keys.Set(c.absolute(file), "tls", name.key)
		}
	}
	if name := s.Value("proxy_ssl_name"); name != "" && !vocabulary.HasVariable(name) {
		keys.Set(name, "tls", "server_name")
	}
	if d := s.Get("proxy_ssl_verify"); d == nil || d.Arg(0) == "off" {
		at := c.first
		if d != nil {
			at = d
		}
		note(importer.Remark, &syntax.Directive{Pos: at.Pos, Text: "proxy_ssl_verify off"}, "nginx does not verify these endpoints, sluice does: give 'tls' a 'ca' or a 'server_name' if it cannot; 'insecure: true' verifies nothing")
	}
}

// address normalizes that of a listener: host:port, [::]:port, or unix:/path.
func address(text string) (string, bool) {
	if strings.HasPrefix(text, "unix:") {
		return text, true
	}
	if _, err := strconv.ParseUint(text, 10, 16); err == nil {
		return "0.0.0.0:" + text, true
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.Trim(text, "[]"), "80"
	}
	if host == "*" || host == "" {
		host = "0.0.0.0"
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return net.JoinHostPort(host, port), err == nil
}
