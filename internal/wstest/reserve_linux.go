package wstest

import (
	"fmt"
	"syscall"
	"testing"
)

// Reserve returns an address on loopback that refuses connections until the test listens
// there. Until the test ends the system gives its port to no program that asks for any port,
// to listen or to connect: tests of other packages run meanwhile.
//
// A socket holds the port that is bound and does not listen. Another one may listen there
// since both have SO_REUSEADDR, which Go sets for listeners.
func Reserve(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
}
