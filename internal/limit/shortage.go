package limit

import (
	"errors"
	"net"
	"strings"
	"syscall"
)

// A Shortage is something that this process, or its machine, has no more of at
// the moment. The zero value is none.
type Shortage uint8

const (
	NoDescriptors       Shortage = iota + 1 // the limit of the process
	NoSystemDescriptors                     // the limit of all processes together
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

// ShortageOf returns the shortage that err comes from, or 0. An error that comes
// from a shortage says nothing about the other end of a connection.
//
// The system's error for a lack of local ports also means that an address
// cannot be reached at all. So it counts as [NoPorts] only if an error in err's
// chain says so with a method Shortage() Shortage.
func ShortageOf(err error) Shortage {
	var known interface{ Shortage() Shortage }
	if errors.As(err, &known) {
		if s := known.Shortage(); s != 0 {
			return s
		}
	}
	for _, e := range [...]struct {
		errno    syscall.Errno
		shortage Shortage
	}{
		{syscall.EMFILE, NoDescriptors},
		{syscall.ENFILE, NoSystemDescriptors},
		{syscall.ENOMEM, NoMemory},
		{syscall.ENOBUFS, NoMemory},
	} {
		if errors.Is(err, e.errno) || inLookup(err, e.errno) {
			return e.shortage
		}
	}
	return 0
}

// inLookup reports whether err is a name look-up that failed with errno.
// Package net keeps only the text of the cause.
func inLookup(err error, errno syscall.Errno) bool {
	var failed *net.DNSError
	return errors.As(err, &failed) && strings.HasSuffix(failed.Err, errno.Error())
}
