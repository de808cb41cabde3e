package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sluice/proxy"
)

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
			problems, warnings := proxy.Check(cfg)
			for _, w := range warnings {
				fmt.Fprintln(c.ErrOrStderr(), "warning:", w)
			}
			if len(problems) > 0 {
				return problems.Sorted()
			}
			fmt.Fprintf(c.OutOrStdout(), "%s is good: %s, %s\n", path, count(len(cfg.Routes), "route"), count(len(cfg.Listeners), "listener"))
			return nil
		},
	}
	return configFlag(c, &path)
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
