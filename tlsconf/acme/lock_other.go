//go:build !unix || aix || solaris

package acme

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// staleLock is the age from which on a lock counts as left behind by a crash: no
// order takes so long.
const staleLock = 2 * orderTimeout

// tryLock creates file, which exists for as long as it is locked. It does not wait.
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
