//go:build !linux || portable

package relay

func portableOf(e *Engine) *Portable { return e }
