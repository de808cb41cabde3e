//go:build unix

package limit

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// limitDescriptors sets how many descriptors the process may have until the test
// ends.
func limitDescriptors(t *testing.T, most uint64) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if uint64(before.Max) < most {
		t.Skipf("the process may have %d descriptors at most; the test takes %d", before.Max, most)
	}
	lower := before
	lower.Cur = most
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lower); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
}

// open opens n descriptors until the test ends, and returns them.
func open(t *testing.T, n int) []*os.File {
	t.Helper()
	files := make([]*os.File, n)
	for i := range files {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		files[i] = f
	}
	return files
}

func descriptors(t *testing.T) (used, most int) {
	t.Helper()
	used, most, ok := Descriptors()
	if !ok {
		t.Fatal("Descriptors is not ok")
	}
	return used, most
}

func TestDescriptorsAreCounted(t *testing.T) {
	limitDescriptors(t, 1000)
	open(t, 1) // the first one has the runtime open its own
	before, most := descriptors(t)
	if before < 3 || most != 1000 {
		t.Errorf("Descriptors = %d of %d; want some of 1000", before, most)
	}
	files := open(t, 100)
	if used, _ := descriptors(t); used != before+100 {
		t.Errorf("Descriptors = %d with 100 more than %d open", used, before)
	}
	for _, f := range files[:50] { // low numbers are free, high ones not
		f.Close()
	}
	if used, _ := descriptors(t); used != before+50 {
		t.Errorf("Descriptors = %d with 50 more than %d open behind 50 that were closed", used, before)
	}
}

func TestManyDescriptorsAreEstimated(t *testing.T) {
	limitDescriptors(t, 4000)
	open(t, 1)
	before, _ := descriptors(t)
	open(t, 2000)
	// Every part is full or empty, but for what stands between the two.
	if used, most := descriptors(t); most != 4000 || used < before+1950 || used > before+2050 {
		t.Errorf("Descriptors = %d of %d with 2000 more than %d open", used, most, before)
	}
}

func TestRoomIsShortOfDescriptors(t *testing.T) {
	limitDescriptors(t, 500)
	open(t, 1)
	used, _ := descriptors(t)
	var r Room
	open(t, 450-used)
	if got := r.Short(time.Unix(1, 0), 0); got != 0 {
		t.Errorf("Short with 450 of 500 descriptors = %v; want nothing", got)
	}
	open(t, 1)
	if got := r.Short(time.Unix(2, 0), 0); got != NoDescriptors {
		t.Errorf("Short with 451 of 500 descriptors = %v; want file descriptors", got)
	}
}

// Between two readings what was taken counts, and what was given back.
func TestRoomCountsWhatIsTakenBetweenReadings(t *testing.T) {
	limitDescriptors(t, 500)
	open(t, 1)
	used, _ := descriptors(t)
	var r Room
	now := time.Unix(1, 0)
	var reading Reading
	for n := range 450 - used + 1 {
		if reading = r.Take(now, 0); reading.Short != 0 {
			t.Fatalf("Take %d with %d of 500 in use = %v", n, used, reading.Short)
		}
	}
	if got := r.Take(now, 0); got.Short != NoDescriptors {
		t.Errorf("Take beyond the mark = %v; want %v", got.Short, NoDescriptors)
	}
	r.Give(reading)
	if got := r.Take(now, 0); got.Short != 0 {
		t.Errorf("Take when one was given back = %v", got.Short)
	}
	later := now.Add(time.Second)
	r.Take(later, 0)
	r.Give(reading) // was counted by the reading since
	for range 450 - used - 1 {
		r.Take(later, 0)
	}
	if r.Take(later, 0); r.Short(later, 0) != NoDescriptors {
		t.Error("what was given back counted twice")
	}
}
