//go:build !portable

package proxy

import (
	"context"
	"testing"
)

// One loop that is kept is enough for no proof that the gateway works.
func TestAwaitLoops(t *testing.T) {
	o := newOperated(t, 8)
	if !o.AwaitLoops(t.Context()) {
		t.Error("AwaitLoops = false, want true: all loops run")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	kept := 0
	for i, l := range o.gateway.server.Engine().Loops() {
		reached, resume := make(chan struct{}), make(chan struct{})
		if !l.Post(func() { close(reached); <-resume }) {
			continue // it has no connection
		}
		<-reached
		kept++
		if o.AwaitLoops(ended) {
			t.Errorf("AwaitLoops = true while loop %d is kept, want false", i)
		}
		close(resume)
	}
	if kept == 0 {
		t.Error("no loop has a connection")
	}
	if !o.AwaitLoops(t.Context()) {
		t.Error("AwaitLoops = false, want true: all loops run again")
	}
}
