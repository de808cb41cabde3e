package wire

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestListenersPassKeepAliveOn(t *testing.T) {
	options := func(c net.Conn) (all [4]int) {
		raw, err := c.(syscall.Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(s uintptr) {
			all[0], _ = unix.GetsockoptInt(int(s), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
			for i, name := range [...]int{unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT} {
				all[i+1], _ = unix.GetsockoptInt(int(s), unix.IPPROTO_TCP, name)
			}
		})
		return all
	}
	accept := func(listen func(network, address string) (net.Listener, error)) [4]int {
		l, err := listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		return options(s)
	}
	if got, want := accept(Listen), accept(net.Listen); got != want || got[0] != 1 {
		t.Errorf("keep-alive of what was accepted: %v; net.Listen has %v", got, want)
	}
}
