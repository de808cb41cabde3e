//go:build !portable

package proxy

import (
	"sluice/proxy/http1"
	"sluice/proxy/listen"
	"sluice/proxy/relay"
)

// http1On returns what serves plain connections on the loops of an engine.
func http1On(e *relay.Engine) func(http1.Options) listen.Server {
	engine := http1.New(e.Loops())
	return func(o http1.Options) listen.Server { return engine.NewServer(o) }
}
