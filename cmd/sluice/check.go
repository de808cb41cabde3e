package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/files"
	"sluice/cmd/sluice/remote"
	"sluice/config"
	"sluice/proxy"
	"sluice/proxy/explain"
)

func checkCommand() *cobra.Command {
	var file files.Choice
	var against remote.Against
	return against.Add(file.Add(&cobra.Command{
		Use:     "check [FILE]",
		Aliases: []string{"validate"},
		Short:   "Check a configuration file and print every mistake in it",
		Long: "Check a configuration file and print every mistake in it.\n\n" +
			"With --against running it also asks the gateway that runs which of its sessions a\n" +
			"reload would end, and why. Nothing changes, and no secret is sent. No change of\n" +
			"the file needs a restart.\n\n" +
			"It exits with 1 if the file has a mistake, or if that gateway does not answer.",
		Args:    files.AtMostFile,
		PreRunE: func(*cobra.Command, []string) error { return against.Check() },
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
			o := explain.Outline(cfg)
			return against.Print(c, path, &o, files.Places())
		},
	}))
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// load reads a configuration. When the file has mistakes, the error also has
// those that only the gateway finds when it builds what the file describes, and
// the configuration has what is right.
func load(path string) (*config.Config, error) {
	cfg, err := config.Load(path)
	var problems config.Problems
	if errors.As(err, &problems) && cfg != nil {
		more, _ := proxy.Check(cfg)
		return cfg, append(problems, more...).Sorted()
	}
	return cfg, err
}
