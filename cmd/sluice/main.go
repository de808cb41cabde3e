// Command sluice is a WebSocket-first reverse proxy and TLS-terminating
// gateway.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/files"
	"sluice/cmd/sluice/remote"
	"sluice/cmd/sluice/remote/show"
)

// version is set by the linker.
var version = "devel"

func main() {
	if err := root().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, show.Lines(err.Error()))
		if errors.Is(err, errIncomplete) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "sluice",
		Short:         "A WebSocket-first reverse proxy and TLS-terminating gateway",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.SetVersionTemplate("sluice {{.Version}}\n")
	c.AddCommand(runCommand(), checkCommand(), explainCommand(), files.InitCommand(), files.FmtCommand(), demoCommand(), importCommand(), healthCommand(), trustCommand(), files.SchemaCommand(), versionCommand())
	c.AddGroup(&cobra.Group{ID: remote.Group, Title: "Commands for a gateway that runs:"})
	c.AddCommand(remote.Commands(files.Places())...)
	c.AddCommand(extraCommands()...)
	return c
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run:   func(c *cobra.Command, _ []string) { fmt.Fprintln(c.OutOrStdout(), "sluice", version) },
	}
}
