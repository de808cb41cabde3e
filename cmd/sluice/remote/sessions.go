package remote

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/cmd/sluice/remote/show"
	"sluice/internal/admin"
)

// parameterFlags adds a flag for each parameter of a query, and returns what collects those that were
// given.
func parameterFlags(f *pflag.FlagSet, parameters []admin.Parameter) func() url.Values {
	name := func(p admin.Parameter) string { return strings.ReplaceAll(p.Name, "_", "-") }
	for _, p := range parameters {
		if p.Kind == "boolean" {
			f.Bool(name(p), false, p.Doc)
		} else {
			f.String(name(p), "", p.Doc)
		}
	}
	return func() url.Values {
		values := make(url.Values)
		for _, p := range parameters {
			if flag := f.Lookup(name(p)); flag.Changed {
				values.Set(p.Name, flag.Value.String())
			}
		}
		return values
	}
}

func sessionsCommand(places []string) *cobra.Command {
	var r remote
	c := &cobra.Command{
		Use:   "sessions",
		Short: "List the open WebSocket sessions of a running gateway",
		Args:  cobra.NoArgs,
	}
	given := parameterFlags(c.Flags(), append(admin.FilterParameters(),
		admin.Parameter{Name: "sort", Doc: "Order: opened, last, messages, bytes, rate, client, route or endpoint, with a - in front for the largest first."},
		admin.Parameter{Name: "limit", Doc: "Most sessions to list, 1000 unless given; 0 for all."}))
	c.RunE = func(c *cobra.Command, _ []string) error {
		_, _, err := ask(c, &r, "GET", "/sessions", given(), printSessions)
		return err
	}
	return r.flags(c, places)
}

func printSessions(w io.Writer, all *[]admin.Session) {
	head := append(append([]string{"SESSION", "CLIENT", "ROUTE", "ENDPOINT", "AGE", "IDLE"}, sentHead()...), "ENDING")
	now := time.Now()
	rows := make([][]string, len(*all))
	for i := range *all {
		s := &(*all)[i]
		row := []string{s.Session, s.Client, s.Route, s.Endpoint, show.Age(now.Sub(s.Opened)), show.Age(now.Sub(s.Last))}
		rows[i] = append(append(row, sent(s.FromClient, s.FromBackend)...), s.Ending)
	}
	show.Table(w, head, rows)
}

func killCommand(places []string) *cobra.Command {
	var r remote
	var all, dry bool
	var spread string
	c := &cobra.Command{
		Use:   "kill [SESSION]",
		Short: "End sessions of a running gateway with a proper Close frame",
		Long: "End sessions of a running gateway with a proper Close frame.\n\n" +
			"Either one session by its name, as 'sluice sessions' lists it, or those that match\n" +
			"the filter of the flags, or all of them with --all.",
		Example: "  sluice kill 5f0c8a9be1d24703 --code 4001 --reason 'please log in again'\n" +
			"  sluice kill --client 192.0.2.0/24 --spread 10s\n" +
			"  sluice kill --all --dry-run",
		Args: atMost(1),
	}
	f := c.Flags()
	filter := parameterFlags(f, admin.FilterParameters())
	how := parameterFlags(f, admin.EndParameters())
	f.BoolVar(&all, "all", false, "all sessions are meant")
	f.BoolVar(&dry, "dry-run", false, "only count the sessions that are meant")
	f.StringVar(&spread, "spread", "", "end the sessions evenly over this `time`, as in 10s")
	c.RunE = func(c *cobra.Command, args []string) error {
		values, path := filter(), "/sessions"
		if len(args)+len(values) == 0 && !all {
			return errors.New("which sessions? name one, give a filter, or write --all")
		}
		if len(args) == 1 {
			if len(values) > 0 || all || dry || spread != "" {
				return errors.New("name one session, or give a filter, not both; --dry-run and --spread are for filters")
			}
			path = admin.Path("sessions", args[0])
		}
		filtered := len(values) > 0
		for name, value := range how() {
			values[name] = value
		}
		for name, set := range map[string]bool{"all": all, "dry_run": dry} {
			if set {
				values.Set(name, "true")
			}
		}
		if spread != "" {
			values.Set("spread", spread)
		}
		_, _, err := ask(c, &r, "DELETE", path, values, func(w io.Writer, e *admin.Ended) {
			switch {
			case e.Sessions == 0 && filtered: // a name may be misspelt
				fmt.Fprintln(w, "no open session matches: 'sluice sessions' lists them")
			case e.DryRun:
				fmt.Fprintf(w, "would end %s\n", show.Plural(e.Sessions, "session"))
			case spread != "":
				fmt.Fprintf(w, "%s will end within %s\n", show.Plural(e.Sessions, "session"), spread)
			default:
				fmt.Fprintf(w, "ended %s\n", show.Plural(e.Sessions, "session"))
			}
		})
		return err
	}
	return r.flags(c, places)
}
