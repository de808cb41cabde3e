package forward

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestOriginBelievesOneKindOfHeader(t *testing.T) {
	proxy := netip.MustParseAddr("10.0.0.1")
	tests := []struct {
		name, forwardedFor, forwarded string
		client, proto, host           string
	}{
		{"neither", "", "", "10.0.0.1", "http", "a.test"},
		{"Forwarded", "", "for=192.0.2.1;proto=https;host=b.test", "192.0.2.1", "https", "b.test"},
		{"X-Forwarded-For, and what a client sent through", "192.0.2.1", "for=6.6.6.6;proto=https;host=evil.test", "192.0.2.1", "http", "a.test"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "http://a.test/", nil)
			if tt.forwardedFor != "" {
				r.Header.Set("X-Forwarded-For", tt.forwardedFor)
			}
			if tt.forwarded != "" {
				r.Header.Set("Forwarded", tt.forwarded)
			}
			o := NewOrigin(r, proxy, func(a netip.Addr) bool { return a == proxy })
			if o.Client.String() != tt.client || o.Proto != tt.proto || o.Host != tt.host {
				t.Errorf("origin = %v, %s, %s; want %s, %s, %s", o.Client, o.Proto, o.Host, tt.client, tt.proto, tt.host)
			}
		})
	}
}

// What a backend may take for a word of the gateway does not come from anybody.
func TestSetDropsForwardingHeadersOfStrangers(t *testing.T) {
	names := []string{"X-Forwarded-Prefix", "X-Forwarded-Ssl", "X_Forwarded_Prefix", "X-Real-Ip"}
	stranger := netip.MustParseAddr("192.0.2.1")
	r := httptest.NewRequest("GET", "/", nil)
	for _, name := range names {
		r.Header[name] = []string{"evil"}
	}
	o := NewOrigin(r, stranger, func(netip.Addr) bool { return false })
	o.Set(r.Header)
	for name, values := range r.Header {
		if strings.Contains(strings.Join(values, ","), "evil") {
			t.Errorf("%s: %s is left", name, values)
		}
	}
}
