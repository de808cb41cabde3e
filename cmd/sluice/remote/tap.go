package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

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
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := admin.Find(r.where, os.Getenv)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			defer stop()
			over := false
			err = client.Stream(ctx, admin.Path("sessions", args[0], "tap"), nil, func(line string) error {
				over, err = r.printFrame(c, line)
				return err
			})
			if over {
				return nil
			}
			return err
		},
	}
	return r.flags(c, defaultConfig)
}

// printFrame prints a line of a tap. Over says that it is the last.
func (r *remote) printFrame(c *cobra.Command, line string) (over bool, err error) {
	var f struct {
		admin.Frame
		Lost uint64
		Over bool
	}
	if err := json.Unmarshal([]byte(line), &f); err != nil {
		return false, fmt.Errorf("a line that is not understood: %w", err)
	}
	out := c.OutOrStdout()
	switch {
	case r.asJSON:
		_, err = fmt.Fprintln(out, plainJSON(line))
	case f.Lost > 0:
		_, err = fmt.Fprintf(out, "(%s missed: this reader is too slow)\n", plural(f.Lost, "frame"))
		if f.Over {
			_, err = fmt.Fprintln(out, "(the session has ended)")
		}
	case f.Over:
		_, err = fmt.Fprintln(out, "(the session has ended)")
	default:
		more := ""
		if !f.Fin {
			more = ", more follows"
		}
		if f.Compressed {
			more += ", compressed"
		}
		_, err = fmt.Fprintf(out, "%s %-7s -> %-7s %-12s %s%s\n", f.Time.Local().Format("15:04:05.000"), printable(f.From), printable(f.To), printable(f.Op), plural(f.Length, "byte"), more)
	}
	return f.Over, err
}
