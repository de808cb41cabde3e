package remote

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/remote/show"
	"sluice/internal/admin"
)

func backendsCommand(places []string) *cobra.Command {
	return query(places, "backends", "List the backends of a running gateway and the health of their endpoints", "/backends", printBackends)
}

func printBackends(w io.Writer, all *[]admin.Backend) {
	var rows [][]string
	for _, b := range *all {
		for _, e := range b.Endpoints {
			since := ""
			if e.Since != nil {
				since = show.Age(time.Since(*e.Since))
			}
			rows = append(rows, []string{
				b.Backend, e.Endpoint, show.State(&e), since, fmt.Sprint(e.Sessions), fmt.Sprint(e.Requests),
				fmt.Sprint(e.Served), fmt.Sprint(e.Failed), fmt.Sprint(e.Ejections), e.Error,
			})
		}
		if len(b.Endpoints) == 0 {
			rows = append(rows, []string{b.Backend, "", "no address", "", "", "", "", "", "", ""})
		}
	}
	show.Table(w, []string{"BACKEND", "ENDPOINT", "STATE", "FOR", "SESSIONS", "REQUESTS", "SERVED", "FAILED", "EJECTED", "ERROR"}, rows)
}

func drainCommand(places []string, on bool) *cobra.Command {
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
	c.Args = needs("name the backend and its endpoint, as 'sluice backends' lists them", "name the endpoint of the backend, as 'sluice backends' lists it")
	c.RunE = func(c *cobra.Command, args []string) error {
		_, _, err := ask(c, &r, "POST", admin.Path("backends", args[0], "endpoints", args[1], verb), nil, printBackends)
		return err
	}
	return r.flags(c, places)
}

func routesCommand(places []string) *cobra.Command {
	return query(places, "routes", "List the routes of a running gateway and what their sessions have done", "/routes", printRoutes)
}

func printRoutes(w io.Writer, all *[]admin.Route) {
	var rows [][]string
	for _, t := range *all {
		rows = append(rows, append([]string{
			t.Route, strings.Join(t.Backends, ", "), show.Usage(admin.Usage{Used: t.Open, Limit: t.Limit}), fmt.Sprint(t.Sessions),
		}, sent(t.FromClient, t.FromBackend)...))
	}
	show.Table(w, append([]string{"ROUTE", "BACKENDS", "OPEN", "SESSIONS"}, sentHead()...), rows)
}

// sentHead returns the head of the columns of [sent].
func sentHead() []string {
	return []string{"CLIENT MSGS", "CLIENT BYTES", "BACKEND MSGS", "BACKEND BYTES"}
}

// sent returns cells with what clients and backends have sent.
func sent(client, backend admin.Traffic) []string {
	return []string{fmt.Sprint(client.Messages), show.Bytes(client.Bytes), fmt.Sprint(backend.Messages), show.Bytes(backend.Bytes)}
}

func certificatesCommand(places []string) *cobra.Command {
	return query(places, "certificates", "List the certificates of a running gateway, and when they end", "/certificates", printCertificates)
}

func printCertificates(w io.Writer, all *[]admin.Certificate) {
	var rows [][]string
	for _, t := range *all {
		ends, next := "", ""
		if t.Expiry != nil {
			ends = fmt.Sprintf("%s (in %s)", t.Expiry.Format(time.DateOnly), show.Age(time.Until(*t.Expiry)))
		}
		if t.Next != nil {
			next = t.Next.Format(time.RFC3339)
		}
		rows = append(rows, []string{strings.Join(t.Names, ", "), t.From, ends, t.Error, next})
	}
	show.Table(w, []string{"NAMES", "FROM", "ENDS", "ERROR", "NEXT TRY"}, rows)
}
