//go:build !linux || portable

package proxy

import (
	"sluice/proxy/http1"
	"sluice/proxy/listen"
	"sluice/proxy/relay"
)

// http1On returns nil: there are no loops on this system.
func http1On(*relay.Engine) func(http1.Options) listen.Server { return nil }
