package takeover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sluice/internal/codec"
)

func TestBothSidesSayWhy(t *testing.T) {
	broken := errors.New("sluice.yaml:3:1: routes: it has none")
	tests := []struct {
		name     string
		damage   func(*Giver, *Taker)
		old, new string
	}{
		{"the new one cannot prepare", func(_ *Giver, n *Taker) {
			n.Prepare = func(context.Context, int64) (int, error) { return 0, broken }
		}, "the new process gave up: " + broken.Error(), broken.Error()},
		{"the new one cannot listen", func(_ *Giver, n *Taker) {
			n.Listen = func(_ *codec.Coder, list []Listener) error {
				unix.Close(list[0].File)
				return broken
			}
		}, "the new process gave up: " + broken.Error(), broken.Error()},
		{"the old one cannot stop sessions", func(o *Giver, _ *Taker) {
			o.Next = func(*Batch) error { return broken }
		}, broken.Error(), "the old process gave up: " + broken.Error()},
		{"the state has no room", func(o *Giver, _ *Taker) {
			o.State = func(c *codec.Coder) { c.Bytes(new(make([]byte, maxBody)), maxBody) }
		}, fmt.Sprintf("writing Listeners, of %d bytes at most", maxBody), "the old process gave up: writing Listeners"},
		{"too many listeners", func(o *Giver, _ *Taker) {
			o.Listeners = make([]Listener, 254)
		}, "there are 254 listening sockets", "the old process gave up: there are 254 listening sockets"},
		{"nothing", func(*Giver, *Taker) {}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := pipe(t)
			before := openFiles()
			g, n := recordingGiver(new(strings.Builder), 1), recordingTaker(new(strings.Builder))
			g.Listeners = []Listener{{Name: "web", File: 0}}
			tt.damage(&g, &n)
			given := make(chan error, 1)
			go func() { given <- Give(t.Context(), a, g, long) }()
			took := Take(t.Context(), b, n, long)
			for side, got := range map[string]error{tt.old: <-given, tt.new: took} {
				if side == "" && got != nil || side != "" && (got == nil || !strings.Contains(got.Error(), side)) {
					t.Errorf("a side ended with %v; want %q", got, side)
				}
			}
			if got := openFiles(); got != before-2 {
				t.Errorf("%d descriptors are open; want %d, two less than before", got, before-2)
			}
		})
	}
}

func TestTheEndOfTheOldProcessEndsPreparing(t *testing.T) {
	a, b := pipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	n := recordingTaker(new(strings.Builder))
	n.Prepare = func(ctx context.Context, _ int64) (int, error) {
		cancel()
		<-ctx.Done()
		return 0, nil
	}
	given := make(chan error, 1)
	go func() { given <- Give(ctx, a, recordingGiver(new(strings.Builder), 0), long) }()
	if err := Take(t.Context(), b, n, long); err == nil || !strings.Contains(err.Error(), "the old process") {
		t.Errorf("Take() = %v when the old process has ended; want that it did", err)
	}
	if err := <-given; !errors.Is(err, context.Canceled) {
		t.Errorf("Give() = %v; want %v", err, context.Canceled)
	}
}

// The new process dies after it has answered: the commit is not sent, and the sessions stay.
func TestACommitThatCannotBeSentGivesNothing(t *testing.T) {
	a, b := pipe(t)
	var settled strings.Builder
	given := make(chan error, 1)
	go func() { given <- Give(t.Context(), a, recordingGiver(&settled, 1), long) }()
	l, err := newLink(t.Context(), b, "the old process", long)
	if err != nil {
		t.Fatal(err)
	}
	write(t, b, slices.Concat(goodReady.bytes(), sent{kind: open}.bytes()), 0)
	for _, k := range []kind{hello, listeners, batch} {
		m, err := l.receive(time.Minute, k)
		if err != nil {
			t.Fatalf("receive(%v) = %v", k, err)
		}
		closeFiles(m.files)
	}
	if err := b.CloseRead(); err != nil {
		t.Fatal(err)
	}
	write(t, b, sent{kind: have, body: "\x01\x01"}.bytes(), 0)
	l.close(nil)
	if err := <-given; err == nil || !strings.Contains(err.Error(), "the new process has closed the connection or ended") {
		t.Errorf("Give() = %v; want that the new process has ended", err)
	}
	if settled.String() != "[false]" {
		t.Errorf("Settled was called with %s; want [false]", settled.String())
	}
}

