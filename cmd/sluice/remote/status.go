package remote

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/remote/show"
	"sluice/internal/admin"
)

func statusCommand(places []string) *cobra.Command {
	var r remote
	var ready bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what a running gateway is and how much of its limits it uses",
		Long: "Show what a running gateway is and how much of its limits it uses.\n\n" +
			"With --ready it only asks whether the gateway is ready for clients, and exits with\n" +
			"1 if it is not, or if none answers.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if ready {
				return askReady(c, &r)
			}
			_, _, err := ask(c, &r, "GET", "/status", nil, printStatus)
			return err
		},
	}
	c.Flags().BoolVar(&ready, "ready", false, "only tell whether it is ready, and exit with 0 or 1")
	return r.flags(c, places)
}

func askReady(c *cobra.Command, r *remote) error {
	_, answer, err := ask(c, r, "GET", "/readyz", nil, func(w io.Writer, a *admin.Ready) {
		if a.Ready {
			fmt.Fprintln(w, "ready")
		}
		for _, note := range a.Notes {
			fmt.Fprintln(w, "note:", show.Line(note))
		}
	})
	if err == nil && !answer.Ready {
		return errors.New("not ready: " + strings.Join(answer.Reasons, "; "))
	}
	return err
}

func printStatus(w io.Writer, s *admin.Status) {
	uptime := time.Duration(s.UptimeSeconds * float64(time.Second))
	rows := [][]string{
		{"version", s.Version},
		{"state", fmt.Sprintf("%s for %s, process %d", s.State, show.Age(uptime), s.PID)},
		{"configuration", fmt.Sprintf("%s, loaded %s ago", s.Config.File, show.Age(time.Since(s.Config.Loaded)))},
	}
	if l := s.LastReload; l != nil {
		result := show.Line(l.Text)
		if !l.OK {
			result = "refused: " + strings.Join(l.Mistakes, "; ")
		}
		rows = append(rows, []string{"last reload", fmt.Sprintf("%s ago in %.1f ms, %s", show.Age(time.Since(l.Time)), l.Millis, result)})
	}
	rows = append(rows,
		[]string{"sessions", show.Usage(s.Sessions)},
		[]string{"requests", fmt.Sprintf("%d in work, %d answered", s.Requests, s.Answered)},
		[]string{"descriptors", show.Usage(s.Descriptors)},
		[]string{"memory", show.UsageOfBytes(s.Memory)},
		[]string{"log level", s.LogLevel},
	)
	for _, l := range s.Listeners {
		kind := "plain"
		if l.TLS {
			kind = "TLS"
		}
		rows = append(rows, []string{"listener", fmt.Sprintf("%s, %s, %s", l.Address, kind, show.Usage(l.Connections)+" connections")})
	}
	for _, l := range s.Loops {
		busy := 0.0
		if s.UptimeSeconds > 0 {
			busy = 100 * l.BusySeconds / s.UptimeSeconds
		}
		rows = append(rows, []string{fmt.Sprintf("loop %d", l.Number), fmt.Sprintf("%s, busy %.1f %%, turns of %.3f ms (p99), %.3f ms at most", show.Plural(l.Connections, "connection"), busy, l.P99Millis, l.LongestMillis)})
	}
	for i := range rows {
		rows[i][0] += ":"
	}
	show.Table(w, rows[0], rows[1:])
}

func reloadCommand(places []string) *cobra.Command {
	var r remote
	return r.flags(&cobra.Command{
		Use:   "reload",
		Short: "Make a running gateway read its configuration again",
		Long: "Make a running gateway read its configuration again.\n\n" +
			"It waits for the result, and says how many sessions are kept, and how many end\n" +
			"because of which route, backend or endpoint. 'sluice check --against running' says\n" +
			"the same before.\n\n" +
			"With a mistake in the file nothing changes: every mistake is printed, and the\n" +
			"command exits with 1.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, answer, err := ask(c, &r, "POST", "/reload", nil, func(w io.Writer, a *admin.Reload) {
				if a.OK {
					fmt.Fprintf(w, "reloaded in %.1f ms: %s\n", a.Millis, show.Line(a.Text))
				}
			})
			if err == nil && !answer.OK {
				return errors.New(strings.Join(answer.Mistakes, "\n"))
			}
			return err
		},
	}, places)
}

func restartCommand(places []string) *cobra.Command {
	var r remote
	return r.flags(&cobra.Command{
		Use:   "restart",
		Short: "Make a new process take over from a running gateway, with its live sessions",
		Long: "Make a new process take over from a running gateway, with its live sessions.\n\n" +
			"The gateway starts the program that is installed, which reads the configuration and\n" +
			"then gets the listeners and every session that can go over: no connection ends, and no\n" +
			"byte is lost. Requests that are under way finish in the old process.\n\n" +
			"If the new process cannot start, the gateway goes on as before, and the command\n" +
			"exits with 1.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, _, err := ask(c, &r, "POST", "/restart", nil, func(w io.Writer, a *admin.Restart) {
				fmt.Fprintf(w, "process %d has taken over in %.0f ms: %s and %s went over, sessions that end with 1012: %d\n",
					a.PID, a.Millis, show.Plural(a.Sessions, "session"), show.Plural(a.Connections, "idle connection"), a.Stayed)
				if a.Foreign {
					fmt.Fprintln(w, "the new program speaks another version of the take-over, so that only the listeners could go over")
				}
				if a.Sessions > 0 {
					fmt.Fprintf(w, "sessions stood still for %.1f ms (half of them), %.1f ms (99 of 100), %.1f ms (all)\n", a.PauseP50, a.PauseP99, a.PauseMax)
				}
			})
			return err
		},
	}, places)
}

func logLevelCommand(places []string) *cobra.Command {
	var r remote
	return r.flags(&cobra.Command{
		Use:       "loglevel {debug|info|warn|error}",
		Short:     "Change what a running gateway logs, until its next reload",
		Args:      needs("name the level"),
		ValidArgs: []string{"debug", "info", "warn", "error"},
		RunE: func(c *cobra.Command, args []string) error {
			_, _, err := ask(c, &r, "POST", "/loglevel", map[string][]string{"level": args}, func(w io.Writer, a *admin.Level) {
				fmt.Fprintln(w, "the log has", a.Level, "and what is more severe")
			})
			return err
		},
	}, places)
}
