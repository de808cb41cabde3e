package wire

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// released is a Releaser: its channel is closed when the connection releases it, and a
// second time panics.
type released chan struct{}

func (r released) Release() { close(r) }

// A Close keeps what the peer still sends from destroying the last answer.
func TestCloseLingersWhileThePeerSends(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			near, far := pair(t, network)
			c, over := New(near), make(released)
			c.OnClose(over)
			c.Linger(true)
			sent := make(chan error, 1)
			go func() { // more than the buffers of the system hold
				_, err := far.Write(make([]byte, 16<<20))
				sent <- err
			}()
			if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte("answer")); err != nil {
				t.Fatal(err)
			}
			c.EndReads()
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("Read after EndReads = %d, %v; want an error", n, err)
			}
			c.Close()
			c.Close()
			if err := <-sent; err != nil {
				t.Errorf("the peer could not send its rest: %v", err)
			}
			if got, err := io.ReadAll(far); string(got) != "answer" || err != nil {
				t.Errorf("the peer read %q, %v; want the answer and its end", got, err)
			}
			select {
			case <-over:
				t.Error("the socket was closed before the peer closed")
			default:
			}
			far.Close()
			<-over
		})
	}
}

func TestEndReadsEndsAReadThatWaits(t *testing.T) {
	near, _ := pair(t, "tcp")
	c := New(near)
	read := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 1))
		read <- err
	}()
	c.EndReads()
	if err := <-read; err == nil {
		t.Error("Read returned without an error")
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after the deadline was reset = %v; want %v", err, net.ErrClosed)
	}
}

// A connection that lingers takes no answer any more. net/http would give its own 400 to a part of
// a head.
func TestNothingIsWrittenAfterClose(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			near, far := pair(t, network)
			c, over := New(near), make(released)
			c.OnClose(over)
			c.Linger(true)
			c.EndReads()
			c.Close()
			if _, err := c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); err == nil {
				t.Error("a Write after Close succeeded")
			}
			if got, err := io.ReadAll(far); len(got) > 0 || err != nil {
				t.Errorf("the peer read %q, %v; want the end alone", got, err)
			}
			far.Close()
			<-over
		})
	}
}

// A Read that has begun ends with EndReads, however soon Close waits for the peer's end.
func TestCloseLetsAReadThatWaitsEnd(t *testing.T) {
	for range 50 {
		near, far := pair(t, "tcp")
		c, read := New(near), make(chan error, 1)
		c.Linger(true)
		go func() {
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		for c.closing.reading.TryLock() { // until it has begun; it may find that Reads have ended
			c.closing.reading.Unlock()
			runtime.Gosched()
		}
		c.EndReads()
		c.Close()
		far.Write([]byte("late"))
		far.Close()
		if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
			t.Fatalf("Read = %v; want %v or %v: it waited on after EndReads", err, os.ErrDeadlineExceeded, net.ErrClosed)
		}
	}
}

func TestCloseIsAtOnceWhenThereIsNothingToWaitFor(t *testing.T) {
	tests := []struct {
		name string
		do   func(c *Conn, far net.Conn)
	}{
		{"a silent peer", func(c *Conn, _ net.Conn) { c.Linger(true); c.Close() }},
		{"a peer that has closed", func(c *Conn, far net.Conn) {
			c.Linger(true)
			far.Close()
			io.Copy(io.Discard, c)
			c.Close()
		}},
		{"a connection that does not linger", func(c *Conn, far net.Conn) {
			far.Write([]byte("more"))
			io.ReadFull(c, make([]byte, 1))
			c.Close()
		}},
		{"a cut", func(c *Conn, far net.Conn) {
			c.Linger(true)
			far.Write([]byte("more"))
			io.ReadFull(c, make([]byte, 1))
			c.Cut()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			near, far := pair(t, "tcp")
			c, over := New(near), make(released)
			c.OnClose(over)
			tt.do(c, far)
			select {
			case <-over:
			default:
				t.Error("the socket is open after Close")
			}
		})
	}
}

func TestCloseLingersUnderTLS(t *testing.T) {
	serverConfig, clientConfig := certificate(t)
	near, far := pair(t, "tcp")
	c := NewTLS(near)
	c.Linger(true)
	server, client := tls.Server(c, serverConfig), tls.Client(far, clientConfig)
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(make([]byte, 4<<20))
		sent <- err
	}()
	if _, err := io.ReadFull(server, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	c.EndReads()
	server.Close()
	if err := <-sent; err != nil {
		t.Errorf("the peer could not send its rest: %v", err)
	}
	if got, err := io.ReadAll(client); string(got) != "answer" || err != nil {
		t.Errorf("the peer read %q, %v; want the answer and its end", got, err)
	}
}

func TestOnCloseIsReleasedOnce(t *testing.T) {
	near, _ := pair(t, "tcp")
	c, over := New(near), make(released)
	c.OnClose(make(released)) // replaced
	c.OnClose(over)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() { c.Close() })
		all.Go(func() { c.Cut() })
	}
	all.Wait()
	<-over
	if r := c.TakeOnClose(); r != nil {
		t.Errorf("TakeOnClose after Close = %v; want nil", r)
	}
}

func TestTakenOnCloseIsTheCallers(t *testing.T) {
	near, _ := pair(t, "tcp")
	c, over := New(near), make(released)
	c.OnClose(over)
	if r := c.TakeOnClose(); r != over {
		t.Errorf("TakeOnClose = %v; want %v", r, over)
	}
	if r := c.TakeOnClose(); r != nil {
		t.Errorf("TakeOnClose again = %v; want nil", r)
	}
	c.Close()
	select {
	case <-over:
		t.Error("the connection released what was taken")
	default:
	}
	if r := New(near).TakeOnClose(); r != nil {
		t.Errorf("TakeOnClose without OnClose = %v; want nil", r)
	}
}

// counted counts its releases.
type counted struct{ n atomic.Int32 }

func (c *counted) Release() { c.n.Add(1) }

// The socket's end and a caller that takes it over may come at the same time.
func TestOnCloseHasOneOwner(t *testing.T) {
	for range 100 {
		near, _ := net.Pipe()
		c, r := New(near), new(counted)
		c.OnClose(r)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { c.Close() })
			all.Go(func() {
				if taken := c.TakeOnClose(); taken != nil {
					taken.Release()
				}
			})
		}
		all.Wait()
		if n := r.n.Load(); n != 1 {
			t.Fatalf("released %d times; want once", n)
		}
	}
}
