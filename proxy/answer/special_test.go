//go:build unix

package answer

import (
	"path/filepath"
	"syscall"
	"testing"
)

func TestSpecialFilesAreNeitherOpenedNorServed(t *testing.T) {
	root := tree(t)
	fifo := filepath.Join(root, "fifo")
	if err := syscall.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	socket, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(socket)
	if err := syscall.Bind(socket, &syscall.SockaddrUnix{Name: filepath.Join(root, "socket")}); err != nil {
		t.Fatal(err)
	}
	f := newFiles(t, root, "index.html", "")
	for _, path := range []string{"/fifo", "/socket", "/fifo/", "/here/fifo"} {
		t.Run(path, func(t *testing.T) {
			if w := get(f, path); w.Code != 404 {
				t.Errorf("Serve(%q) = %d, want 404", path, w.Code)
			}
		})
	}
}
