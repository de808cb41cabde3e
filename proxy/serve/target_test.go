package serve

import (
	"net/http/httptest"
	"net/netip"
	"testing"

	"sluice/internal/message"
	"sluice/proxy/backend"
)

func TestHashBy(t *testing.T) {
	sent := httptest.NewRequest("GET", "/?sid=a&empty=", nil)
	sent.Header.Set("X-User", "a")
	sent.Header.Set("Cookie", "id=a; other=b")
	r := message.FromHTTP(sent, netip.AddrPort{})
	client := backend.HashOf("192.0.2.1")
	tests := []struct {
		by   string
		want uint64
	}{
		{"client", client},
		{"header:x-user", backend.HashOf("headera")},
		{"header:X-None", client},
		{"cookie:id", backend.HashOf("cookiea")},
		{"cookie:none", client},
		{"query:sid", backend.HashOf("querya")},
		{"query:empty", client},
	}
	for _, tt := range tests {
		if got := NewHashBy(tt.by).hash(&r, netip.MustParseAddr("192.0.2.1")); got != tt.want {
			t.Errorf("hash by %s = %x, want %x", tt.by, got, tt.want)
		}
	}
}
