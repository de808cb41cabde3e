package remote

import (
	"time"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/remote/top"
)

func topCommand(places []string) *cobra.Command {
	var r remote
	var interval time.Duration
	c := &cobra.Command{
		Use:   "top",
		Short: "Show a running gateway on the whole screen of this terminal",
		Long: "Show a running gateway on the whole screen of this terminal: what flows, its sessions,\n" +
			"the busiest first, backends and routes. Keys sort and filter, end a session, show its\n" +
			"frames, and drain an endpoint. The key ? says which; q quits.",
		Example: "  sluice top --interval 5s",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return top.Run(contextOf(c), r.where, interval)
		},
	}
	c.Flags().DurationVar(&interval, "interval", time.Second, "`time` between two looks at the gateway, 200ms to 1m")
	return r.whereFlags(c, places)
}
