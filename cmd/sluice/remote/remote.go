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

	"github.com/spf13/cobra"

	"sluice/internal/admin"
)

// Commands returns the commands. DefaultConfig is the configuration of the gateway that is meant
// where nothing else is said.
func Commands(defaultConfig string) []*cobra.Command {
	all := []*cobra.Command{
		statusCommand(defaultConfig), sessionsCommand(defaultConfig), killCommand(defaultConfig), routesCommand(defaultConfig),
		backendsCommand(defaultConfig), drainCommand(defaultConfig, true), drainCommand(defaultConfig, false),
		certificatesCommand(defaultConfig), reloadCommand(defaultConfig), logLevelCommand(defaultConfig), eventsCommand(defaultConfig),
		dashboardCommand(defaultConfig), tapCommand(defaultConfig),
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
func (r *remote) flags(c *cobra.Command, defaultConfig string) *cobra.Command {
	r.where.Default = defaultConfig
	f := c.Flags()
	f.StringVarP(&r.where.Config, "config", "c", "", "configuration `file` of the gateway that is meant (default "+defaultConfig+", or the only gateway that runs)")
	f.StringVar(&r.where.Admin, "admin", "", "`address` of its admin interface: unix:/path, host:port or a URL")
	f.StringVar(&r.where.TokenFile, "token-file", "", "`file` with the token for host:port (default the environment variable SLUICE_ADMIN_TOKEN)")
	f.StringVar(&r.where.CACert, "cacert", "", "PEM `file` of the authorities to trust for https (default those of the system)")
	f.StringVar(&r.where.Cert, "cert", "", "PEM `file` of a client certificate, in place of a token")
	f.StringVar(&r.where.Key, "key", "", "PEM `file` of its key")
	f.BoolVar(&r.asJSON, "json", false, "print the answer as JSON")
	c.MarkFlagFilename("config", "yaml", "yml")
	c.MarkFlagFilename("token-file")
	return c
}

// ask asks the gateway, prints the answer as JSON or calls print with it, and returns the status.
func ask[T any](c *cobra.Command, r *remote, method, path string, parameters url.Values, print func(io.Writer, *T)) (status int, answer *T, err error) {
	client, err := admin.Find(r.where, os.Getenv)
	if err != nil {
		return 0, nil, err
	}
	ctx := c.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	answer = new(T)
	if status, err = client.Do(ctx, method, path, parameters, answer); err != nil {
		return status, nil, err
	}
	if r.asJSON {
		text, err := json.MarshalIndent(answer, "", "  ")
		if err != nil {
			return status, nil, err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), plainJSON(string(text)))
		return status, answer, err
	}
	print(c.OutOrStdout(), answer)
	return status, answer, nil
}
