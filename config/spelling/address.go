package spelling

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

// Address checks "host:port" (the host may be empty, the port 0) or "unix:/path". The network is
// "tcp" or "unix", the address host:port or the path.
func Address(text string) (network, address, wrong string) {
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
			if wrong := checkPort(text); wrong != "" {
				return "", "", wrong
			}
			return "", "", "is only a port: write host:port"
		}
		if strings.Contains(text, ",") {
			return "", "", "has a ',': write several as a list, as in [10.0.0.1:80, 10.0.0.2:80]"
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
		if host, wrong = Name(host); wrong != "" {
			return "", "", wrong
		}
	}
	return "tcp", net.JoinHostPort(host, port), ""
}

// CheckDialable returns what is wrong with a host:port of [Address] that is to be connected to, or
// "".
func CheckDialable(address string) (wrong string) {
	host, port, _ := net.SplitHostPort(address)
	switch {
	case host == "":
		return "has no host"
	case port == "0":
		return "has port 0, which nothing can listen on"
	}
	return ""
}

// SameSocket reports whether a connection to an address comes to a listener, both of one network and
// in the spelling of [Address]. Port 0 is another one each time.
func SameSocket(network, listener, address string) bool {
	if network != "tcp" {
		return listener == address
	}
	host, port, _ := net.SplitHostPort(listener)
	to, toPort, _ := net.SplitHostPort(address)
	if port != toPort || port == "0" {
		return false
	}
	loopback := func(host string) bool {
		ip := net.ParseIP(host)
		return host == "localhost" || ip != nil && ip.IsLoopback()
	}
	everywhere := host == "" || net.ParseIP(host) != nil && net.ParseIP(host).IsUnspecified()
	named := host == "localhost" || to == "localhost"
	return host == to || (everywhere || named && loopback(host)) && loopback(to)
}

func checkPort(port string) (wrong string) {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != port {
		return "has a port that is not a number from 0 to 65535"
	}
	return ""
}
