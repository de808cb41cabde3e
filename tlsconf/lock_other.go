//go:build !unix || aix || solaris

package tlsconf

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// staleLock is the age at which a lock must be one that a crash left behind: no
// order takes so long.
const staleLock = 2 * orderTimeout

// tryLock makes file, which is there for as long as it is locked.
func tryLock(file string) (unlock func(), ok bool, err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return func() { os.Remove(file) }, true, f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return nil, false, err
	}
	if info, err := os.Stat(file); err == nil && time.Since(info.ModTime()) > staleLock {
		os.Remove(file)
	}
	return nil, false, nil
}
