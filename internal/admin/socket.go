package admin

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// SocketOptions say how the Unix socket of a gateway is made.
type SocketOptions struct {
	Dir   string      // runtime directory; it is made if it is missing
	Name  string      // of the socket in it: see [SocketName]
	Mode  fs.FileMode // of the socket; 0 means 0600
	Group int         // that the socket belongs to; -1 means that of the process
}

// Path returns where the socket is.
func (o *SocketOptions) Path() string { return filepath.Join(o.Dir, o.Name) }

// SocketName returns the name of the socket of the gateway that runs a configuration: the same for
// the gateway and for the commands that look for it. Two files that have one name in different
// directories have different names. Symbolic links are not followed: where they lead may change
// while the gateway runs.
func SocketName(config string) string {
	if whole, err := filepath.Abs(config); err == nil {
		config = whole
	}
	sum := sha256.Sum256([]byte(config))
	base := strings.TrimSuffix(filepath.Base(config), filepath.Ext(config))
	base = strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, base)
	return base[:min(len(base), 24)] + "-" + hex.EncodeToString(sum[:4]) + ".sock"
}

// systemDir is the runtime directory that only root can make. The gateway's user may own it.
const systemDir = "/run/sluice"

// RuntimeDir returns the directory for the socket of a gateway: RUNTIME_DIRECTORY, which systemd
// sets, else /run/sluice for root, else sluice in XDG_RUNTIME_DIR, else a directory of the user in
// that for temporary files.
func RuntimeDir(getenv func(string) string) string {
	own, _, _ := strings.Cut(getenv("RUNTIME_DIRECTORY"), ":")
	switch user := getenv("XDG_RUNTIME_DIR"); {
	case own != "":
		return own
	case os.Geteuid() == 0:
		return systemDir
	case user != "":
		return filepath.Join(user, "sluice")
	}
	return filepath.Join(os.TempDir(), "sluice-"+strconv.Itoa(os.Geteuid()))
}

// runtimeDirs returns the directories in which the commands of this user may find a socket.
func runtimeDirs(getenv func(string) string) []string {
	all := []string{RuntimeDir(getenv)}
	for _, dir := range []string{systemDir, filepath.Join(os.TempDir(), "sluice-"+strconv.Itoa(os.Geteuid()))} {
		if dir != all[0] {
			all = append(all, dir)
		}
	}
	return all
}

// listenUnix opens the socket. It replaces one that a dead process has left, and no other.
func listenUnix(o SocketOptions) (net.Listener, error) {
	if err := makeDir(o.Dir); err != nil {
		return nil, err
	}
	lock, err := lockFile(o.Path() + ".lock")
	if err != nil {
		return nil, err
	}
	if answers(o.Path()) { // whose lock file somebody has removed
		lock.Close()
		return nil, fmt.Errorf("%s: another process listens there", o.Path())
	}
	l, err := bind(o)
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &unixListener{Listener: l, options: o, lock: lock}, nil
}

// fresh reports whether the socket is as o says, and its file is there.
func (l *unixListener) fresh(o SocketOptions) bool {
	_, err := os.Lstat(o.Path())
	return l.options == o && err == nil
}

// again returns a listener in place of l, made anew as o says. L gives its lock away: its Close
// removes nothing more.
func (l *unixListener) again(o SocketOptions) (net.Listener, error) {
	on, err := bind(o)
	if err != nil {
		return nil, err
	}
	next := &unixListener{Listener: on, options: o, lock: l.lock}
	l.lock = nil
	return next, nil
}

// makeDir makes a directory, or checks that nobody else can put a socket into it.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is no directory", dir)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s may be written to by others: use chmod 755", dir)
	}
	if owner := ownerOf(info); owner >= 0 && owner != os.Geteuid() && owner != 0 {
		return fmt.Errorf("%s belongs to user %d", dir, owner)
	}
	return nil
}

// bind opens the socket in a directory that only this user may enter, gives it its mode and group,
// and moves it to its place: at no moment may anyone else connect.
func bind(o SocketOptions) (l net.Listener, err error) {
	hidden, err := os.MkdirTemp(o.Dir, ".new-") // 0700
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(hidden)
	first := filepath.Join(hidden, "s")
	err = withShortPath(first, func(short string) error {
		l, err = net.Listen("unix", short)
		return err
	})
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err = o.setMode(first); err == nil {
		err = os.Rename(first, o.Path())
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// setMode gives a socket its mode and its group.
func (o *SocketOptions) setMode(path string) error {
	if o.Group >= 0 {
		if err := os.Chown(path, -1, o.Group); err != nil {
			return err
		}
	}
	return os.Chmod(path, cmp.Or(o.Mode, 0o600))
}

// unixListener is a socket in the file system, which its Close removes.
type unixListener struct {
	net.Listener
	options SocketOptions
	lock    *os.File // nil if the files are not its own any more
	theirs  bool     // they are not its own yet: see Own
	made    bool     // but for the socket, which is
}

// Close implements [net.Listener].
func (l *unixListener) Close() error {
	if l.theirs {
		if l.made {
			os.Remove(l.options.Path())
		}
		l.giveUp()
	}
	if l.lock != nil {
		os.Remove(l.options.Path())
		lock := l.lock
		l.lock = nil
		defer lock.Close() // after its file is removed
		defer os.Remove(l.options.Path() + ".lock")
	}
	return l.Listener.Close()
}
