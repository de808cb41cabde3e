package limit

import (
	"net/netip"
	"testing"
)

func TestKey(t *testing.T) {
	tests := []struct{ name, address, want string }{
		{"IPv4", "192.0.2.7", "192.0.2.7"},
		{"IPv4 in IPv6", "::ffff:192.0.2.7", "192.0.2.7"},
		{"IPv6 by its /64", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"IPv6 with a zone", "fe80::1%eth0", "fe80::"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Key(netip.MustParseAddr(tt.address)); got.String() != tt.want {
				t.Errorf("Key(%s) = %s; want %s", tt.address, got, tt.want)
			}
		})
	}
	if got := Key(netip.Addr{}); got.IsValid() {
		t.Errorf("Key of an unknown address = %s; want none", got)
	}
}
