package terminal

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gdamore/tcell/v2"
)

// endless is a terminal that always has input, or fails.
type endless struct {
	tcell.Tty
	err    error
	drains atomic.Int32
}

func (*endless) Start() error { return nil }

func (e *endless) Drain() error {
	e.drains.Add(1)
	return nil
}

func (e *endless) Read(b []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return len(b), e.err
}

// A reader gets nothing once the input is stopped, and waits until the screen stops too. Then it can
// begin again.
func TestTheInputStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		device := new(endless)
		tty := newTty(device)
		for round := range 2 {
			if err := tty.Start(); err != nil {
				t.Fatal(err)
			}
			var read atomic.Int64
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for {
					n, err := tty.Read(make([]byte, 128))
					if err != nil {
						t.Error(err)
					}
					if n == 0 {
						return
					}
					read.Add(int64(n))
				}
			}()
			time.Sleep(10 * time.Millisecond)
			tty.quiet()
			before := read.Load()
			time.Sleep(time.Second)
			if before == 0 || read.Load() != before {
				t.Errorf("round %d: %d bytes before the input stops, %d after", round, before, read.Load())
			}
			select {
			case <-ended:
				t.Errorf("round %d: the reader ends before the screen stops", round)
			default:
			}
			tty.Drain()
			<-ended
		}
	})
}

// Input that has failed is stopped, and input that never comes is waited for with a bound.
func TestInputThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("gone")
		tty := newTty(&endless{err: gone})
		tty.quiet() // was never started
		tty.Start()
		if _, err := tty.Read(make([]byte, 1)); !errors.Is(err, gone) {
			t.Errorf("Read gives %v, want %v", err, gone)
		}
		began := time.Now()
		if tty.quiet(); time.Since(began) != 0 {
			t.Errorf("input that has failed is waited for, %v", time.Since(began))
		}
		tty.Start()
		if tty.quiet(); time.Since(began) != patience {
			t.Errorf("a reader that does not return is waited for %v, want %v", time.Since(began), patience)
		}
	})
}
