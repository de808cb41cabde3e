package admin

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerOf returns the user and the process at the other end of a Unix socket, and -1 and 0 if the
// system does not tell.
func peerOf(c *net.UnixConn) (uid, pid int) {
	uid = -1
	raw, err := c.SyscallConn()
	if err != nil {
		return uid, 0
	}
	raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid, pid = int(cred.Uid), int(cred.Pid)
		}
	})
	return uid, pid
}
