package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/caddy"
	"sluice/cmd/sluice/importer/haproxy"
	"sluice/cmd/sluice/importer/nginx"
	"sluice/cmd/sluice/importer/traefik"
)

// A foreignKind is a kind of configuration that can be imported.
type foreignKind struct {
	name  string
	read  func(importer.Source) (*importer.Plan, error)
	names []string       // of files, as patterns in lower case
	text  *regexp.Regexp // that is in files with other names
}

// foreignKinds are asked in this order.
var foreignKinds = []foreignKind{
	{"caddy", caddy.Read, []string{"caddyfile", "caddyfile.*", "*.caddyfile", "*.caddy"},
		regexp.MustCompile(`(?m)^\s*(reverse_proxy|file_server|handle_path|php_fastcgi|respond|redir|encode)\b[^;\n]*$`)},
	{"haproxy", haproxy.Read, []string{"haproxy.cfg", "haproxy.*", "*.cfg"},
		regexp.MustCompile(`(?m)^(global|defaults|frontend\s+\S+|backend\s+\S+|listen\s+\S+)\s*$`)},
	{"traefik", traefik.Read, []string{"traefik.*", "*.toml"},
		regexp.MustCompile(`(?mi)^\s*(entryPoints|routers|certificatesResolvers|\[http\.routers\..*\])\s*:?\s*$`)},
	{"nginx", nginx.Read, []string{"nginx.conf", "*.conf"},
		regexp.MustCompile(`(?m)^\s*(server|http|upstream\s+\S+|location\s[^;]*)\s*\{`)},
}

// kindOf tells what a file is for; from is its name, if it is given.
func kindOf(f importer.File, from string) (foreignKind, error) {
	base := strings.ToLower(filepath.Base(f.Name))
	named := func(k foreignKind) bool {
		for _, pattern := range k.names {
			if ok, err := filepath.Match(pattern, base); ok && err == nil {
				return true
			}
		}
		return false
	}
	for _, is := range []func(foreignKind) bool{
		func(k foreignKind) bool { return from != "" && k.name == strings.ToLower(from) },
		func(k foreignKind) bool { return from == "" && named(k) },
		func(k foreignKind) bool { return from == "" && k.text.MatchString(f.Text) },
	} {
		for _, k := range foreignKinds {
			if is(k) {
				return k, nil
			}
		}
	}
	if from != "" {
		return foreignKind{}, fmt.Errorf("--from %s: it is nginx, caddy, haproxy or traefik", from)
	}
	return foreignKind{}, errors.New(f.Name + ": it is not clear what it is for: say --from nginx, caddy, haproxy or traefik")
}
