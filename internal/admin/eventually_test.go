package admin

import (
	"testing"
	"time"

	"sluice/internal/wstest"
)

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	guard := time.After(wstest.Guard)
	for !is() {
		select {
		case <-tick.C:
		case <-guard:
			t.Fatalf("after %v it is not so that %s", wstest.Guard, what)
		}
	}
}
