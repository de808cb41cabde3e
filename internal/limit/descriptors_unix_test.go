//go:build unix

package limit

import (
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// limitDescriptors sets how many descriptors the process may have until the test
// ends. It skips the test where that is not allowed.
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
	used, most, ok := descriptorUse()
	if !ok {
		t.Fatal("descriptorUse is not ok")
	}
	return used, most
}

func TestDescriptorsAreCounted(t *testing.T) {
	limitDescriptors(t, 1000)
	open(t, 1) // with the first file the runtime opens descriptors of its own
	before, most := descriptors(t)
	if before < 3 || most != 1000 {
		t.Errorf("descriptorUse = %d of %d; want at least 3 of 1000", before, most)
	}
	files := open(t, 100)
	if used, _ := descriptors(t); used != before+100 {
		t.Errorf("descriptorUse = %d with 100 more than %d open", used, before)
	}
	for _, f := range files[:50] { // now low numbers are free and high ones are not
		f.Close()
	}
	if used, _ := descriptors(t); used != before+50 {
		t.Errorf("descriptorUse = %d with 50 more than %d open, after 50 were closed", used, before)
	}
}

func TestManyDescriptorsAreEstimated(t *testing.T) {
	limitDescriptors(t, 4000)
	open(t, 1)
	before, _ := descriptors(t)
	open(t, 2000)
	// Every part is full or empty, except the one in which the open numbers end.
	if used, most := descriptors(t); most != 4000 || used < before+1950 || used > before+2050 {
		t.Errorf("descriptorUse = %d of %d with 2000 more than %d open", used, most, before)
	}
}

func TestHeadroomExhaustsDescriptors(t *testing.T) {
	limitDescriptors(t, 500)
	open(t, 1)
	used, _ := descriptors(t)
	var h Headroom
	open(t, 450-used)
	if got := h.reading(time.Unix(1, 0), 0).Exhausted; got != 0 {
		t.Errorf("Exhausted with 450 of 500 descriptors = %v; want nothing", got)
	}
	open(t, 1)
	if got := h.reading(time.Unix(2, 0), 0).Exhausted; got != NoDescriptors {
		t.Errorf("Exhausted with 451 of 500 descriptors = %v; want file descriptors", got)
	}
}

// Between two readings, Acquire and Release count.
func TestHeadroomCountsBetweenReadings(t *testing.T) {
	limitDescriptors(t, 500)
	open(t, 1)
	used, _ := descriptors(t)
	var h Headroom
	now := time.Unix(1, 0)
	var reading Reading
	for n := range 450 - used + 1 {
		if reading = h.Acquire(now, 0); reading.Exhausted != 0 {
			t.Fatalf("Acquire %d with %d of 500 in use = %v; want nothing", n, used, reading.Exhausted)
		}
	}
	if got := h.Acquire(now, 0); got.Exhausted != NoDescriptors {
		t.Errorf("Acquire above the mark = %v; want %v", got.Exhausted, NoDescriptors)
	}
	h.Release(reading)
	if got := h.Acquire(now, 0); got.Exhausted != 0 {
		t.Errorf("Acquire after a Release = %v; want nothing", got.Exhausted)
	}
	later := now.Add(time.Second)
	h.Acquire(later, 0)
	h.Release(reading) // the later reading has counted it already
	for range 450 - used - 1 {
		h.Acquire(later, 0)
	}
	if h.Acquire(later, 0); h.reading(later, 0).Exhausted != NoDescriptors {
		t.Error("a released descriptor counted twice")
	}
}

func TestMarginBeforeTheDescriptorsForOperators(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, tt := range []struct{ limit, forOperators int }{{1000, 20}, {200, 20}, {150, 15}} {
		t.Run(strconv.Itoa(tt.limit), func(t *testing.T) {
			limitDescriptors(t, uint64(tt.limit))
			first := tt.limit - tt.forOperators
			next := NextMargin()
			if got := first - int(open(t, 1)[0].Fd()); got != next {
				t.Errorf("the margin of what is opened is %d, NextMargin was %d", got, next)
			}
			if m := Margin(client); m <= 0 || m > first {
				t.Errorf("Margin of a connection = %d", m)
			}
			for NextMargin() > 0 {
				open(t, 1)
			}
			open(t, tt.forOperators)
			if f, err := os.Open(os.DevNull); err == nil {
				t.Errorf("there is more than %d, as %d", tt.forOperators, f.Fd())
			}
			if m := NextMargin(); m > 0 {
				t.Errorf("NextMargin without a descriptor left = %d", m)
			}
		})
	}
}
