// Package activation is the listening sockets that a service manager has opened for this
// process and passed to it, as systemd does for a socket unit (sd_listen_fds(3)).
package activation

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Sockets is the sockets that were passed. They stay open while the process lives, so that
// an address whose listener a reload has closed can be listened on again: clients that
// come meanwhile wait. A nil *Sockets is none. Any goroutine may use it.
type Sockets struct{ all []socket }

type socket struct {
	file    *os.File
	name    string // of the unit that has it, or what the unit says
	address net.Addr
	whole   bool // it takes connections to all addresses that the machine can have
}

// Listen returns a listener on the socket that has exactly this address, as [net.Listen]
// would: a port without a host is that of all addresses, which is [::] for IPv4 too, or
// 0.0.0.0 where the kernel has no IPv6. It returns nil, and no error, if there is none. The caller
// owns the listener; closing it does not close the socket, and leaves the file of a unix socket where
// it is.
func (s *Sockets) Listen(network, address string) (net.Listener, error) {
	if s == nil {
		return nil, nil
	}
	for _, p := range s.all {
		if p.is(network, address) {
			return net.FileListener(p.file)
		}
	}
	return nil, nil
}

// Named is Listen for the socket that has a name: that of its unit, or what FileDescriptorName= of the unit says
// (systemd.socket(5)). The error says which sockets there are.
func (s *Sockets) Named(name string) (net.Listener, error) {
	var found []*socket
	if s != nil {
		for i := range s.all {
			if s.all[i].name == name {
				found = append(found, &s.all[i])
			}
		}
	}
	switch len(found) {
	case 0:
		passed := "none"
		if all := s.Unused(nil); len(all) > 0 {
			passed = strings.Join(all, ", ")
		}
		return nil, fmt.Errorf("the service manager has passed no socket of the name %s: write FileDescriptorName=%[1]s in its socket unit; passed: %s", name, passed)
	case 1:
		return net.FileListener(found[0].file)
	}
	return nil, fmt.Errorf("the service manager has passed %d sockets of the name %s: give each a socket unit of its own, or write their addresses here", len(found), name)
}

// A Passed is a socket for another process of this program.
type Passed struct {
	Name       string // of the unit that has it
	Descriptor int    // it stays open while the process lives
}

// All returns the sockets for another process, which gets them with Receive.
func (s *Sockets) All() (all []Passed, err error) {
	if s == nil {
		return nil, nil
	}
	for _, p := range s.all {
		c, err := p.file.SyscallConn()
		if err != nil {
			return nil, err
		}
		if err := c.Control(func(fd uintptr) { all = append(all, Passed{p.name, int(fd)}) }); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Addresses returns the address of each socket.
func (s *Sockets) Addresses() []net.Addr {
	if s == nil {
		return nil
	}
	var all []net.Addr
	for _, p := range s.all {
		all = append(all, p.address)
	}
	return all
}

// Unused returns a description of each socket whose address none of these is. They are
// addresses as [net.Addr] has them.
func (s *Sockets) Unused(addresses []net.Addr) []string {
	if s == nil {
		return nil
	}
	used := make(map[string]bool)
	for _, a := range addresses {
		used[a.Network()+" "+a.String()] = true
	}
	var all []string
	for _, p := range s.all {
		if !used[p.address.Network()+" "+p.address.String()] {
			all = append(all, p.address.String()+" ("+p.name+")")
		}
	}
	return all
}

// is reports whether a socket is what listening on the address would open.
func (p *socket) is(network, address string) bool {
	switch have := p.address.(type) {
	case *net.UnixAddr:
		return network == "unix" && have.Name == filepath.Clean(address)
	case *net.TCPAddr:
		if network != "tcp" {
			return false
		}
		wanted, err := net.ResolveTCPAddr("tcp", address)
		if err != nil || wanted.Port != have.Port || wanted.Zone != have.Zone {
			return false
		}
		switch {
		case wanted.IP == nil:
			return p.whole
		case wanted.IP.Equal(net.IPv6unspecified): // of both families
			return p.whole && wanted.IP.Equal(have.IP)
		}
		return wanted.IP.Equal(have.IP)
	}
	return false
}
