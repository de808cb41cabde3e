package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/remote/show"
	"sluice/internal/admin"
)

func eventsCommand(places []string) *cobra.Command {
	var r remote
	var names string
	c := &cobra.Command{
		Use:   "events",
		Short: "Show what happens in a running gateway while it happens",
		Long: "Show what happens in a running gateway while it happens: sessions that open and end,\n" +
			"requests, health of endpoints, reloads, certificates, operators. It is what the log\n" +
			"says, and with 'log.access: false' what it would say of sessions and requests.",
		Example: "  sluice events --name 'session opened,session ended'",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := admin.Find(r.where, os.Getenv)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			defer stop()
			values := make(url.Values)
			if names != "" {
				values.Set("name", names)
			}
			return client.Stream(ctx, "/events", values, func(line string) error {
				if data, ok := strings.CutPrefix(line, "data: "); ok {
					return r.printEvent(c.OutOrStdout(), data)
				}
				return nil
			})
		},
	}
	c.Flags().StringVar(&names, "name", "", "`names` of the events to show, with commas between")
	return r.flags(c, places)
}

// printEvent prints a record in one line.
func (r *remote) printEvent(w io.Writer, record string) error {
	if r.asJSON {
		_, err := fmt.Fprintln(w, show.JSON(record))
		return err
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(record), &fields); err != nil {
		return fmt.Errorf("an event that is not understood: %w", err)
	}
	at, _ := time.Parse(time.RFC3339Nano, fmt.Sprint(fields["time"]))
	message, ok := fields["message"].(string)
	if !ok {
		message = fmt.Sprintf("%v records lost: this reader is too slow", fields["records"])
	}
	for _, key := range []string{"time", "message", "level"} {
		delete(fields, key)
	}
	line := at.Local().Format(time.TimeOnly) + " " + message
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		value, _ := json.Marshal(fields[key])
		line += " " + key + "=" + strings.Trim(string(value), `"`)
	}
	_, err := fmt.Fprintln(w, show.Line(line))
	return err
}
