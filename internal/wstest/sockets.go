package wstest

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// Sockets returns both ends of a connection of a network, tcp or unix. They are
// closed when the test ends.
func Sockets(t testing.TB, network string) (dialed, accepted net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		dir, err := os.MkdirTemp("", "") // t.TempDir is too long a path for some names
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		address = filepath.Join(dir, "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if dialed, err = net.DialTimeout(network, l.Addr().String(), Guard); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close() })
	for {
		if accepted, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
		if network != "tcp" || accepted.RemoteAddr().String() == dialed.LocalAddr().String() {
			t.Cleanup(func() { accepted.Close() })
			return dialed, accepted
		}
		accepted.Close() // from a client of the server that had this port before
	}
}
