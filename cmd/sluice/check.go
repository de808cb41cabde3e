package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"sluice/config"
	"sluice/proxy"
)

// load reads a configuration. Where the file has mistakes, those that only the
// build step finds are among them.
func load(path string) (*config.Config, error) {
	cfg, err := config.Load(path)
	var problems config.Problems
	if errors.As(err, &problems) && cfg != nil {
		return nil, append(problems, proxy.Check(cfg)...).Sorted()
	}
	return cfg, err
}

func checkCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration file and print every mistake in it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := load(path)
			if err != nil {
				return err
			}
			if problems := proxy.Check(cfg); len(problems) > 0 {
				return problems.Sorted()
			}
			fmt.Fprintf(c.OutOrStdout(), "%s is good: %d routes, %d listeners\n", path, len(cfg.Routes), len(cfg.Listeners))
			return nil
		},
	}
	return configFlag(c, &path)
}
