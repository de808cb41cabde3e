package remote

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/remote/show"
	"sluice/internal/admin"
)

func tapCommand(defaultConfig string) *cobra.Command {
	var r remote
	c := &cobra.Command{
		Use:   "tap SESSION",
		Short: "Show the frames of a session while they pass, without their payloads",
		Long: "Show the frames of a session while they pass: when, from which side, what kind, whether\n" +
			"it is the last of its message, compressed or not, and how long. Payloads are not shown.\n" +
			"The session is not held up; a reader that is too slow is told how many frames it missed.",
		Example: "  sluice tap 5f0c8a9be1d24703",
		Args:    needs("name the session, as 'sluice sessions' lists it"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := admin.Find(r.where, os.Getenv)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			defer stop()
			return client.Tap(ctx, args[0], func(l admin.TapLine) error { return r.printTap(c.OutOrStdout(), &l) })
		},
	}
	return r.flags(c, defaultConfig)
}

// printTap prints a line of a tap.
func (r *remote) printTap(w io.Writer, l *admin.TapLine) (err error) {
	switch {
	case r.asJSON:
		_, err = fmt.Fprintln(w, show.JSON(l.Text))
		return err
	case l.Lost > 0:
		_, err = fmt.Fprintf(w, "(%s missed: this reader is too slow)\n", show.Plural(l.Lost, "frame"))
	case !l.Over:
		_, err = fmt.Fprintln(w, show.Frame(&l.Frame))
	}
	if l.Over {
		_, err = fmt.Fprintln(w, "(the session has ended)")
	}
	return err
}
