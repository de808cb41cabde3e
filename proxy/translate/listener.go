// Package translate turns a configuration into the plain options of the parts. Besides
// package proxy it is the only one that knows the types of the configuration.
package translate

import (
	"io/fs"

	"sluice/config"
	"sluice/internal/limit"
	"sluice/proxy/listen"
)

// A Mistake is something in a configuration that the parts do not accept.
type Mistake struct {
	Path string // in the configuration, below the element that was translated; may be ""
	Err  error
}

// Listeners returns the options of all listeners.
func Listeners(cfg *config.Config) []listen.Options {
	all := make([]listen.Options, len(cfg.Listeners))
	for i := range cfg.Listeners {
		all[i] = listener(&cfg.Listeners[i], cfg)
	}
	return all
}

func listener(c *config.Listener, cfg *config.Config) listen.Options {
	return listen.Options{
		Address: c.Address, Mode: fs.FileMode(c.Mode),
		Settings: listen.Settings{
			TLS: c.TLS, RedirectHTTPS: c.RedirectHTTPS, TakeRecords: TakesRecords(cfg), ProxyProtocol: c.ProxyProtocol,
			Connections: c.MaxConnections, ConnectionsPerIP: c.ConnectionsPerIP,
			ConnectionRate: limit.Rate{PerSecond: float64(c.ConnectionRate), Burst: c.ConnectionBurst},
			RequestRate:    limit.Rate{PerSecond: float64(c.RequestRate), Burst: c.RequestBurst},
			ServerSettings: listen.ServerSettings{
				OnLoops: cfg.HTTP.Engine == "loops", HTTP2: c.HTTP2, HeaderTimeout: c.Timeouts.Header, IdleTimeout: c.Timeouts.Idle,
				MaxHeader: int(c.MaxHeaderBytes), MaxStreams: c.MaxStreams,
			},
		},
	}
}

// TakesRecords reports whether the relay takes TLS records over from crypto/tls.
func TakesRecords(cfg *config.Config) bool { return cfg.TLS == nil || cfg.TLS.Records == "sluice" }
