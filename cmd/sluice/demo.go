package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/demo"
	"sluice/cmd/sluice/process"
	"sluice/config"
	"sluice/internal/admin"
	"sluice/proxy"
)

func demoCommand() *cobra.Command {
	var plain, secure, state string
	c := &cobra.Command{
		Use:     "demo",
		Short:   "Run a page with an echo and a chat behind a gateway on this machine",
		Args:    cobra.NoArgs,
		PreRunE: checkFIPS,
		RunE: func(c *cobra.Command, _ []string) error {
			return runDemo(c.Context(), c.OutOrStdout(), plain, secure, state)
		},
	}
	f := c.Flags()
	f.StringVar(&plain, "http", "127.0.0.1:8080", "`address` for http and ws")
	f.StringVar(&secure, "https", "127.0.0.1:8443", "`address` for https and wss")
	f.StringVar(&state, "state-dir", demoState(), "`directory` that keeps the local CA")
	return c
}

// demoState returns the default state directory. It stays the same, so that a
// browser that trusts the CA once trusts it the next time too.
func demoState() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "sluice-demo")
	}
	return filepath.Join(home, ".local", "state", "sluice", "demo")
}

func runDemo(ctx context.Context, out io.Writer, plain, secure, state string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("demo backend: %w", err)
	}
	text := demo.Config(plain, secure, ln.Addr().String(), state)
	backend, stop := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { err = demo.Serve(backend, ln, text) })
	failed := process.Run(ctx, process.Options{
		Version: version,
		Load:    func() (*config.Config, error) { return config.Parse("demo", text, config.Options{}) },
		Alone:   "the backend of the demo is in this process, and ends with it",
		Ready: func(c proxy.Change, operators map[string]string) {
			welcome(out, c)
			if b := dashboard(out, operators["unix"]); b != nil {
				served.Go(func() { b.Run(backend) }) // that the gateway has stopped is no error
			}
		},
	})
	stop()
	served.Wait()
	if failed != nil {
		return fmt.Errorf("%w\n(--http, --https and --state-dir choose other addresses and another directory)", failed)
	}
	return err
}

// welcome prints what to open in a browser.
func welcome(out io.Writer, c proxy.Change) {
	fmt.Fprintln(out, "\nThe demo is running. Open one of these, Ctrl-C ends it:")
	for _, l := range c.Listeners {
		fmt.Fprintf(out, "  %s\n", page(l))
	}
	fmt.Fprintf(out, "For https without a warning, let the browser trust %s\n\n", c.RootFile)
}

// dashboard prints where the dashboard of the gateway with that socket is, and returns what has to run
// for it, or nil.
func dashboard(out io.Writer, socket string) *admin.Browser {
	if socket == "" {
		fmt.Fprint(out, "There is no dashboard: the log says why.\n\n")
		return nil
	}
	client, err := admin.Find(admin.Where{Admin: "unix:" + socket}, os.Getenv)
	if err != nil {
		fmt.Fprintf(out, "There is no dashboard: %v\n\n", err)
		return nil
	}
	b, err := admin.NewBrowser(client)
	if err != nil {
		fmt.Fprintf(out, "There is no dashboard: %v\n\n", err)
		return nil
	}
	fmt.Fprintf(out, "Watch it at %s\n(this address works once; 'sluice dashboard' prints another)\n\n", b.URL())
	return b
}

// page returns the URL of a listener for a browser on this machine.
func page(l proxy.Listener) string {
	host, port, err := net.SplitHostPort(l.Address)
	if err != nil || strings.HasPrefix(l.Address, "unix:") {
		return l.Address
	}
	if l.TLS {
		return "https://localhost:" + port + "/" // a name of its certificate
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}
