//go:build manual

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"sluice/config"
)

// extraCommands returns the command that writes man pages and completions. It is no part of the
// gateway: what it needs would be in every binary.
func extraCommands() []*cobra.Command {
	return []*cobra.Command{{
		Use:    "manual DIRECTORY",
		Short:  "Write the man pages, the completions of shells and the schema of the configuration",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE:   func(c *cobra.Command, args []string) error { return writeManual(c.Root(), args[0]) },
	}}
}

// writeManual writes man1/*.1, completions/* and sluice.schema.json. The date in the pages is
// SOURCE_DATE_EPOCH, if that is set.
func writeManual(root *cobra.Command, dir string) error {
	var bash, zsh, fish bytes.Buffer
	if err := errors.Join(root.GenBashCompletionV2(&bash, true), root.GenZshCompletion(&zsh), root.GenFishCompletion(&fish, true)); err != nil {
		return err
	}
	pages, completions := filepath.Join(dir, "man1"), filepath.Join(dir, "completions")
	if err := errors.Join(os.MkdirAll(pages, 0o755), os.MkdirAll(completions, 0o755)); err != nil {
		return err
	}
	for file, content := range map[string][]byte{
		filepath.Join(completions, "sluice.bash"): bash.Bytes(),
		filepath.Join(completions, "_sluice"):     zsh.Bytes(),
		filepath.Join(completions, "sluice.fish"): fish.Bytes(),
		filepath.Join(dir, "sluice.schema.json"):  config.Schema(),
	} {
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
	}
	hideHome(root)
	root.DisableAutoGenTag = true
	root.Long = overview(root)
	return doc.GenManTreeFromOpts(root, doc.GenManTreeOptions{
		Header:           &doc.GenManHeader{Source: "sluice", Manual: "sluice"},
		Path:             pages,
		CommandSeparator: "-",
	})
}

// hideHome writes ~ for the home of who makes the pages in the defaults of flags.
func hideHome(c *cobra.Command) {
	home, err := os.UserHomeDir()
	if err != nil {
		return
	}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if rest, ok := strings.CutPrefix(f.DefValue, home+string(filepath.Separator)); ok {
			f.DefValue = "~/" + filepath.ToSlash(rest)
		}
	})
	for _, sub := range c.Commands() {
		hideHome(sub)
	}
}

// overview returns the text of the first page, in Markdown: what the commands are and where things are.
func overview(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("sluice accepts HTTP and WebSocket connections, routes them by host and path from a YAML file, " +
		"checks the WebSocket handshake, and moves frames between client and backend.\n\n# COMMANDS\n")
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			fmt.Fprintf(&b, "**%s-%s(1)**\n: %s\n\n", root.Name(), c.Name(), c.Short)
		}
	}
	b.WriteString("# FILES\n" +
		"**/etc/sluice/sluice.yaml**\n: the configuration\n\n" +
		"**/var/lib/sluice**\n: what has to outlive the process: certificates, the local CA, keys of session tickets\n\n" +
		"**/run/sluice**\n: the socket of the commands that ask a running gateway\n")
	return b.String()
}
