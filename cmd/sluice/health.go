package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/config"
)

const healthTimeout = 3 * time.Second

func healthCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "health",
		Short: "Check that the gateway answers on every listener of its configuration",
		Long: "Check that the gateway answers on every listener of its configuration.\n\n" +
			"It sends 'OPTIONS *', which no route sees and no log notes, to each listener\n" +
			"and fails unless all of them answer. It is made for container checks.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(path)
			if err != nil {
				return err
			}
			var failed []error
			for i := range cfg.Listeners {
				if err := probe(&cfg.Listeners[i]); err != nil {
					failed = append(failed, fmt.Errorf("listener %s: %w", cfg.Listeners[i].Address, err))
				}
			}
			return errors.Join(failed...)
		},
	}
	return configFlag(c, &path)
}

// probe sends one request that net/http answers by itself.
func probe(l *config.Listener) error {
	network, address, err := dialable(l.Address)
	if err != nil {
		return err
	}
	conn, err := net.DialTimeout(network, address, healthTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(healthTimeout))
	if l.TLS {
		// Whether the certificate is right is not asked: it is for other names.
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	if _, err := fmt.Fprint(conn, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodOptions})
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("answers %s", res.Status)
	}
	return nil
}

// dialable returns where to reach a listener from its own machine.
func dialable(address string) (network, dial string, err error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return "unix", path, nil
	}
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		return "", "", err
	case port == "0":
		return "", "", errors.New("port 0 means a free port, which only the log of the gateway tells")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "tcp", net.JoinHostPort(host, port), nil
}
