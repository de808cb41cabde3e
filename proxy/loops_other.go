//go:build !linux || portable

package proxy

import (
	"sluice/proxy/listen"
	"sluice/proxy/serve"
)

// loopsOf returns nil: there are no loops on this system.
func loopsOf(*serve.Server) listen.Loops { return nil }
