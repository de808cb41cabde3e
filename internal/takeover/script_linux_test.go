package takeover

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/codec"
)

// sent is a message as a test sends it.
type sent struct {
	kind  kind
	files int // descriptors that come with it
	says  int // how many more than those its head says
	body  string
}

func (m sent) bytes() []byte {
	b := []byte{byte(m.kind), byte(m.files + m.says)}
	return append(binary.BigEndian.AppendUint32(b, uint32(len(m.body))), m.body...)
}

// written returns what carry writes.
func written(carry func(*codec.Coder)) string {
	c := codec.Writer(make([]byte, 0, 1000))
	carry(c)
	return string(c.Written())
}

var (
	goodHello     = sent{kind: hello, body: written(func(c *codec.Coder) { carryGreeting(c, new(int64(1))) })}
	otherHello    = sent{kind: hello, body: "\x02" + goodHello.body[1:]}
	goodListeners = sent{kind: listeners, files: 1, body: written(func(c *codec.Coder) {
		carryListeners(c, func(*codec.Coder) {}, &[]Listener{{Name: "web"}})
	})}
	goodSession = written(func(c *codec.Coder) {
		codec.Number(c, new(uint64(2)))
		c.Block(func(c *codec.Coder) { c.Text(new("state"), maxText) })
	})
	goodBatch  = sent{kind: batch, files: 2, body: goodSession}
	goodReady  = sent{kind: ready, body: written(func(c *codec.Coder) { carryGreeting(c, new(int64(10))) })}
	otherReady = sent{kind: ready, body: "\x02" + goodReady.body[1:]}
)

// pipe returns two connected ends.
func pipe(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	var ends [2]*net.UnixConn
	for i, f := range socketpair(t) {
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		t.Cleanup(func() { c.Close() })
		ends[i] = c.(*net.UnixConn)
	}
	return ends[0], ends[1]
}

// write sends b, with n descriptors at its first byte.
func write(t testing.TB, c *net.UnixConn, b []byte, n int) {
	t.Helper()
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	files := make([]int, n)
	for i := range files {
		files[i] = int(null.Fd())
	}
	if _, _, err := c.WriteMsgUnix(b, unix.UnixRights(files...), nil); err != nil {
		t.Fatal(err)
	}
}

// script sends messages to the end that it returns, then the end of the stream.
func script(t testing.TB, messages []sent) *net.UnixConn {
	t.Helper()
	a, b := pipe(t)
	for _, m := range messages {
		write(t, a, m.bytes(), m.files)
	}
	if err := a.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	return b
}

// scriptOfGiver is script for what an old process sends: the second message, unless that is Failed, and those behind it when the
// answer to the first one has come. Done is closed when all are sent, or nobody reads them.
func scriptOfGiver(t testing.TB, messages []sent) (conn *net.UnixConn, done <-chan struct{}) {
	t.Helper()
	a, b := pipe(t)
	rest := messages[min(1, len(messages)):]
	if len(rest) > 0 && rest[0].kind == failed {
		rest = nil
	}
	for _, m := range messages[:len(messages)-len(rest)] {
		write(t, a, m.bytes(), m.files)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer a.CloseWrite()
		if len(rest) == 0 {
			return
		}
		if _, err := io.ReadFull(a, make([]byte, headSize)); err != nil {
			return
		}
		for _, m := range rest {
			if _, _, err := a.WriteMsgUnix(m.bytes(), unix.UnixRights(make([]int, m.files)...), nil); err != nil { // of descriptor 0
				return
			}
		}
	}()
	return b, over
}

var long = Deadlines{Prepare: time.Minute, Step: time.Minute}

// recordingTaker takes everything and writes down what it is told.
func recordingTaker(log *strings.Builder) Taker {
	var open []int
	return Taker{
		Opened:  func() {},
		Prepare: func(context.Context, int64) (int, error) { return 1000, nil },
		Listen: func(state *codec.Coder, list []Listener) error {
			if state == nil {
				fmt.Fprint(log, "listeners alone, ")
			}
			for _, l := range list {
				unix.Close(l.File)
			}
			return nil
		},
		Have: func(state *codec.Coder, files []int) bool {
			open = append(open, files...)
			return true
		},
		Settled: func(ours bool) {
			fmt.Fprint(log, ours)
			if ours {
				closeFiles(open)
			}
			open = nil
		},
		Done: func(bool) { fmt.Fprint(log, "done") },
		Rest: func(*codec.Coder) {},
	}
}

// recordingGiver gives a session of two descriptors as often as times says.
func recordingGiver(log *strings.Builder, times int) Giver {
	return Giver{
		State: func(c *codec.Coder) {
			if c == nil {
				fmt.Fprint(log, "listeners alone, ")
			}
		},
		Opened: func() {},
		Next: func(b *Batch) error {
			if times--; times >= 0 {
				b.Add(func(c *codec.Coder) { c.Text(new("state"), maxText) }, 0, 0)
			}
			return nil
		},
		Settled:  func(given []bool) { fmt.Fprint(log, given) },
		Stopping: func() bool { return false },
		Done:     func() { fmt.Fprint(log, "done") },
		Rest:     func(*codec.Coder) {},
	}
}
