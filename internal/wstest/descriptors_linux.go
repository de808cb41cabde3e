package wstest

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
)

// Descriptors returns how many descriptors the process has.
func Descriptors(t testing.TB) int {
	t.Helper()
	openRuntimePoller(t)
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// openRuntimePoller makes the Go runtime open the descriptors of its own poller, which it
// does with the first socket.
func openRuntimePoller(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// ExhaustDescriptors takes every descriptor that the process may still have, and returns a
// function that gives them back.
func ExhaustDescriptors(t testing.TB) (free func()) {
	t.Helper()
	all, _ := TakeDescriptors(t, 0)
	return all
}

// TakeDescriptors takes every descriptor that the process may still have, but for as many as given. It returns a
// function that gives all back, and one that gives one back.
func TakeDescriptors(t testing.TB, but int) (all, one func()) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	less := was
	less.Cur = min(was.Cur, 1024)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &less); err != nil {
		t.Fatal(err)
	}
	var taken []int
	one = func() {
		syscall.Close(taken[0])
		taken = taken[1:]
	}
	all = sync.OnceFunc(func() {
		for len(taken) > 0 {
			one()
		}
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was)
	})
	t.Cleanup(all)
	for {
		fd, err := syscall.Dup(1)
		if err != nil {
			if !errors.Is(err, syscall.EMFILE) {
				t.Fatal(err)
			}
			break
		}
		taken = append(taken, fd)
	}
	for range but {
		syscall.Close(taken[len(taken)-1])
		taken = taken[:len(taken)-1]
	}
	return all, one
}
