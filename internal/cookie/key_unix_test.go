//go:build linux || darwin

package cookie

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// limitFiles has writes to files fail at a size until the test ends, as on a
// disk that is full.
func limitFiles(t *testing.T, size uint64) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	lower := before
	lower.Cur = size
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &lower); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
		signal.Reset(syscall.SIGXFSZ)
	})
}

// What is left of a key after a full disk would be refused at every start.
func TestAKeyThatIsNotWholeIsNotKept(t *testing.T) {
	const child = "SLUICE_TEST_FULL_DISK"
	if dir := os.Getenv(child); dir != "" { // a process of its own: the limit holds for every file that it writes
		limitFiles(t, 10)
		if k, err := OpenKey(dir); err == nil {
			t.Errorf("OpenKey with room for 10 bytes = %v", k)
		}
		return
	}
	dir := t.TempDir()
	full := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	full.Env = append(os.Environ(), child+"="+dir)
	if out, err := full.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if all, _ := os.ReadDir(dir); len(all) != 0 {
		t.Errorf("%v is left", all)
	}
	if _, err := OpenKey(dir); err != nil {
		t.Errorf("OpenKey when there is room: %v", err)
	}
	if _, err := readKey(filepath.Join(dir, "cookies")); err != nil {
		t.Error(err)
	}
}
