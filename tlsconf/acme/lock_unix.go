//go:build unix && !aix && !solaris

package acme

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks file with flock, which a crash releases. It does not wait.
func tryLock(file string) (unlock func(), ok bool, err error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, err
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case err == nil:
		return func() { f.Close() }, true, nil
	case errors.Is(err, syscall.EWOULDBLOCK), errors.Is(err, syscall.EINTR):
		return nil, false, f.Close()
	default:
		f.Close()
		return nil, false, err
	}
}
