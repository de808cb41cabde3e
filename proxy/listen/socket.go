package listen

import (
	"io/fs"
	"net"
)

// socketOptions change how [openSocket] opens an address.
type socketOptions struct {
	// mode is that of the file of a unix socket, which is never more open; 0 means 0777
	// less the umask. Linux only: elsewhere it is an error.
	mode fs.FileMode

	// replaces are listeners of this process that the caller will close soon. The new
	// address may overlap theirs: it is in use only if something else has it. Linux only.
	replaces []net.Listener
}
