//go:build unix

package admin

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// socket returns options for a socket in a new directory.
func socket(t *testing.T) SocketOptions {
	t.Helper()
	return SocketOptions{Dir: filepath.Join(t.TempDir(), "run"), Name: SocketName("/etc/sluice/sluice.yaml"), Group: -1}
}

// listenSocket opens a socket for the life of a test.
func listenSocket(t *testing.T, o SocketOptions) net.Listener {
	t.Helper()
	l, err := listenUnix(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// names returns what is in a directory.
func names(t *testing.T, dir string) string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range all {
		found = append(found, e.Name())
	}
	return strings.Join(found, " ")
}

func TestASocketGoesWithItsListener(t *testing.T) {
	o := socket(t)
	l, err := listenUnix(o)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, o.Dir), o.Name+" "+o.Name+".lock"; got != want {
		t.Errorf("there are %s, want %s", got, want)
	}
	for range 2 {
		l.Close()
	}
	if got := names(t, o.Dir); got != "" {
		t.Errorf("after Close there are %s", got)
	}
}

func TestLeftOverSocketsAreReplaced(t *testing.T) {
	tests := []struct {
		name  string
		leave func(t *testing.T, path string)
	}{
		{"a socket", func(t *testing.T, path string) {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			l.Close()
		}},
		{"a lock file", func(t *testing.T, path string) {
			if err := os.WriteFile(path+".lock", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"a directory of an attempt that was cut short", func(t *testing.T, path string) {
			if err := os.Mkdir(filepath.Join(filepath.Dir(path), ".new-1"), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := socket(t)
			if err := os.Mkdir(o.Dir, 0o755); err != nil {
				t.Fatal(err)
			}
			tt.leave(t, o.Path())
			listenSocket(t, o)
			if !answers(o.Path()) {
				t.Error("the new socket does not answer")
			}
		})
	}
}

func TestLiveSocketsAreKept(t *testing.T) {
	t.Run("of a gateway", func(t *testing.T) {
		o := socket(t)
		first := listenSocket(t, o)
		l, err := listenUnix(o)
		if err == nil {
			l.Close()
			t.Fatal("a second gateway has taken the socket")
		}
		if !strings.Contains(err.Error(), "another gateway") || !strings.Contains(err.Error(), o.Path()) {
			t.Errorf("error %q, want one that says why and where", err)
		}
		if !answers(o.Path()) {
			t.Error("the first socket does not answer any more")
		}
		first.Close()
		listenSocket(t, o)
	})
	t.Run("whose lock file was removed", func(t *testing.T) {
		o := socket(t)
		first := listenSocket(t, o)
		if err := os.Remove(o.Path() + ".lock"); err != nil {
			t.Fatal(err)
		}
		if l, err := listenUnix(o); err == nil {
			t.Error("a second gateway has taken the socket")
			l.Close()
		}
		first.Close()
	})
}

// One of many that begin at once gets the socket.
func TestOneGatewayGetsTheSocket(t *testing.T) {
	o := socket(t)
	for range 50 {
		var mu sync.Mutex
		var got []net.Listener
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if l, err := listenUnix(o); err == nil {
					mu.Lock()
					defer mu.Unlock()
					got = append(got, l)
				}
			})
		}
		all.Wait()
		if len(got) != 1 || !answers(o.Path()) {
			t.Fatalf("%d of 8 have the socket", len(got))
		}
		got[0].Close()
	}
}

func TestModeAndGroup(t *testing.T) {
	for _, mode := range []fs.FileMode{0, 0o600, 0o660, 0o666} {
		o := socket(t)
		o.Mode, o.Group = mode, os.Getegid()
		if os.Geteuid() == 0 {
			o.Group = 12345
		}
		listenSocket(t, o)
		info, err := os.Lstat(o.Path())
		if err != nil {
			t.Fatal(err)
		}
		want := mode
		if want == 0 {
			want = 0o600
		}
		if got := info.Mode(); got.Type() != fs.ModeSocket || got.Perm() != want || int(info.Sys().(*syscall.Stat_t).Gid) != o.Group {
			t.Errorf("mode %o: %v of group %d, want group %d", mode, got, info.Sys().(*syscall.Stat_t).Gid, o.Group)
		}
		lock, err := os.Lstat(o.Path() + ".lock")
		if err != nil || lock.Mode().Perm() != 0o600 {
			t.Errorf("the lock file: %v, %v", lock, err)
		}
	}
}

