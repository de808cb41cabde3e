package translate

import (
	"sluice/config"
	"sluice/internal/outline"
)

// Outline returns what of a configuration decides which sessions live on under it.
func Outline(cfg *config.Config) outline.Outline {
	o := outline.Outline{Routes: make(map[string][]string, len(cfg.Routes)), Backends: make(map[string]map[string]bool, len(cfg.Backends))}
	for i := range cfg.Routes {
		c := &cfg.Routes[i]
		backends := []string{}
		if c.Backend != "" {
			backends = append(backends, c.Backend)
		}
		for _, part := range c.Split {
			backends = append(backends, part.Backend)
		}
		o.Routes[Identity(c)] = backends
	}
	for i := range cfg.Backends {
		c := &cfg.Backends[i]
		endpoints := make(map[string]bool, len(c.Endpoints))
		for _, e := range c.Endpoints {
			endpoints[e.Text] = e.Drain
		}
		o.Backends[c.Name] = endpoints
	}
	return o
}
