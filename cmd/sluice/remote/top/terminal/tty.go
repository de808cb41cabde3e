package terminal

import (
	"sync"
	"time"

	"github.com/gdamore/tcell/v2"
)

// tty is a terminal whose input can be stopped before the screen is. A screen that stops waits for its
// reader, which waits for ever with input that is not taken any more.
type tty struct {
	tcell.Tty

	mu       sync.Mutex
	stopping bool
	silent   chan struct{} // closed when Read gives nothing any more
	drained  chan struct{} // closed when the screen has said that it stops
}

func newTty(device tcell.Tty) *tty { return &tty{Tty: device} }

// Start is the one of [tcell.Tty].
func (t *tty) Start() error {
	t.mu.Lock()
	t.stopping, t.silent, t.drained = false, make(chan struct{}), make(chan struct{})
	t.mu.Unlock()
	return t.Tty.Start()
}

// Drain is the one of [tcell.Tty].
func (t *tty) Drain() error {
	t.mu.Lock()
	closeOnce(t.drained)
	t.mu.Unlock()
	return t.Tty.Drain()
}

// Read is the one of [tcell.Tty]. Once the input is to stop it gives nothing, and waits for Drain.
func (t *tty) Read(b []byte) (n int, err error) {
	if !t.isStopping() {
		n, err = t.Tty.Read(b)
	}
	t.mu.Lock()
	stopping, drained := t.stopping, t.drained
	if stopping || err != nil {
		closeOnce(t.silent)
	}
	t.mu.Unlock()
	if stopping {
		<-drained
		return 0, nil
	}
	return n, err
}

func (t *tty) isStopping() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stopping
}

// quiet stops the input, and waits until nothing more of it can come.
func (t *tty) quiet() {
	t.mu.Lock()
	t.stopping = true
	silent := t.silent
	t.mu.Unlock()
	if silent == nil {
		return // it was never started
	}
	t.Tty.Drain() // wakes the reader
	select {
	case <-silent:
	case <-time.After(patience):
	}
}

// closeOnce closes a channel, which may be nil or closed.
func closeOnce(c chan struct{}) {
	if c == nil {
		return
	}
	select {
	case <-c:
	default:
		close(c)
	}
}
