package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/files"
	"sluice/config"
)

const healthTimeout = 3 * time.Second

func healthCommand() *cobra.Command {
	var file files.Choice
	return file.Add(&cobra.Command{
		Use:   "health [FILE]",
		Short: "Check that the gateway answers on every listener of its configuration",
		Long: "Check that the gateway answers on every listener of its configuration.\n\n" +
			"It sends 'OPTIONS *', which no route sees and no log notes, to each listener\n" +
			"and fails unless all of them answer. It is made for container checks.\n\n" +
			"A listener that refuses it has answered too: one that wants the certificate of\n" +
			"a client, or PROXY headers from others than this machine. The latter logs each\n" +
			"refusal, unless 'trusted_proxies' has the address that is asked from.\n\n" +
			"A mistake in the file matters only where it hides the listeners: a gateway that\n" +
			"refused the file goes on with what it has.",
		Args: files.AtMostFile,
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := file.Choose(args...)
			if err != nil {
				return err
			}
			cfg, err := config.Load(path)
			if cfg == nil || len(cfg.Listeners) == 0 {
				return err
			}
			var failed []error
			for i := range cfg.Listeners {
				if err := probe(&cfg.Listeners[i]); err != nil {
					failed = append(failed, fmt.Errorf("listener %s: %w", cfg.Listeners[i].Address, err))
				}
			}
			if failed == nil {
				return nil
			}
			return errors.Join(append(failed, err)...)
		},
	})
}

// probe returns nil when a listener answers. A refusal is an answer too.
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
	if l.ProxyProtocol {
		// UNKNOWN: the address is that of the connection. An error here comes
		// back with the next write.
		io.WriteString(conn, "PROXY UNKNOWN\r\n")
	}
	if l.TLS {
		// The certificate is not checked: it is for other names than the address.
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	err = options(conn)
	alert, ok := errors.AsType[*net.OpError](err)
	switch {
	case ok && l.TLS && alert.Op == "remote error": // the form in which crypto/tls reports an alert
		return nil
	case l.ProxyProtocol && !errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	}
	return err
}

// options sends "OPTIONS *", which the gateway answers before any route, and waits for
// the answer.
func options(conn net.Conn) error {
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

// dialable returns the network and the address at which a listener is reached
// from its own machine.
func dialable(address string) (network, dial string, err error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return "unix", path, nil
	}
	if strings.HasPrefix(address, "systemd:") {
		return "", "", errors.New("systemd knows its address, which is not in the file: 'sluice status' asks the gateway itself")
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
