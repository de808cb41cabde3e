package main

import (
	"errors"

	"sluice/config"
	"sluice/proxy"
)

// load reads a configuration. When the file has mistakes, the error also has
// those that only the gateway finds when it builds what the file describes.
func load(path string) (*config.Config, error) {
	cfg, err := config.Load(path)
	var problems config.Problems
	if errors.As(err, &problems) && cfg != nil {
		more, _ := proxy.Check(cfg)
		return nil, append(problems, more...).Sorted()
	}
	return cfg, err
}
