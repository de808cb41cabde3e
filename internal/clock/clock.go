// Package clock gives the moments that loops, sessions and frame rules calculate with:
// nanoseconds since the clock began, as plain numbers. They never go back. 0 is before
// every moment, so that it can stand for "none".
package clock

import "time"

// A Clock is where moments count from. It is a value; copies show the same time.
type Clock struct{ epoch time.Time }

// New returns a clock whose present moment is 1 or later.
func New() Clock { return Clock{time.Now().Add(-1)} }

// Now returns the present moment.
func (c Clock) Now() int64 { return int64(time.Since(c.epoch)) }

// Time returns the time of a moment.
func (c Clock) Time(moment int64) time.Time { return c.epoch.Add(time.Duration(moment)) }

// Moment returns the moment of a time: 1 for every time before the clock began.
func (c Clock) Moment(t time.Time) int64 { return max(int64(t.Sub(c.epoch)), 1) }
