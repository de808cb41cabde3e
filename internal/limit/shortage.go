package limit

import (
	"errors"
	"net"
	"strings"
	"syscall"
)

// A Shortage is what this process, or its machine, has no more of for the
// moment. The zero value is none.
type Shortage uint8

const (
	NoDescriptors       Shortage = iota + 1 // the process has as many as it may
	NoSystemDescriptors                     // all processes together
	NoMemory                                // in the process, or in the kernel
	NoPorts                                 // local ones, to connect from
)

// String names what there is no more of.
func (s Shortage) String() string {
	switch s {
	case NoDescriptors:
		return "file descriptors"
	case NoSystemDescriptors:
		return "file descriptors of the system"
	case NoMemory:
		return "memory"
	case NoPorts:
		return "local ports"
	}
	return "nothing"
}

// Remedy returns what an operator can do about it.
func (s Shortage) Remedy() string {
	switch s {
	case NoDescriptors:
		return "raise the limit of the process (ulimit -n, LimitNOFILE=) or lower 'max_connections'"
	case NoSystemDescriptors:
		return "raise that of the system (sysctl fs.file-max)"
	case NoMemory:
		return "give it more memory (GOMEMLIMIT, if that is set) or lower 'max_connections'"
	case NoPorts:
		return "widen their range (sysctl net.ipv4.ip_local_port_range) or add endpoints"
	}
	return ""
}

// ShortageOf returns the shortage that err comes from, if it is one. It says
// nothing about the other end of a connection. Ports are none of it: the same
// error means that there is no way to an address.
func ShortageOf(err error) Shortage {
	for _, e := range [...]struct {
		errno syscall.Errno
		short Shortage
	}{
		{syscall.EMFILE, NoDescriptors},
		{syscall.ENFILE, NoSystemDescriptors},
		{syscall.ENOMEM, NoMemory},
		{syscall.ENOBUFS, NoMemory},
	} {
		if errors.Is(err, e.errno) || inLookup(err, e.errno) {
			return e.short
		}
	}
	return 0
}

// inLookup reports whether err is a failed look-up of a name for the reason
// errno: package net keeps no more than its text.
func inLookup(err error, errno syscall.Errno) bool {
	var failed *net.DNSError
	return errors.As(err, &failed) && strings.HasSuffix(failed.Err, errno.Error())
}
