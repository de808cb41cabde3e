//go:build !linux || portable

package relay

// Engine runs sessions.
type Engine = Portable

// New returns the engine for this system. It reports every session's end to
// ended, which must not block.
func New(ended func(Report)) *Engine { return NewPortable(ended) }
