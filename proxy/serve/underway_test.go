package serve

import (
	"context"
	"testing"
	"testing/synctest"
)

// Who waits goes on when nothing is under way, also if something begins at the same moment, or when the context ends.
func TestUnderway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var u underway
		u.wait(t.Context()) // nothing is
		waiting := func(ctx context.Context) (over func() bool) {
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				u.wait(ctx)
			}()
			return func() bool {
				synctest.Wait()
				select {
				case <-ended:
					return true
				default:
					return false
				}
			}
		}
		u.begin()
		u.begin()
		ctx, cancel := context.WithCancel(t.Context())
		first, second, third := waiting(t.Context()), waiting(t.Context()), waiting(ctx)
		if first() || second() || third() {
			t.Fatal("two are under way, and wait has returned")
		}
		if u.end(); first() || second() || third() {
			t.Fatal("one is under way, and wait has returned")
		}
		if cancel(); first() || !third() {
			t.Fatalf("after the context of one ended: %t, %t; want false, true", first(), third())
		}
		u.end()
		u.begin() // it may rise again at once
		if !first() || !second() {
			t.Fatal("nothing was under way, and wait has not returned")
		}
		if late := waiting(t.Context()); late() {
			t.Fatal("one has begun, and wait has returned")
		} else if u.end(); !late() {
			t.Fatal("it has ended, and wait has not returned")
		}
	})
}
