// Package remote is the commands that ask a gateway that runs: they find its admin interface, and
// print what it answers, for people or as JSON.
package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/remote/show"
	"sluice/internal/admin"
)

// Commands returns the commands. Places are the configurations of the gateway that is meant where
// nothing else is said, the first one that runs.
func Commands(places []string) []*cobra.Command {
	all := []*cobra.Command{
		statusCommand(places), topCommand(places), sessionsCommand(places), killCommand(places), routesCommand(places),
		backendsCommand(places), drainCommand(places, true), drainCommand(places, false),
		certificatesCommand(places), reloadCommand(places), restartCommand(places), logLevelCommand(places), eventsCommand(places),
		dashboardCommand(places), tapCommand(places),
	}
	for _, c := range all {
		c.GroupID = Group
	}
	return all
}

// Group is the ID of the group of these commands.
const Group = "remote"

// remote is what the commands have in common.
type remote struct {
	where  admin.Where
	asJSON bool
}

// flags adds the flags that say which gateway is meant and how to print.
func (r *remote) flags(c *cobra.Command, places []string) *cobra.Command {
	r.whereFlags(c, places)
	c.Flags().BoolVar(&r.asJSON, "json", false, "print the answer as JSON")
	return c
}

// whereFlags adds the flags that say which gateway is meant.
func (r *remote) whereFlags(c *cobra.Command, places []string) *cobra.Command {
	r.where.Defaults = places
	c.Flags().StringVarP(&r.where.Config, "config", "c", "", "configuration `file` of the gateway that is meant (default "+strings.Join(places, ", else ")+", else the only gateway that runs)")
	c.MarkFlagFilename("config", "yaml", "yml")
	r.addressFlags(c)
	return c
}

// addressFlags adds the flags that say where a gateway is, whatever its configuration.
func (r *remote) addressFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&r.where.Admin, "admin", "", "`address` of its admin interface: unix:/path, host:port or a URL")
	f.StringVar(&r.where.TokenFile, "token-file", "", "`file` with the token for host:port (default the environment variable SLUICE_ADMIN_TOKEN)")
	f.StringVar(&r.where.CACert, "cacert", "", "PEM `file` of the authorities to trust for https (default those of the system)")
	f.StringVar(&r.where.Cert, "cert", "", "PEM `file` of a client certificate, in place of a token")
	f.StringVar(&r.where.Key, "key", "", "PEM `file` of its key")
	c.MarkFlagFilename("token-file")
}

// contextOf returns the context of a command, which has none unless it is called with one.
func contextOf(c *cobra.Command) context.Context {
	if ctx := c.Context(); ctx != nil {
		return ctx
	}
	return context.Background()
}

// ask asks the gateway, prints the answer as JSON or calls print with it, and returns the status.
func ask[T any](c *cobra.Command, r *remote, method, path string, parameters url.Values, print func(io.Writer, *T)) (status int, answer *T, err error) {
	client, err := admin.Find(r.where, os.Getenv)
	if err != nil {
		return 0, nil, err
	}
	answer = new(T)
	if status, err = client.Do(contextOf(c), method, path, parameters, answer); err != nil {
		return status, nil, err
	}
	if r.asJSON {
		text, err := json.MarshalIndent(answer, "", "  ")
		if err != nil {
			return status, nil, err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), show.JSON(string(text)))
		return status, answer, err
	}
	print(c.OutOrStdout(), answer)
	return status, answer, nil
}

// query returns a command without arguments that asks for a resource and prints it.
func query[T any](places []string, use, short, path string, print func(io.Writer, *T)) *cobra.Command {
	var r remote
	return r.flags(&cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, _, err := ask(c, &r, "GET", path, nil, print)
			return err
		},
	}, places)
}

// needs returns a check that a command has one argument for each name, no less and no more. A name says
// what is missing.
func needs(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fmt.Errorf("%s: %s", names[len(args)], howTo(c))
		}
		return atMost(len(names))(c, args)
	}
}

// atMost returns a check that a command has no more arguments than n.
func atMost(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > n {
			return fmt.Errorf("%q is one argument too many: %s", args[n], howTo(c))
		}
		return nil
	}
}

// howTo writes how a command is called.
func howTo(c *cobra.Command) string { return c.Parent().CommandPath() + " " + c.Use }
