package main

import (
	"crypto/fips140"
	"errors"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/files"
	"sluice/cmd/sluice/process"
	"sluice/config"
)

func runCommand() *cobra.Command {
	var file files.Choice
	var watch bool
	c := file.Add(&cobra.Command{
		Use:     "run [FILE]",
		Short:   "Run the gateway until SIGTERM; SIGHUP reloads the configuration, SIGUSR1 logs what goes on",
		Args:    files.AtMostFile,
		PreRunE: checkFIPS,
		RunE: func(c *cobra.Command, args []string) error {
			path, err := file.Choose(args...) // once: a reload reads the same file
			if err != nil {
				return err
			}
			return process.Run(c.Context(), process.Options{
				Version: version, Watch: watch, Load: func() (*config.Config, error) { return load(path) }, Arguments: runArguments(path, watch),
			})
		},
	})
	c.Flags().BoolVar(&watch, "watch", false, "reload the configuration when it changes, whatever 'watch' in it says")
	return c
}

// runArguments returns those with which another process runs what this one does, whatever is in the working directory then.
func runArguments(path string, watch bool) []string {
	all := []string{"run", "--config", path}
	if watch {
		all = append(all, "--watch")
	}
	return all
}

// checkFIPS returns an error in a mode of Go's cryptography in which no WebSocket
// session could begin.
func checkFIPS(*cobra.Command, []string) error {
	if fips140.Enforced() {
		return errors.New("GODEBUG=fips140=only: a WebSocket handshake needs SHA-1 (RFC 6455, section 4.2.2), which this mode forbids; fips140=on uses the same module and allows it")
	}
	return nil
}
