package telemetry

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// The first event of a reason is told at once, others once in a minute and none
// twice.
func TestTally(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		start := time.Now()
		c := NewTally(func(reason string, since, total uint64) {
			told = append(told, fmt.Sprintf("%v %s %d/%d", time.Since(start), reason, since, total))
		})
		many := func(reason string, n int) {
			for range n {
				c.Count(reason)
			}
		}
		many("a", 3)
		many("b", 1)
		<-time.After(30 * time.Second)
		many("a", 2)
		<-time.After(5 * time.Minute)
		many("a", 1)
		many("b", 2)
		<-time.After(5 * time.Minute)
		want := []string{"0s a 1/1", "0s b 1/1", "1m0s a 4/5", "5m30s a 1/6", "5m30s b 1/2", "6m30s b 1/3"}
		synctest.Wait()
		if !slices.Equal(told, want) {
			t.Errorf("told %q; want %q", told, want)
		}
	})
}
