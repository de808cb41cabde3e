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

func tapCommand(places []string) *cobra.Command {
	var r remote
	c := &cobra.Command{
		Use:   "tap SESSION",
		Short: "Show the frames of a session while they pass",
		Long: "Show the frames of a session while they pass: when, from which side, what kind, whether\n" +
			"it is the last of its message, compressed or not, and how long. Payloads are shown with\n" +
			"--payload, where the route allows it with 'tap: payload': they are the data of your users.\n" +
			"The session is not held up; a reader that is too slow is told how many frames it missed.",
		Example: "  sluice tap 5f0c8a9be1d24703\n" +
			"  sluice tap 5f0c8a9be1d24703 --payload --sample 100 --op text,close",
		Args: needs("name the session, as 'sluice sessions' lists it"),
	}
	given := parameterFlags(c.Flags(), admin.TapParameters())
	c.RunE = func(c *cobra.Command, args []string) error {
		client, err := admin.Find(r.where, os.Getenv)
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		return client.Tap(ctx, args[0], given(), func(l admin.TapLine) error { return r.printTap(c.OutOrStdout(), &l) })
	}
	return r.flags(c, places)
}

// printTap prints a line of a tap.
func (r *remote) printTap(w io.Writer, l *admin.TapLine) (err error) {
	switch {
	case r.asJSON:
		_, err = fmt.Fprintln(w, show.JSON(l.JSON))
		return err
	case l.TapNote == (admin.TapNote{}):
		_, err = fmt.Fprintln(w, show.Frame(&l.Frame))
		return err
	case l.Lost > 0:
		_, err = fmt.Fprintf(w, "(%s missed: this reader is too slow)\n", show.Plural(l.Lost, "frame"))
	}
	if l.Over {
		_, err = fmt.Fprintln(w, "(the session has ended)")
	}
	return err
}
