//go:build unix

package wstest

import (
	"sync"
	"syscall"
	"testing"
)

// NoDescriptors keeps this process from opening another file descriptor, until undo
// is called or the test ends. Those that are open stay open. The limit holds for the
// whole process: the test must not run beside others.
func NoDescriptors(t testing.TB) (undo func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	none := before
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	undo = sync.OnceFunc(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(undo)
	return undo
}
