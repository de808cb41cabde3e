package remote

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"

	"github.com/spf13/cobra"

	"sluice/internal/admin"
)

func dashboardCommand(places []string) *cobra.Command {
	var r remote
	var open bool
	c := &cobra.Command{
		Use:   "dashboard",
		Short: "Show a running gateway in a browser: what it does, and buttons to change it",
		Long: "Show a running gateway in a browser: what it does, and buttons to change it.\n\n" +
			"It prints an address on this machine that works once, for the first browser that\n" +
			"opens it. It serves that browser until Ctrl-C, or until the gateway stops.\n\n" +
			"Where the browser is on another machine, forward the port of the address:\n" +
			"ssh -L PORT:127.0.0.1:PORT HOST.",
		Example: "  sluice dashboard --open",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			defer stop()
			client, err := admin.Find(r.where, os.Getenv)
			if err != nil {
				return err
			}
			if _, err := client.Do(ctx, "GET", "/status", nil, nil); err != nil {
				return err // better here than in the browser
			}
			b, err := admin.NewBrowser(client)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s\nThis address shows the gateway at %s. It works once. Ctrl-C ends it.\n", b.URL(), client.Where())
			if open {
				if err := openBrowser(b.URL()); err != nil {
					fmt.Fprintln(c.ErrOrStderr(), "no browser was opened:", err)
				}
			}
			return b.Run(ctx)
		},
	}
	c.Flags().BoolVar(&open, "open", false, "open the address in the browser of this desktop; other users of the machine may see it in the list of processes before the browser has used it")
	r.flags(c, places)
	c.Flags().MarkHidden("json") // there is no answer to print
	return c
}

// openBrowser opens an address in the browser of the desktop.
func openBrowser(url string) error {
	name := "xdg-open"
	if runtime.GOOS == "darwin" {
		name = "open"
	}
	cmd := exec.Command(name, url)
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait()
	return nil
}
