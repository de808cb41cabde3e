// Package files is about the file that holds a configuration: which one a command means, and the
// commands that write it. What is in it belongs to package config.
package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// name is that of a configuration in the working directory.
const name = "sluice.yaml"

// Places returns where a configuration is looked for if the command line names none, the first one
// that is there counts.
func Places() []string { return []string{name, "/etc/sluice/" + name} }

// Choice is the configuration that a command line means: its argument FILE, or the flag --config. The
// zero value is ready for [Choice.Add].
type Choice struct {
	flag *string
	set  func() bool // the flag is given
}

// Add adds the flag and the completion of FILE to a command, which it returns.
func (f *Choice) Add(c *cobra.Command) *cobra.Command {
	f.flag = c.Flags().StringP("config", "c", "", "configuration `file`, the same as FILE (default "+strings.Join(Places(), ", else ")+")")
	f.set = func() bool { return c.Flags().Changed("config") }
	c.MarkFlagFilename("config", "yaml", "yml")
	c.ValidArgsFunction = yamlFiles
	return c
}

// yamlFiles completes names of YAML files.
func yamlFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// AtMostFile is a check that a command has no argument but FILE.
func AtMostFile(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("%q is one argument too many: %s takes one file", args[1], c.CommandPath())
	}
	return nil
}

// Choose returns the file that is meant, args being the arguments that name one.
func (f *Choice) Choose(args ...string) (string, error) {
	switch {
	case len(args) > 0 && f.set() && filepath.Clean(args[0]) != filepath.Clean(*f.flag):
		return "", fmt.Errorf("two configurations are named, %s and --config %s: leave one of them off", args[0], *f.flag)
	case len(args) == 0 && f.set():
		args = []string{*f.flag}
	case len(args) == 0:
		return find(Places())
	}
	if args[0] == "" {
		return "", errors.New("the name of the configuration is empty: leave it off, or name a file")
	}
	return args[0], nil
}

// find returns the first place where there is something, readable or not.
func find(places []string) (string, error) {
	for _, place := range places {
		if _, err := os.Lstat(place); !errors.Is(err, fs.ErrNotExist) {
			return place, nil
		}
	}
	where := "the working directory"
	if dir, err := os.Getwd(); err == nil {
		where = dir
	}
	return "", fmt.Errorf("there is no configuration: neither %s in %s nor %s: name a file, or write one with 'sluice init'", places[0], where, strings.Join(places[1:], " nor "))
}
