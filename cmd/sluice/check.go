package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/files"
	"sluice/config"
	"sluice/proxy"
)

func checkCommand() *cobra.Command {
	var file files.Choice
	return file.Add(&cobra.Command{
		Use:     "check [FILE]",
		Aliases: []string{"validate"},
		Short:   "Check a configuration file and print every mistake in it",
		Args:    files.AtMostFile,
		RunE: func(c *cobra.Command, args []string) error {
			path, err := file.Choose(args...)
			if err != nil {
				return err
			}
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
	})
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

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
