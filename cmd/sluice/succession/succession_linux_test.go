//go:build !portable

package succession

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/codec"
	"sluice/internal/takeover"
	"sluice/internal/wstest"
)

// roleVariable tells the child of a test what it does.
const roleVariable = "SUCCESSION_TEST"

// markerVariable names a file that is open in the parent.
const markerVariable = "SUCCESSION_MARKER"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := child(role); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is a process that is to take over.
func child(role string) error {
	if err := wstest.FollowParent(); err != nil {
		return err
	}
	if role == "hangs" {
		hang()
	}
	if role == "ends" {
		return errors.New("no reason")
	}
	inherited, err := Begin(context.Background(), func() error {
		if role == "has a mistake" {
			return errors.New("sluice.yaml:3:7: a mistake")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if role == "cannot listen" {
		inherited.Fail(errors.New("address :80 is in use"))
		return errors.New("it cannot listen")
	}
	var counted string
	inherited.State.Text(&counted, 100)
	h := new(heir)
	if role == "hangs half-way" {
		h.hangs = true
	}
	rest := make(chan string, 1)
	if _, err := inherited.Take(h, func() {}, func(c *codec.Coder) {
		var text string
		c.Text(&text, 100)
		rest <- text
	}); err != nil {
		return err
	}
	// What it has got goes back by the only socket that is a pair of the test's.
	back, err := net.FileConn(inherited.Listeners["report"])
	if err != nil {
		return err
	}
	files, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return err
	}
	marker := false
	for _, f := range files {
		target, _ := os.Readlink(f)
		marker = marker || target == os.Getenv(markerVariable)
	}
	_, err = fmt.Fprintf(back, "counted %s, rest %s, admin %d, sessions %q, arguments %q, variable %q, a file of the parent's %t",
		counted, <-rest, len(inherited.Admin), h.got, os.Args[1:], os.Getenv(variable), marker)
	return err
}

// hang waits until the process is killed.
func hang() {
	for {
		time.Sleep(time.Hour)
	}
}

// heir takes sessions that are texts.
type heir struct {
	hangs bool
	now   []string
	got   []string
}

func (h *heir) Have(c *codec.Coder, files []int) bool {
	if h.hangs {
		hang()
	}
	var text string
	c.Text(&text, 100)
	h.now = append(h.now, text)
	return c.End() == nil && len(files) == 1
}

func (h *heir) Settled(ours bool) {
	if ours {
		h.got = append(h.got, h.now...)
	}
	h.now = nil
}

// give is what the old process of a test does.
func give(t *testing.T, report *os.File) func(context.Context, *net.UnixConn, takeover.Deadlines) (Progress, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	sessions := []string{"a", "b"}
	return func(ctx context.Context, conn *net.UnixConn, d takeover.Deadlines) (progress Progress, err error) {
		err = takeover.Give(ctx, conn, takeover.Giver{
			Clock: 1, Descriptors: 2,
			State: func(c *codec.Coder) { c.Text(new("5"), 100) },
			Listeners: []takeover.Listener{
				{Kind: KindListener, Name: "report", File: int(report.Fd())}, {Kind: KindAdmin, Name: "unix", File: int(null.Fd())},
			},
			Opened: func() { progress = Accepts },
			Next: func(b *takeover.Batch) error {
				if len(sessions) > 0 {
					b.Add(func(c *codec.Coder) { c.Text(&sessions[0], 100) }, int(null.Fd()))
				}
				return nil
			},
			Settled:  func(given []bool) { sessions = sessions[1:] },
			Stopping: func() bool { return false },
			Done:     func() {},
			Rest:     func(c *codec.Coder) { c.Text(new("7"), 100) },
		}, d)
		return progress, err
	}
}

// A child gets what is handed over, and nothing else of the process that has started it.
func TestTakeOver(t *testing.T) {
	ours, theirs := wstest.Sockets(t, "unix")
	report, err := theirs.(*net.UnixConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer report.Close()
	theirs.Close()
	marker, err := os.Create(filepath.Join(t.TempDir(), "marker"))
	if err != nil {
		t.Fatal(err)
	}
	defer marker.Close()
	c, err := Start(os.Args[0], []string{"an argument"}, []string{roleVariable + "=takes over", markerVariable + "=" + marker.Name()})
	if err != nil {
		t.Fatal(err)
	}
	if lives, err := c.Give(t.Context(), give(t, report)); err != nil || !lives {
		t.Fatalf("Give() = %t, %v; want a child that lives", lives, err)
	}
	report.Close()
	got, err := io.ReadAll(wstest.Guarded(ours))
	const want = `counted 5, rest 7, admin 1, sessions ["a" "b"], arguments ["an argument"], variable "", a file of the parent's false`
	if string(got) != want || err != nil {
		t.Errorf("the child has got %q, %v; want %q", got, err, want)
	}
	if <-c.Ended(); c.how != nil {
		t.Errorf("the child has ended with %v", c.how)
	}
}

// A child that fails ends, and is ended if it does not, before this process goes on.
func TestChildrenThatFail(t *testing.T) {
	for role, want := range map[string]string{
		"hangs":          "does not answer in time",
		"ends":           "has closed the connection or ended",
		"has a mistake":  "the new process gave up: sluice.yaml:3:7: a mistake",
		"cannot listen":  "the new process gave up: address :80 is in use",
		"hangs half-way": "does not answer in time",
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			c, err := Start(os.Args[0], nil, []string{roleVariable + "=" + role})
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(role, "hangs") {
				c.deadlines = takeover.Deadlines{Prepare: wstest.Guard / 10, Step: wstest.Guard / 10} // one that is late is given up like one that hangs
			}
			_, report := wstest.Sockets(t, "unix")
			file, err := report.(*net.UnixConn).File()
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			lives, err := c.Give(t.Context(), give(t, file))
			if lives || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Give() = %t, %v; want no child, and %q", lives, err, want)
			}
			if c.command.ProcessState == nil {
				t.Error("the child has not ended")
			}
		})
	}
}

func TestWhatCannotBeStarted(t *testing.T) {
	program := filepath.Join(t.TempDir(), "sluice")
	if _, err := Start(program, nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start(a file that is not there) = %v; want %v", err, os.ErrNotExist)
	}
}

// Without a process before there is nothing to take over, whatever is called.
func TestBeginAlone(t *testing.T) {
	i, err := Begin(t.Context(), func() error { return errors.New("not called") })
	if err != nil || i.Continues() || i.Listeners != nil || i.Clock != nil {
		t.Fatalf("Begin() = %+v, %v", i, err)
	}
	i.Fail(errors.New("nobody hears this"))
	if _, err := i.Take(nil, nil, nil); err != nil {
		t.Errorf("Take() = %v", err)
	}
	for value, want := range map[string]string{"what": "it is set by 'sluice restart' alone", "987654": "which is no connection"} {
		t.Setenv(variable, value)
		if _, err := Begin(t.Context(), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Begin() with %s=%s: %v; want %q", variable, value, err, want)
		}
	}
	if slices.ContainsFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, variable+"=") }) {
		t.Error("children would get the variable too")
	}
}
