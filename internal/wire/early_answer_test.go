package wire

import (
	"bytes"
	"io"
	"testing"
)

// The answer of a server that answers early and closes can be read, however much of the
// request it has not taken.
func TestEarlyAnswerIsRead(t *testing.T) {
	for range 50 {
		near, far := pair(t, "tcp")
		c := New(near)
		c.ExpectEarlyAnswer()
		go func() {
			io.ReadFull(far, make([]byte, 1000))
			far.Write([]byte("too much"))
			far.Close() // with unread bytes: a reset
		}()
		for range 100 {
			if n, err := c.Write(make([]byte, 64<<10)); n != 64<<10 || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
		}
		got := make([]byte, 8)
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, []byte("too much")) {
			t.Fatalf("read %q, %v; want the answer", got, err)
		}
		if _, err := c.Read(got); err == nil {
			t.Error("Read after the answer = nil; want an error")
		}
	}
}

// The first Write of a request fails as without ExpectEarlyAnswer: the request can go
// elsewhere.
func TestErrorOfAFirstWriteIsReturned(t *testing.T) {
	near, far := pair(t, "tcp")
	c := New(near)
	c.ExpectEarlyAnswer()
	if _, err := c.Write([]byte("first request")); err != nil {
		t.Fatal(err)
	}
	io.ReadFull(far, make([]byte, 5))
	far.Close()
	io.Copy(io.Discard, c) // until the reset has come
	c.ExpectEarlyAnswer()
	if _, err := c.Write([]byte("second request")); err == nil {
		t.Error("the first Write to a connection that was reset succeeded")
	}
}