// While a socket is made, its path has either nothing or a socket with its mode, whatever the umask
// allows; and what is beside it can be entered by its owner alone.
func TestAtNoMomentMayOthersConnect(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	o := socket(t)
	if err := os.Mkdir(o.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			all, _ := os.ReadDir(o.Dir)
			for _, e := range all {
				if info, err := os.Lstat(filepath.Join(o.Dir, e.Name())); err == nil && info.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s has the mode %v", e.Name(), info.Mode())
					return
				}
			}
		}
	}()
	for range 500 {
		l, err := listenUnix(o)
		if err != nil {
			t.Error(err)
			break
		}
		l.Close()
	}
	close(stop)
	<-stopped
}

func TestUnsafeDirectoriesAreRefused(t *testing.T) {
	tests := []struct {
		name string
		make func(t *testing.T, dir string)
		want string
	}{
		{"writable by others", func(t *testing.T, dir string) { mkdir(t, dir, 0o777) }, "may be written to by others"},
		{"writable by others, with the sticky bit", func(t *testing.T, dir string) { mkdir(t, dir, 0o777|fs.ModeSticky) }, "may be written to by others"},
		{"writable by its group", func(t *testing.T, dir string) { mkdir(t, dir, 0o775) }, "may be written to by others"},
		{"a file", func(t *testing.T, dir string) {
			if err := os.WriteFile(dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "run"},
		{"a link to a directory", func(t *testing.T, dir string) {
			mkdir(t, dir+"2", 0o755)
			if err := os.Symlink(dir+"2", dir); err != nil {
				t.Fatal(err)
			}
		}, "no directory"},
		{"a link to nothing", func(t *testing.T, dir string) {
			if err := os.Symlink(dir+"2", dir); err != nil {
				t.Fatal(err)
			}
		}, "run"},
		{"of another user", func(t *testing.T, dir string) {
			if os.Geteuid() != 0 {
				t.Skip("only root can make one")
			}
			mkdir(t, dir, 0o755)
			if err := os.Chown(dir, 12345, -1); err != nil {
				t.Fatal(err)
			}
		}, "belongs to user 12345"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := socket(t)
			tt.make(t, o.Dir)
			l, err := listenUnix(o)
			if err == nil {
				l.Close()
				t.Fatal("it was accepted")
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), o.Dir) {
				t.Errorf("error %q, want %q and the directory", err, tt.want)
			}
		})
	}
}

func mkdir(t *testing.T, dir string, mode fs.FileMode) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
}

// A link at the place of the lock file is not followed: it would make a file anywhere.
func TestLinksAreNotFollowed(t *testing.T) {
	o := socket(t)
	mkdir(t, o.Dir, 0o755)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.Symlink(victim, o.Path()+".lock"); err != nil {
		t.Fatal(err)
	}
	if l, err := listenUnix(o); err == nil {
		l.Close()
	}
	if _, err := os.Lstat(victim); err == nil {
		t.Error("a file was made where the link leads")
	}
}

// A link at the place of the socket is replaced, and what it leads to stays.
func TestALinkAtThePlaceOfTheSocket(t *testing.T) {
	o := socket(t)
	mkdir(t, o.Dir, 0o755)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, o.Path()); err != nil {
		t.Fatal(err)
	}
	l := listenSocket(t, o)
	if info, err := os.Lstat(o.Path()); err != nil || info.Mode().Type() != fs.ModeSocket {
		t.Errorf("at the path: %v, %v", info, err)
	}
	l.Close()
	if info, err := os.Lstat(victim); err != nil || info.Mode() != 0o640 {
		t.Errorf("the victim: %v, %v", info, err)
	}
}

func TestLongPaths(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("there is no /proc/self/fd here")
	}
	for _, n := range []int{90, 103, 104, 107, 108, 200, 1000} {
		o := socket(t)
		for len(o.Path()) < n {
			o.Dir = filepath.Join(o.Dir, strings.Repeat("d", min(n-len(o.Path()), 100)))
		}
		newTestServer(t, newFakeGateway(), Options{Socket: &o})
		c, err := Find(Where{Admin: "unix:" + o.Path()}, func(string) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		var s Status
		if status, err := c.Do(t.Context(), "GET", "/status", nil, &s); err != nil || status != 200 || s.Version != "v" {
			t.Errorf("a path of %d bytes: %d, %v", len(o.Path()), status, err)
		}
	}
	o := socket(t)
	o.Name = strings.Repeat("n", 200)
	if l, err := listenUnix(o); err == nil {
		l.Close()
	} else if !strings.Contains(err.Error(), "RUNTIME_DIRECTORY") && !strings.Contains(err.Error(), "long") {
		t.Errorf("a name that is too long: %v", err)
	}
}
