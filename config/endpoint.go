package config

import (
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"sluice/internal/httpsyntax"
)

// parse reads the text of e: an address ("host:port", "unix:/path") or a URL of
// the schemes http, https, h2c, ws and wss, or of srv and srv+ one of these. It
// returns what is wrong, or "".
func (e *Endpoint) parse() (wrong string) {
	e.Network = "tcp"
	scheme, rest, isURL := strings.Cut(e.Text, "://")
	if !isURL {
		if e.Network, e.Address, wrong = splitAddress(e.Text); wrong == "" && e.Network == "tcp" {
			wrong = dialable(e.Address)
		}
		return wrong
	}
	scheme = strings.ToLower(scheme)
	if scheme == "srv" {
		scheme = "srv+http"
	}
	plain, services := strings.CutPrefix(scheme, "srv+")
	port := "80"
	switch plain {
	case "http", "ws":
	case "h2c":
		e.H2C = true
	case "https", "wss":
		port, e.TLS = "443", true
	default:
		return "has a scheme that is not one of http, https, h2c, ws, wss, or srv+ one of them"
	}
	u, err := url.Parse(scheme + "://" + rest)
	switch {
	case err != nil:
		return "is not a URL such as https://host:443"
	case u.User != nil:
		return "has a user name in it: set an Authorization header with 'request' instead"
	case u.Path != "" || strings.ContainsAny(rest, "?#"):
		return "has more than scheme, host and port: change paths with 'rewrite' or 'strip_prefix' of the route"
	case u.Port() == "" && strings.HasSuffix(u.Host, ":"):
		return "ends in ':' without a port"
	case u.Port() != "" && services:
		return "has a port: SRV records say the ports, leave it off"
	case u.Port() != "":
		port = u.Port()
	}
	if services {
		e.Network = "srv"
		if e.Address, wrong = cleanName(u.Hostname()); wrong == "" && httpsyntax.IsIP(e.Address) {
			wrong = "is an IP address: SRV records belong to a name"
		}
		return wrong
	}
	if _, e.Address, wrong = splitAddress(net.JoinHostPort(u.Hostname(), port)); wrong == "" {
		wrong = dialable(e.Address)
	}
	return wrong
}

// dialable returns what keeps a host:port from being connected to, or "".
func dialable(address string) string {
	host, port, _ := net.SplitHostPort(address)
	switch {
	case host == "":
		return "has no host"
	case port == "0":
		return "has port 0, which nothing can listen on"
	}
	return ""
}

// splitAddress checks "host:port" (the host may be empty, the port 0) or
// "unix:/path" and returns its network and its address in one spelling. The
// last result is what is wrong.
func splitAddress(text string) (network, address, wrong string) {
	if name, ok := strings.CutPrefix(text, "unix:"); ok {
		switch {
		case !strings.HasPrefix(name, "/"):
			return "", "", "has no absolute path behind 'unix:'"
		case strings.ContainsRune(name, 0):
			return "", "", "has a NUL byte"
		case len(name) > 107: // sun_path of unix(7)
			return "", "", "has a path of more than 107 bytes, the most a socket may have"
		}
		return "unix", filepath.Clean(name), ""
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		if _, err := strconv.Atoi(text); err == nil {
			return "", "", "is only a port: write it as ':port' to listen, 'host:port' to connect"
		}
		if strings.Count(text, ":") > 1 {
			return "", "", "is not host:port; an IPv6 address needs brackets, as in [::1]:8080"
		}
		return "", "", "has no port: write host:port"
	}
	if wrong := checkPort(port); wrong != "" {
		return "", "", wrong
	}
	if host != "" {
		if host, wrong = cleanName(host); wrong != "" {
			return "", "", wrong
		}
	}
	return "tcp", net.JoinHostPort(host, port), ""
}

func checkPort(port string) string {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != port {
		return "has a port that is not a number from 0 to 65535"
	}
	return ""
}
