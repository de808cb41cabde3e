package wire

import (
	"io/fs"
	"net"
)

// ListenOptions change how [Listen] opens an address.
type ListenOptions struct {
	Mode fs.FileMode // of the file of a unix socket, which is never more open; 0 means what the umask leaves

	// Listeners of this process, soon to be closed, that may be in the way: an
	// address counts as in use only if something else is. Linux only.
	Beside []net.Listener
}
