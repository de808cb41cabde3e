//go:build unix

package activation

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	firstDescriptor = 3    // SD_LISTEN_FDS_START
	mostDescriptors = 1024 // that are taken; systemd has no limit
)

// variables tell of the sockets: the process that they are for, how many there are, and a
// name for each.
var variables = [...]string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}

// Inherit takes over the sockets that the environment tells of, and removes what tells of
// them. It returns nil if there are none for this process. It must be called once, before
// the process starts another one, which would get the sockets too. What the process has
// opened before has other descriptors: those of the sockets are in use from its beginning.
func Inherit() (*Sockets, error) {
	var values [len(variables)]string
	for i, name := range variables {
		values[i] = os.Getenv(name)
		os.Unsetenv(name)
	}
	if pid, err := strconv.Atoi(values[0]); err != nil || pid != os.Getpid() {
		return nil, nil
	}
	count, err := strconv.Atoi(values[1])
	if err != nil || count < 0 || count > mostDescriptors {
		return nil, fmt.Errorf("LISTEN_FDS of the service manager is %q: want the number of sockets, at most %d", values[1], mostDescriptors)
	}
	names := strings.Split(values[2], ":")
	s := &Sockets{}
	for i := range count {
		p := socket{name: "unknown"}
		if i < len(names) && names[i] != "" {
			p.name = names[i]
		}
		if err := p.inherit(firstDescriptor + i); err != nil {
			return nil, fmt.Errorf("descriptor %d (%s) of the service manager: %w", firstDescriptor+i, p.name, err)
		}
		s.all = append(s.all, p)
	}
	return s, nil
}

// Receive takes over what another process of this program has been passed. It returns nil for none. The descriptors are closed if it
// fails.
func Receive(all []Passed) (*Sockets, error) {
	if len(all) == 0 {
		return nil, nil
	}
	s := &Sockets{}
	for i, given := range all {
		p := socket{name: given.Name}
		if err := p.inherit(given.Descriptor); err != nil {
			for _, other := range all[i:] {
				unix.Close(other.Descriptor)
			}
			for _, done := range s.all {
				done.file.Close()
			}
			return nil, fmt.Errorf("socket %s: %w", given.Name, err)
		}
		s.all = append(s.all, p)
	}
	return s, nil
}

// inherit takes a descriptor over, which must be a socket that listens.
func (p *socket) inherit(descriptor int) error {
	unix.CloseOnExec(descriptor)
	switch listens, err := unix.GetsockoptInt(descriptor, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); {
	case err != nil:
		return fmt.Errorf("it is no socket: %w", err)
	case listens == 0:
		return errors.New("it is no socket that listens for streams: the socket unit needs ListenStream= and Accept=no")
	}
	p.file = os.NewFile(uintptr(descriptor), p.name)
	l, err := net.FileListener(p.file)
	if err != nil {
		return err
	}
	defer l.Close()
	p.address = l.Addr()
	switch address := p.address.(type) {
	case *net.TCPAddr:
		p.whole = isWhole(descriptor, address.IP)
		return nil
	case *net.UnixAddr:
		return nil
	}
	return fmt.Errorf("%s is no address that a listener can have", p.address)
}

// isWhole reports whether a TCP socket on an IP takes connections to all addresses that the
// machine can have: one of IPv6 that takes those of IPv4 too, or one of IPv4 where the
// kernel has no IPv6.
func isWhole(descriptor int, ip net.IP) bool {
	switch {
	case ip.Equal(net.IPv6unspecified):
		only, err := unix.GetsockoptInt(descriptor, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		return err == nil && only == 0
	case ip.Equal(net.IPv4zero):
		return !hasIPv6()
	}
	return false
}

// hasIPv6 reports whether the kernel has IPv6: if it was started with ipv6.disable=1, it
// makes no sockets of that family, and package net listens on 0.0.0.0. A failure to make one
// for another reason proves nothing.
func hasIPv6() bool {
	s, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.Close(s)
	}
	return !errors.Is(err, unix.EAFNOSUPPORT)
}
