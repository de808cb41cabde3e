//go:build !portable

package relay

func portableOf(e *Engine) *Portable { return e.portable }
