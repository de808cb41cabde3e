package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// left is a Holder that tells when the connection is over.
type left struct {
	once sync.Once
	over chan struct{}
}

func newLeft() *left { return &left{over: make(chan struct{})} }

func (l *left) Leave() { l.once.Do(func() { close(l.over) }) }

// What a peer still sends when its answer is there does not destroy it.
func TestCloseLingersWhileThePeerSends(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			near, far := pair(t, network)
			c, over := New(near), newLeft()
			c.Hold(over)
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
				t.Errorf("Read behind EndReads = %d, %v; want an error", n, err)
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
			case <-over.over:
				t.Error("the connection was over before its peer")
			default:
			}
			far.Close()
			<-over.over
		})
	}
}

// A Read under way ends with the reading.
func TestEndReadsEndsTheReadUnderWay(t *testing.T) {
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
		t.Errorf("Read when the deadline was taken away = %v; want %v", err, net.ErrClosed)
	}
}

func TestCloseIsAtOnceWhenThereIsNothingToWaitFor(t *testing.T) {
	tests := []struct {
		name string
		do   func(c *Conn, far net.Conn)
	}{
		{"a peer that is silent", func(c *Conn, _ net.Conn) { c.Linger(true); c.Close() }},
		{"a peer that is gone", func(c *Conn, far net.Conn) {
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
			c, over := New(near), newLeft()
			c.Hold(over)
			tt.do(c, far)
			select {
			case <-over.over:
			default:
				t.Error("the connection is still there behind its Close")
			}
		})
	}
}

// Over TLS the answer is whole as well.
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

// A server that answers early and closes is heard, whatever of the request it
// did not take.
func TestAnEarlyAnswerIsHeard(t *testing.T) {
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
			t.Error("the connection goes on")
		}
	}
}

// The first Write of a request fails as ever: the request can go elsewhere.
func TestAFirstWriteThatFailsIsTold(t *testing.T) {
	near, far := pair(t, "tcp")
	c := New(near)
	c.ExpectEarlyAnswer()
	if _, err := c.Write([]byte("first request")); err != nil {
		t.Fatal(err)
	}
	io.ReadFull(far, make([]byte, 5))
	far.Close()
	io.Copy(io.Discard, c) // until the reset is there
	c.ExpectEarlyAnswer()
	if _, err := c.Write([]byte("second request")); err == nil {
		t.Error("the first Write to a connection that was reset succeeded")
	}
}

// A peer whose bytes ask for nothing is ended.
func TestAllowBoundsWhatIsRead(t *testing.T) {
	near, far := pair(t, "tcp")
	c := New(near)
	if _, err := c.readSome(far, 1000); err != nil {
		t.Fatalf("without a bound: %v", err)
	}
	c.Allow(5000)
	if n, err := c.readSome(far, 5000); n != 5000 || err != nil {
		t.Fatalf("what was allowed: %d, %v", n, err)
	}
	c.Allow(1000)
	if n, err := c.readSome(far, 1000); n != 1000 || err != nil {
		t.Fatalf("what was allowed on top: %d, %v", n, err)
	}
	if _, err := c.readSome(far, 1<<20); !errors.Is(err, errFlood) {
		t.Fatalf("beyond it: %v; want %v", err, errFlood)
	}
	if !c.Flooded() {
		t.Error("the connection does not tell of it")
	}
}

func TestAllowAllEndsTheBound(t *testing.T) {
	near, far := pair(t, "tcp")
	c := New(near)
	c.Allow(1)
	c.AllowAll()
	if _, err := c.readSome(far, 1<<20); err != nil || c.Flooded() {
		t.Errorf("when all is allowed: %v", err)
	}
}

// Between what has streams and what has none, what may be sent ahead changes.
func TestAllowIsRaisedAndLowered(t *testing.T) {
	near, far := pair(t, "tcp")
	c := New(near)
	c.Allow(1000)
	c.AllowAtLeast(500_000)
	if n, err := c.readSome(far, 500_000); err != nil {
		t.Fatalf("what was raised: %d, %v", n, err)
	}
	c.AllowAtLeast(500_000)
	c.AllowAtMost(1000)
	if _, err := c.readSome(far, 500_000); !errors.Is(err, errFlood) {
		t.Fatalf("what was lowered: %v; want %v", err, errFlood)
	}
}

// readSome has far send n bytes and reads them.
func (c *Conn) readSome(far net.Conn, n int) (int, error) {
	go far.Write(make([]byte, n))
	return io.ReadFull(c, make([]byte, n))
}

// What a peer has taken is what its system has acknowledged.
func TestProgressIsThePeers(t *testing.T) {
	near, far := pair(t, "tcp")
	c := New(near)
	far.Write(make([]byte, 500))
	if _, err := io.ReadFull(c, make([]byte, 500)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, 700)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(far, make([]byte, 700)); err != nil {
		t.Fatal(err)
	}
	for taken, came := c.Progress(); taken < 700; taken, came = c.Progress() { // an acknowledgement may be late
		if came != 500 || taken > 702 {
			t.Fatalf("Progress = %d, %d; want 700, 500", taken, came)
		}
	}
}
