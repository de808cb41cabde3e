package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"

	"github.com/spf13/cobra"

	"sluice/internal/admin"
)

func tapCommand(defaultConfig string) *cobra.Command {
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
		Args: cobra.ExactArgs(1),
	}
	given := parameterFlags(c.Flags(), admin.TapParameters())
	c.RunE = func(c *cobra.Command, args []string) error {
		client, err := admin.Find(r.where, os.Getenv)
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		over := false
		err = client.Stream(ctx, admin.Path("sessions", args[0], "tap"), given(), func(line string) error {
			over, err = r.printFrame(c.OutOrStdout(), line)
			return err
		})
		if over {
			return nil
		}
		return err
	}
	return r.flags(c, defaultConfig)
}

// printFrame prints a line of a tap. Over says that it is the last. The error is why a tap has ended
// before its session.
func (r *remote) printFrame(w io.Writer, line string) (over bool, err error) {
	var f struct {
		admin.Frame
		admin.TapNote
	}
	if err := json.Unmarshal([]byte(line), &f); err != nil {
		return false, fmt.Errorf("a line that is not understood: %w", err)
	}
	switch {
	case r.asJSON:
		_, err = fmt.Fprintln(w, plainJSON(line))
	case f.TapNote == (admin.TapNote{}):
		_, err = fmt.Fprintln(w, frameLine(&f.Frame))
	default:
		if f.Lost > 0 {
			_, err = fmt.Fprintf(w, "(%s missed: this reader is too slow)\n", plural(f.Lost, "frame"))
		}
		if f.Over {
			_, err = fmt.Fprintln(w, "(the session has ended)")
		}
	}
	if f.Stopped != "" {
		return false, errors.New("the tap has ended: " + Printable(f.Stopped))
	}
	return f.Over, err
}

// frameLine writes a frame for people.
func frameLine(f *admin.Frame) string {
	more := ""
	if !f.Fin {
		more = ", more follows"
	}
	if f.Compressed {
		more += ", compressed"
	}
	return fmt.Sprintf("%s %-7s -> %-7s %-12s %s%s%s", f.Time.Local().Format("15:04:05.000"), printable(f.From), printable(f.To), printable(f.Op), plural(f.Length, "byte"), more, payload(&f.Payload))
}

// payload writes what is shown of a payload. A text is quoted, so that it cannot change the terminal.
func payload(p *admin.Payload) string {
	if *p == (admin.Payload{Cut: p.Cut}) {
		return ""
	}
	s := ":"
	if p.Code != 0 {
		s += fmt.Sprintf(" %d", p.Code)
	}
	if text := p.Text + p.Reason; text != "" {
		s += " " + strconv.QuoteToGraphic(text)
	}
	if p.Hex != "" {
		s += " hex " + printable(p.Hex)
	}
	if p.Cut {
		s += " ..."
	}
	if p.Note != "" {
		s += " (" + printable(p.Note) + ")"
	}
	return s
}
