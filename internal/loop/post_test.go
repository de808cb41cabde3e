//go:build linux

package loop

import (
	"context"
	"testing"

	"sluice/internal/clock"
)

// Await proves that a loop has come out of what keeps it.
func TestAwait(t *testing.T) {
	l := New(clock.New(), NewPipes(0))
	h := newTestHandler(l)
	answers := func(when string, ctx context.Context, want bool) {
		t.Helper()
		if got := l.Await(ctx); got != want {
			t.Errorf("Await of a loop %s = %v, want %v", when, got, want)
		}
	}
	answers("that was never opened", t.Context(), true)
	stop := run(t, l)
	h.add(t, 1)
	answers("that runs", t.Context(), true)
	reached, resume := make(chan struct{}), make(chan struct{})
	l.Post(func() { close(reached); <-resume })
	<-reached
	ended, end := context.WithCancel(t.Context())
	end()
	answers("that is kept", ended, false)
	close(resume)
	answers("that runs again", t.Context(), true)
	stop()
	answers("that is over", ended, true)
}