// The new process has given up when the commit arrives: either it is not sent at all, or
// the sessions are the new process's.
func TestTheCommitIsDecidedOnce(t *testing.T) {
	for _, tt := range []struct {
		name string
		sent bool
	}{{"sent before", true}, {"sent after", false}} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := pipe(t)
			l, err := newLink(t.Context(), b, "the old process", long)
			if err != nil {
				t.Fatal(err)
			}
			defer l.close(nil)
			commit := sent{kind: yours}.bytes()
			if tt.sent {
				write(t, a, commit, 0)
			}
			b.SetDeadline(time.Unix(1, 0))
			if got := l.committed(); got != tt.sent {
				t.Errorf("committed() = %t; want %t", got, tt.sent)
			}
			if n, err := a.Write(commit); n != 0 || !errors.Is(err, unix.EPIPE) {
				t.Errorf("a commit afterwards: %d bytes, %v; want none, %v", n, err, unix.EPIPE)
			}
		})
	}
}

func TestSecretsAreWipedAndStayOutOfCoreDumps(t *testing.T) {
	a, b := pipe(t)
	from, err := newLink(t.Context(), a, "the new process", long)
	if err != nil {
		t.Fatal(err)
	}
	defer from.close(nil)
	to, err := newLink(t.Context(), b, "the old process", long)
	if err != nil {
		t.Fatal(err)
	}
	defer to.close(nil)
	secret := bytes.Repeat([]byte("secret"), 1000)
	if err := from.send(ready, nil, func(c *codec.Coder) { c.Bytes(&secret, len(secret)) }); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(from.memory, []byte("secret")) {
		t.Error("after a message was sent its memory still holds the secret")
	}
	m, err := to.receive(time.Minute, ready)
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	if m.body.Bytes(&got, len(secret)); !bytes.Equal(got, secret) {
		t.Fatalf("%q was received; want the secret", got)
	}
	if !bytes.Contains(to.memory, secret) {
		t.Error("the received message is not in the memory of the link")
	}
	to.wipe()
	if bytes.Contains(to.memory, []byte("secret")) {
		t.Error("after a message was read its memory still holds the secret")
	}
	flags := memoryFlags(t, from.memory)
	for _, want := range []string{"dd", "dc"} { // MADV_DONTDUMP, MADV_DONTFORK
		if !strings.Contains(flags, " "+want) {
			t.Errorf("the memory has the flags%s; want %s among them", flags, want)
		}
	}
}

// memoryFlags returns the VmFlags of b's mapping (proc_pid_smaps(5)).
func memoryFlags(t *testing.T, b []byte) string {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	address, inside := uint64(uintptr(unsafe.Pointer(&b[0]))), false
	for line := range strings.Lines(string(smaps)) {
		first, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if low, high, ok := strings.Cut(first, "-"); ok {
			from, _ := strconv.ParseUint(low, 16, 64)
			to, _ := strconv.ParseUint(high, 16, 64)
			inside = from <= address && address < to
		}
		if inside && first == "VmFlags:" {
			return " " + rest
		}
	}
	t.Fatal("the mapping is not in smaps")
	return ""
}

func TestBatchAdd(t *testing.T) {
	memory := make([]byte, headSize+100)
	b := Batch{out: memory[:headSize]}
	add := func(size, files int) bool {
		return b.Add(func(c *codec.Coder) { c.Bytes(new(bytes.Repeat([]byte("s"), size)), 100) }, make([]int, files)...)
	}
	tests := []struct {
		name        string
		size, files int
		want        bool
	}{
		{"no descriptor", 1, 0, false},
		{"more descriptors than a message carries", 1, MaxFiles + 1, false},
		{"more bytes than there are", 100, 1, false},
		{"a session", 50, 2, true},
		{"more bytes than are left", 50, 1, false},
		{"more descriptors than are left", 1, MaxFiles - 1, false},
		{"what is left", 29, MaxFiles - 2, true},
		{"one more", 0, 1, false},
	}
	want := 0
	for _, tt := range tests {
		if got := add(tt.size, tt.files); got != tt.want {
			t.Errorf("%s: Add() = %t; want %t", tt.name, got, tt.want)
		}
		if tt.want {
			want++
		}
		if n := len(b.out); b.Len() != want || len(bytes.Trim(memory[n:], "\x00")) > 0 {
			t.Errorf("%s: %d sessions, and behind them %q; want %d, and zeros", tt.name, b.Len(), memory[n:], want)
		}
	}
}
