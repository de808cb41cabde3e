//go:build !linux || portable

package relay

import (
	"sluice/internal/clock"
	"sluice/proxy/relay/portable"
)

// Engine runs sessions with two goroutines each.
type Engine = portable.Engine

// New returns the engine of this system. It tells sink of every session's end, and is idle
// until Run.
func New(sink Sink) *Engine { return portable.New(sink, clock.New()) }
