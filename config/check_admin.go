package config

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"sluice/config/report"
	"sluice/config/spelling"
)

const shortestToken = 16 // characters

// admin checks the interface of operators.
func (k *checker) admin(at report.Path) {
	a := &k.config.Admin
	address := at.Key("address")
	if a.Address == "off" {
		a.Off, a.Address = true, ""
		for _, key := range []string{"token", "token_file", "tls", "insecure", "health", "metrics", "mode", "group", "ready", "pprof", "read_only"} {
			if k.Has(at.Key(key)) {
				k.Fail(at.Key(key), "has no meaning while the address is off: remove one of the two")
			}
		}
		return
	}
	if k.Has(address) {
		k.adminAddress(address, &a.Address)
	}
	for _, one := range []struct {
		key     string
		address *string
	}{{"health", &a.Health}, {"metrics", &a.Metrics}} {
		if !k.Has(at.Key(one.key)) {
			continue
		}
		k.adminAddress(at.Key(one.key), one.address)
		if k.Good(at.Key(one.key)) && k.Good(address) && sameAddress(*one.address, a.Address) {
			k.Reject(at.Key(one.key), "is the same as 'address', which serves what it does too")
		}
	}
	if metrics := at.Key("metrics"); k.Has(metrics) && k.Good(metrics) && k.Good(at.Key("health")) && sameAddress(a.Metrics, a.Health) {
		k.Reject(metrics, "is the same as 'health': each has an address of its own")
	}
	for _, key := range []string{"token", "token_file", "tls", "insecure"} {
		if k.Has(at.Key(key)) && !k.Has(address) {
			k.Fail(at.Key(key), "is about TCP: give an 'address' or remove the key")
		}
	}
	k.adminToken(at)
	if t := a.TLS; t != nil {
		k.resolve(at.Key("tls.cert"), &t.Cert)
		k.resolve(at.Key("tls.key"), &t.Key)
		if k.Has(at.Key("tls.client_ca")) {
			k.resolve(at.Key("tls.client_ca"), &t.ClientCA)
		}
	}
	if k.Has(address) && k.Good(address) && a.TLS == nil && !k.Broken(at.Key("tls")) && !a.Insecure && !isLoopback(a.Address) {
		k.Reject(address, "is not a loopback address: add 'tls', or 'insecure: true' if nobody can listen on that network")
	}
	if k.Has(at.Key("group")) {
		k.text(at.Key("group"), a.Group)
		if a.Mode == 0 {
			a.Mode = 0o660
		}
	}
}

// sameAddress reports whether two addresses are one, which two listeners cannot have. With port 0 each
// gets a port of its own.
func sameAddress(a, b string) bool {
	return a == b && a != "" && !strings.HasSuffix(a, ":0")
}

// adminAddress brings an address into one spelling. It must not be a listener's.
func (k *checker) adminAddress(at report.Path, text *string) {
	if !k.text(at, *text) {
		return
	}
	if s := k.Source(at); s.Literal && strings.Trim(*text, "0123456789") == "" {
		k.Reject(at, "is only a port: write the host too, as in 127.0.0.1:%s", *text)
		return
	}
	network, address, wrong := spelling.Address(*text)
	if wrong == "" && network == "unix" {
		wrong = "is a Unix socket: there is one already, see 'mode' and 'group'; this is for host:port"
	}
	if wrong != "" {
		k.rejectName(at, wrong)
		return
	}
	*text = address
	for i, l := range k.config.Listeners {
		listener := report.Path("listeners").Index(i)
		if network, other, wrong := spelling.Address(l.Address); k.Good(listener.Key("address")) && wrong == "" && network == "tcp" && spelling.SameSocket(network, other, address) {
			k.Reject(at, "is the address of the listener at %s", k.Where(listener))
		}
	}
}

// isLoopback reports whether only this machine can reach an address.
func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	if a, err := netip.ParseAddr(host); err == nil {
		return a.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// adminToken finds the token.
func (k *checker) adminToken(at report.Path) {
	a, token, file := &k.config.Admin, at.Key("token"), at.Key("token_file")
	switch {
	case k.Has(token) && k.Has(file):
		k.Fail(file, "there is a 'token' too: remove one of the two")
		return
	case k.Has(file):
		k.resolve(file, &a.TokenFile)
		if !k.Good(file) {
			return
		}
		text, ok := k.secret(file, a.TokenFile)
		if !ok {
			return
		}
		a.Token = text
		if wrong := wrongToken(text); wrong != "" {
			k.Reject(file, "holds a token that %s", wrong)
		}
	case k.Has(token) && k.text(token, a.Token):
		if wrong := wrongToken(a.Token); wrong != "" {
			k.Fail(token, "it %s", wrong) // without its value
		}
	}
}

// wrongToken returns what is wrong with a token, or "".
func wrongToken(token string) string {
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return "has characters that a header cannot carry: use letters, digits and punctuation of ASCII"
		}
	}
	if len(token) < shortestToken {
		return "is shorter than 16 characters, so that it could be guessed: make one with 'openssl rand -hex 16'"
	}
	return ""
}

// isAdmin reports that connections to an address come to the interface of operators.
func (k *checker) isAdmin(network, address string) bool {
	a := &k.config.Admin
	return network == "tcp" && slices.ContainsFunc([]string{a.Address, a.Health, a.Metrics}, func(own string) bool {
		return own != "" && spelling.SameSocket(network, own, address)
	})
}
