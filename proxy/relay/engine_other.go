//go:build !linux || portable

package relay

import (
	"sluice/internal/clock"
	"sluice/proxy/relay/portable"
)

// Engine runs sessions with two goroutines each.
type Engine = portable.Engine

// New returns the engine of this system, whose moments are those of a clock. It tells sink of every
// session's end, and is idle until Run.
func New(sink Sink, c clock.Clock) *Engine { return portable.New(sink, c) }
