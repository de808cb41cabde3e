//go:build !portable

package succession

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/takeover"
)

// magic is what a process says first that asks for a take-over; its identity follows.
const magic = "sluice take-over 1\n"

const (
	greetingTime = time.Second      // for what a process says first that asks
	askerTime    = 15 * time.Second // for its preparations: it has read its configuration
)

// An Offer is a socket on which processes of the same user may ask to take over from this one, mostly those of other
// containers. Whoever may connect can have every session and its keys: so it lies in a directory that this user alone
// may enter.
type Offer struct {
	path     string
	listener *net.UnixListener
	file     fs.FileInfo
}

// ErrTaken is what Listen fails with if another process offers its sessions there.
var ErrTaken = errors.New("another gateway offers its sessions there")

// Listen makes the socket, or takes the inherited one over, which may be nil. Its directory is made if it is missing.
func Listen(path string, inherited *os.File) (*Offer, error) {
	if inherited != nil {
		defer inherited.Close()
		l, err := net.FileListener(inherited)
		if err != nil {
			return nil, err
		}
		if o, err := newOffer(path, l.(*net.UnixListener)); !errors.Is(err, fs.ErrNotExist) { // somebody has removed it
			return o, err
		}
	}
	dir, err := private(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	address := &net.UnixAddr{Name: path, Net: "unix"}
	l, err := net.ListenUnix("unix", address)
	if errors.Is(err, unix.EADDRINUSE) {
		if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("%s is there already, and no socket", path)
		}
		c, err := net.DialUnix("unix", nil, address)
		switch {
		case err == nil:
			c.Close()
			return nil, ErrTaken
		case !errors.Is(err, unix.ECONNREFUSED):
			return nil, err
		}
		if err := os.Remove(path); err != nil { // of a process that is dead
			return nil, err
		}
		if l, err = net.ListenUnix("unix", address); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	return newOffer(path, l)
}

// newOffer returns the offer of a socket. Its file is what is at path now.
func newOffer(path string, l *net.UnixListener) (*Offer, error) {
	file, err := os.Lstat(path)
	if err != nil {
		l.Close()
		return nil, err
	}
	return &Offer{path, l, file}, nil
}

// private opens a directory, which is made if it is missing and has to be this user's alone. Until it is closed, no other
// process has it from here: of two that find the socket of a dead process, the second finds that of the first.
func private(path string) (dir *os.File, err error) {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	dir, err = os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	switch {
	case errors.Is(err, unix.ENOTDIR):
		return nil, fmt.Errorf("%s is no directory", path)
	case err != nil:
		return nil, err
	}
	defer func() {
		if err != nil {
			dir.Close()
		}
	}()
	info, err := dir.Stat()
	if err != nil {
		return nil, err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("others may enter %s, and whoever reaches the socket can have all sessions: use chmod 700", path)
	case !ok || int(owner.Uid) != os.Geteuid():
		return nil, fmt.Errorf("%s is not of the user who runs the gateway (%d)", path, os.Geteuid())
	}
	return dir, unix.Flock(int(dir.Fd()), unix.LOCK_EX)
}

// Path returns where the socket is.
func (o *Offer) Path() string { return o.path }

// Descriptor returns the descriptor of the socket, which stays open while the offer is.
func (o *Offer) Descriptor() (fd int, err error) {
	raw, err := o.listener.SyscallConn()
	if err == nil {
		err = raw.Control(func(s uintptr) { fd = int(s) })
	}
	return fd, err
}

// Accept returns the next process that asks, and what it says it is: see [Identity]. It fails when the offer is closed;
// whoever may not ask is not heard.
func (o *Offer) Accept() (c *Child, identity []byte, err error) {
	for {
		conn, err := o.listener.AcceptUnix()
		if err != nil {
			return nil, nil, err
		}
		if identity, err := asked(conn); err == nil {
			return &Child{conn: conn, deadlines: takeover.Deadlines{Prepare: askerTime, Step: deadlines().Step}}, identity, nil
		}
		conn.Close()
	}
}

// asked reads what a process says that asks.
func asked(conn *net.UnixConn) (identity []byte, err error) {
	if err := sameUser(conn); err != nil {
		return nil, err
	}
	said := make([]byte, len(magic)+sha256.Size)
	conn.SetReadDeadline(time.Now().Add(greetingTime)) // nobody else is heard meanwhile
	for n := 0; n < len(said); {
		m, err := conn.Read(said[n:])
		if err != nil {
			return nil, err
		}
		n += m
	}
	if !bytes.HasPrefix(said, []byte(magic)) {
		return nil, errors.New("it speaks another language")
	}
	return said[len(magic):], nil
}

// sameUser returns an error unless the process at the other end runs as the user of this one.
func sameUser(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	if failed := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); failed != nil {
		err = failed
	}
	if err == nil && int(peer.Uid) != os.Geteuid() {
		err = fmt.Errorf("it is of user %d, and this one of user %d", peer.Uid, os.Geteuid())
	}
	return err
}

// IsThere reports whether the file of the socket is where it was made.
func (o *Offer) IsThere() bool {
	there, err := os.Lstat(o.path)
	return err == nil && os.SameFile(there, o.file)
}

// Stop makes Accept fail, and closes the socket.
func (o *Offer) Stop() { o.listener.Close() }

// Close closes the socket. Its file is removed if it is this process's.
func (o *Offer) Close(owns bool) {
	if owns && o.IsThere() {
		os.Remove(o.path)
	}
	o.Stop()
}

// Identity returns what has to be the same of both processes: the configuration, of which hash is the hash, and the network
// namespace, since a listening socket stays in the one where it was made.
func Identity(hash string) []byte {
	network, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		network = err.Error() // the same for none
	}
	sum := sha256.Sum256([]byte(hash + "\n" + network))
	return sum[:]
}

// Refuse tells a process that has asked why it gets nothing.
func (c *Child) Refuse(why error) { takeover.Refuse(c.conn, why) }

// Ask asks the process that offers its sessions at path, if there is one, for them: i goes on as if that process had
// started this one, which has read its configuration. It returns when the sockets have come.
func (i *Inherited) Ask(ctx context.Context, path string, identity []byte) error {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return nil
	case err != nil:
		return err
	}
	if err := sameUser(conn); err != nil {
		conn.Close()
		return fmt.Errorf("the process that offers its sessions at %s: %w", path, err)
	}
	if _, err := conn.Write(append([]byte(magic), identity...)); err != nil {
		conn.Close()
		return err
	}
	i.asked = true
	return i.begin(ctx, conn, func() error { return nil })
}
