package remote

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/remote/show"
	"sluice/internal/admin"
	"sluice/internal/outline"
)

// Against is the flag --against of a command that checks a configuration: what it would do to a
// gateway that runs. The zero value is ready for [Against.Add].
type Against struct {
	remote
	what string
}

// Add adds the flag, and those that say which gateway is meant, to a command, which it returns.
func (a *Against) Add(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&a.what, "against", "", "'running' also says which sessions of the gateway that runs a reload would end")
	c.RegisterFlagCompletionFunc("against", cobra.FixedCompletions([]string{"running"}, cobra.ShellCompDirectiveNoFileComp))
	a.addressFlags(c)
	return c
}

// Check returns what is wrong with the flag.
func (a *Against) Check() error {
	if a.what != "" && a.what != "running" {
		return fmt.Errorf("--against %s: only 'running' can be compared with, the gateway that runs", a.what)
	}
	return nil
}

// Print asks the gateway what the configuration of an outline, which is in a file, would do, and prints it;
// nothing without the flag. Where no gateway runs that file, places are those that are meant, else the only one
// that runs.
func (a *Against) Print(c *cobra.Command, file string, o *outline.Outline, places []string) error {
	if a.what == "" {
		return nil
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	a.where.Defaults = slices.Concat([]string{path}, places)
	client, err := admin.Find(a.where, os.Getenv)
	if err != nil {
		return fmt.Errorf("--against running: %w", err)
	}
	var r outline.Report
	if _, err := client.Send(contextOf(c), "POST", "/outlook", nil, o, &r); err != nil {
		return fmt.Errorf("--against running: %w", err)
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "a reload of the gateway at %s: %s\n", client.Where(), show.Line(r.Text))
	return err
}
