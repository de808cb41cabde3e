// Command sluice is a WebSocket-first reverse proxy and TLS-terminating
// gateway.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/remote"
	"sluice/cmd/sluice/remote/show"
	"sluice/config"
)

// version is set by the linker.
var version = "devel"

// defaultConfig is the configuration file without the flag --config.
const defaultConfig = "/etc/sluice/sluice.yaml"

func main() {
	if err := root().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, show.Lines(err.Error()))
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
	c.AddCommand(runCommand(), checkCommand(), explainCommand(), demoCommand(), healthCommand(), trustCommand(), schemaCommand(), versionCommand())
	c.AddGroup(&cobra.Group{ID: remote.Group, Title: "Commands for a gateway that runs:"})
	c.AddCommand(remote.Commands(defaultConfig)...)
	return c
}

// configFlag adds the flag that most commands share.
func configFlag(c *cobra.Command, path *string) *cobra.Command {
	c.Flags().StringVarP(path, "config", "c", defaultConfig, "configuration `file`")
	c.MarkFlagFilename("config", "yaml", "yml")
	return c
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration file, for editors",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(config.Schema())
			return err
		},
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run:   func(c *cobra.Command, _ []string) { fmt.Fprintln(c.OutOrStdout(), "sluice", version) },
	}
}
