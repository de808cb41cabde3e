package activation

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// restartWithoutIPv6 starts this program again, in a process for which the kernel makes no sockets of
// IPv6, as if it was started with ipv6.disable=1. If that is not allowed, it says so and ends.
func restartWithoutIPv6() {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: unix.SYS_SOCKET},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16}, // its first argument, of little-endian machines
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.AF_INET6},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	os.Unsetenv("WITHOUT_IPV6")
	runtime.LockOSThread() // the filter is that of a thread, until it has become a process
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if err == nil {
		err = unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
	}
	if err == nil {
		err = syscall.Exec(os.Args[0], os.Args, os.Environ())
	}
	fmt.Println("no filter:", err)
	os.Exit(0)
}

// Without IPv6 a service manager opens 0.0.0.0 for a port, as package net would.
func TestAPortIsThatOfAllAddressesThatThereAre(t *testing.T) {
	tests := []struct {
		name, set, network string
		accepted           bool
	}{
		{"with IPv6, a socket of both", "", "tcp", true},
		{"with IPv6, a socket of IPv4", "", "tcp4", false},
		{"with IPv6, a socket of IPv6 alone", "", "tcp6", false},
		{"without, a socket of IPv4", "export WITHOUT_IPV6=1;", "tcp4", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen(tt.network, ":0")
			if err != nil {
				t.Skip(err)
			}
			tcp := l.(*net.TCPListener)
			if tt.set == "" && !hasIPv6() {
				t.Skip("this machine has no IPv6")
			}
			_, port, _ := net.SplitHostPort(tcp.Addr().String())
			if tt.accepted {
				dial(t, "tcp", "127.0.0.1:"+port)
			}
			out := activate(t, tt.set+fmt.Sprintf(passing, 1, "x"), []*os.File{file(t, tcp)}, "tcp :"+port, "tcp [::1]:"+port)
			if len(out) == 1 && tt.set != "" {
				t.Skip(out[0])
			}
			want := "none: :" + port
			if tt.accepted {
				want = "accepted: :" + port
			}
			if !slices.Contains(out, want) || !slices.Contains(out, "none: [::1]:"+port) {
				t.Errorf("it printed %q, want %q, and none for [::1]", out, want)
			}
		})
	}
}
