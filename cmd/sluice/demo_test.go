package main

import (
	"testing"

	"sluice/proxy"
)

func TestPageIsForABrowserOnThisMachine(t *testing.T) {
	tests := []struct {
		name     string
		listener proxy.Listener
		want     string
	}{
		{"plain", proxy.Listener{Address: "127.0.0.1:8080"}, "http://127.0.0.1:8080/"},
		{"plain on IPv6", proxy.Listener{Address: "[::1]:8080"}, "http://[::1]:8080/"},
		{"plain on all addresses", proxy.Listener{Address: "[::]:8080"}, "http://localhost:8080/"},
		{"TLS", proxy.Listener{Address: "127.0.0.1:8443", TLS: true}, "https://localhost:8443/"},
		{"TLS on all addresses", proxy.Listener{Address: "[::]:8443", TLS: true}, "https://localhost:8443/"},
		{"a Unix socket", proxy.Listener{Address: "unix:/run/demo:1"}, "unix:/run/demo:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := page(tt.listener); got != tt.want {
				t.Errorf("page(%+v) = %q, want %q", tt.listener, got, tt.want)
			}
		})
	}
}
