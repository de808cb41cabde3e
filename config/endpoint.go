package config

import (
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// parseEndpoint reads an address ("host:port", "unix:/path") or a URL of the
// schemes http, https, h2c, ws and wss. The second result is what is wrong.
func parseEndpoint(text string) (Endpoint, string) {
	e := Endpoint{Text: text, Network: "tcp"}
	scheme, rest, isURL := strings.Cut(text, "://")
	if !isURL {
		network, address, wrong := splitAddress(text)
		e.Network, e.Address = network, address
		if wrong == "" && network == "tcp" {
			wrong = dialable(address)
		}
		return e, wrong
	}
	port := "80"
	switch strings.ToLower(scheme) {
	case "http", "ws":
	case "h2c":
		e.H2C = true
	case "https", "wss":
		port, e.TLS = "443", true
	default:
		return e, "has a scheme that is not one of http, https, h2c, ws, wss"
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return e, "is not a URL such as https://host:443"
	case u.User != nil:
		return e, "has a user name in it: set an Authorization header with 'request' instead"
	case u.Path != "" || strings.ContainsAny(rest, "?#"):
		return e, "has more than scheme, host and port: change paths with 'rewrite' or 'strip_prefix' of the route"
	case u.Port() == "" && strings.HasSuffix(u.Host, ":"):
		return e, "ends in ':' without a port"
	case u.Port() != "":
		port = u.Port()
	}
	_, address, wrong := splitAddress(net.JoinHostPort(u.Hostname(), port))
	if wrong == "" {
		wrong = dialable(address)
	}
	e.Address = address
	return e, wrong
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
