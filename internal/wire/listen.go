package wire

import (
	"io/fs"
	"net"
)

// ListenOptions change how [Listen] opens an address.
type ListenOptions struct {
	// Mode is that of the file of a unix socket, which is never more open; 0 means 0777
	// less the umask. Linux only: elsewhere it is an error.
	Mode fs.FileMode

	// Replaces are listeners of this process that the caller will close soon. The new
	// address may overlap theirs: it is in use only if something else has it. Linux only.
	Replaces []net.Listener
}
