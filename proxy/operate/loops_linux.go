//go:build !portable

package operate

import (
	"context"
	"time"

	"sluice/internal/admin"
)

// Loops describes the event loops.
func (o *Operator) Loops() (all []admin.Loop) {
	for i, l := range o.server.Engine().Loops() {
		all = append(all, admin.Loop{
			Number: i, Connections: l.Load(), Turns: l.Turns.Count(), BusySeconds: l.Turns.Busy().Seconds(),
			P99Millis: millis(l.Turns.Quantile(0.99)), P999Millis: millis(l.Turns.Quantile(0.999)), LongestMillis: millis(l.Turns.Longest()),
		})
	}
	return all
}

// AwaitLoops waits until every event loop has answered, see [loop.Loop.Await]. It is false when ctx ends before.
func (o *Operator) AwaitLoops(ctx context.Context) bool {
	for _, l := range o.server.Engine().Loops() {
		if !l.Await(ctx) {
			return false
		}
	}
	return true
}

// badRecords returns how many TLS records on the event loops were not authentic.
func (o *Operator) badRecords() (n uint64) {
	for _, l := range o.server.Engine().Loops() {
		n += l.BadRecords.Load()
	}
	return n
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
