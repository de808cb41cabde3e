package remote

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/admin"
)

func backendsCommand(defaultConfig string) *cobra.Command {
	var r remote
	return r.flags(&cobra.Command{
		Use:   "backends",
		Short: "List the backends of a running gateway and the health of their endpoints",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, _, err := ask(c, &r, "GET", "/backends", nil, printBackends)
			return err
		},
	}, defaultConfig)
}

func printBackends(w io.Writer, all *[]admin.Backend) {
	var rows [][]string
	for _, b := range *all {
		for _, e := range b.Endpoints {
			state := e.State
			if e.Standby {
				state = "standby"
			}
			since := ""
			if e.Since != nil {
				since = age(time.Since(*e.Since))
			}
			rows = append(rows, []string{
				b.Backend, e.Endpoint, state, since, fmt.Sprint(e.Sessions), fmt.Sprint(e.Requests),
				fmt.Sprint(e.Served), fmt.Sprint(e.Failed), fmt.Sprint(e.Ejections), e.Error,
			})
		}
		if len(b.Endpoints) == 0 {
			rows = append(rows, []string{b.Backend, "", "no address", "", "", "", "", "", "", ""})
		}
	}
	table(w, []string{"BACKEND", "ENDPOINT", "STATE", "FOR", "SESSIONS", "REQUESTS", "SERVED", "FAILED", "EJECTED", "ERROR"}, rows)
}

func drainCommand(defaultConfig string, on bool) *cobra.Command {
	var r remote
	c := &cobra.Command{
		Use:   "drain BACKEND ENDPOINT",
		Short: "Give an endpoint no new work, and end its sessions over the backend's drain_time",
		Long: "Give an endpoint no new work, and end its sessions over the backend's drain_time.\n" +
			"That lasts until 'sluice undrain' or until the gateway ends, through reloads.",
	}
	verb := "drain"
	if !on {
		c.Use, c.Short, c.Long, verb = "undrain BACKEND ENDPOINT", "Give a drained endpoint work again", "", "undrain"
	}
	c.Example = "  sluice " + verb + " app 10.0.0.7:9000"
	c.Args = cobra.ExactArgs(2)
	c.RunE = func(c *cobra.Command, args []string) error {
		_, _, err := ask(c, &r, "POST", admin.Path("backends", args[0], "endpoints", args[1], verb), nil, printBackends)
		return err
	}
	return r.flags(c, defaultConfig)
}

func routesCommand(defaultConfig string) *cobra.Command {
	var r remote
	return r.flags(&cobra.Command{
		Use:   "routes",
		Short: "List the routes of a running gateway and what their sessions have done",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, _, err := ask(c, &r, "GET", "/routes", nil, func(w io.Writer, all *[]admin.Route) {
				var rows [][]string
				for _, t := range *all {
					rows = append(rows, []string{
						t.Route, strings.Join(t.Backends, ", "), usage(admin.Usage{Used: t.Open, Limit: t.Limit}, false), fmt.Sprint(t.Sessions),
						fmt.Sprint(t.FromClient.Messages), bytes(t.FromClient.Bytes), fmt.Sprint(t.FromBackend.Messages), bytes(t.FromBackend.Bytes),
					})
				}
				table(w, []string{"ROUTE", "BACKENDS", "OPEN", "SESSIONS", "MSGS FROM CLIENTS", "BYTES", "MSGS FROM BACKENDS", "BYTES"}, rows)
			})
			return err
		},
	}, defaultConfig)
}

func certificatesCommand(defaultConfig string) *cobra.Command {
	var r remote
	return r.flags(&cobra.Command{
		Use:   "certificates",
		Short: "List the certificates of a running gateway, and when they end",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, _, err := ask(c, &r, "GET", "/certificates", nil, func(w io.Writer, all *[]admin.Certificate) {
				var rows [][]string
				for _, t := range *all {
					ends, next := "", ""
					if t.Expiry != nil {
						ends = fmt.Sprintf("%s (in %s)", t.Expiry.Format(time.DateOnly), age(time.Until(*t.Expiry)))
					}
					if t.Next != nil {
						next = t.Next.Format(time.RFC3339)
					}
					rows = append(rows, []string{strings.Join(t.Names, ", "), t.From, ends, t.Error, next})
				}
				table(w, []string{"NAMES", "FROM", "ENDS", "ERROR", "NEXT TRY"}, rows)
			})
			return err
		},
	}, defaultConfig)
}
