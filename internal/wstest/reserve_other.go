//go:build !linux

package wstest

import (
	"net"
	"testing"
)

// Reserve returns an address on loopback that refuses connections until the test
// listens there. It was free a moment ago: only Linux lets a socket hold a port on
// which another one then listens.
func Reserve(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
