package main

import (
	"testing"

	"sluice/cmd/sluice/importer"
)

func TestWhatAForeignFileIsForIsTold(t *testing.T) {
	for _, tt := range []struct{ name, file, text, from, want string }{
		{"nginx by name", "/etc/nginx/nginx.conf", "", "", "nginx"},
		{"nginx by another name", "sites/chat.conf", "", "", "nginx"},
		{"nginx by text", "sites-enabled/default", "server {\n  listen 80;\n  location / {\n    return 204;\n  }\n}", "", "nginx"},
		{"Caddy by name", "/etc/caddy/Caddyfile", "", "", "caddy"},
		{"Caddy by another name", "Caddyfile.prod", "", "", "caddy"},
		{"Caddy by text", "chat.txt", "chat.test {\n\treverse_proxy app:3000\n}", "", "caddy"},
		{"HAProxy by name", "/etc/haproxy/haproxy.cfg", "", "", "haproxy"},
		{"HAProxy by text", "web.txt", "defaults\n\tmode http\n\nfrontend web\n\tbind :80\n", "", "haproxy"},
		{"Traefik by name", "traefik.toml", "", "", "traefik"},
		{"Traefik by text", "dynamic.yml", "http:\n  routers:\n    a: {}", "", "traefik"},
		{"what is said goes before the name", "nginx.conf", "", "Caddy", "caddy"},
		{"nobody knows", "notes.txt", "hello", "", ""},
		{"a proxy that is not known", "nginx.conf", "", "apache", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kind, err := kindOf(importer.File{Name: tt.file, Text: tt.text}, tt.from)
			if kind.name != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("kindOf(%s, %q) = %s, %v; want %s", tt.file, tt.from, kind.name, err, tt.want)
			}
		})
	}
}
