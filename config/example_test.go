package config_test

import (
	"fmt"

	"sluice/config"
)

// A configuration that is made in Go gets the defaults and the checks of one in YAML.
func ExampleComplete() {
	c := &config.Config{
		StateDir: "/var/lib/sluice",
		Routes: []config.Route{
			{Paths: []string{"/ws/*"}, Backend: "127.0.0.1:9000"},
			{Paths: []string{"/old"}, Redirect: &config.Redirect{To: "/new"}},
		},
	}
	// Time limits that are 0 take their defaults; this one is to be none.
	err := config.Complete(c, config.Options{}, "routes[0].timeouts.idle")
	fmt.Println(err, c.Listeners[0].Address, c.Routes[0].Timeouts, c.Routes[1].Redirect.Status)

	bad := &config.Config{Routes: []config.Route{{Backend: "nowhere", Methods: []string{"get"}}}}
	fmt.Println(config.Complete(bad, config.Options{}))
	// Output:
	// <nil> :80 {1m0s 0s} 308
	// routes[0].backend: unknown backend "nowhere": it is not a key of 'backends', and an address has a port, as in host:8080
	// routes[0].methods[0]: "get" is not a method anyone sends: methods are case-sensitive, write GET
}
