//go:build !linux || portable

package relay

// Engine runs sessions.
type Engine = Portable

// New returns the engine for this system, which tells sink of every session's
// end.
func New(sink Sink) *Engine { return NewPortable(sink) }
