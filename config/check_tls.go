package config

import (
	"encoding/base64"
	"net/url"
	"path/filepath"
	"strings"

	"sluice/internal/httpsyntax"
)

func (k *checker) tls(at path) {
	t := k.config.TLS
	if t == nil {
		return
	}
	for i := range t.Certificates {
		at := at.key("certificates").index(i)
		t.Certificates[i].Index = i
		k.resolve(at.key("cert"), &t.Certificates[i].Cert)
		k.resolve(at.key("key"), &t.Certificates[i].Key)
	}
	if t.ACME != nil {
		k.acme(t.ACME, at.key("acme"))
	}
	k.list(at.key("self_signed"), t.SelfSigned, func(name *string) (wrong string) {
		*name, wrong = cleanPattern(*name)
		return wrong
	})
	k.list(at.key("curves"), t.Curves, anything)
	k.list(at.key("cipher_suites"), t.CipherSuites, anything)
	if suites := at.key("cipher_suites"); k.has(suites) && t.MinVersion == "1.3" {
		k.fail(suites, "these are for TLS 1.2 only, which 'min_version' excludes: remove the key")
	}
	if c := t.ClientAuth; c != nil {
		k.file(at.key("client_auth").key("ca"), &c.CA)
		k.file(at.key("client_auth").key("crl"), &c.CRL)
	}
}

// anything is for lists whose elements the decoder has checked.
func anything(*string) string { return "" }

// file makes the name of a file that may be absent start from the directory of
// the configuration.
func (k *checker) file(at path, name *string) {
	if k.has(at) {
		k.resolve(at, name)
	}
}

func (k *checker) acme(a *ACME, at path) {
	if email := at.key("email"); k.good(email) {
		local, domain, found := strings.Cut(a.Email, "@")
		if !found || local == "" || domain == "" || strings.ContainsAny(a.Email, " ,<>\t\r\n") {
			k.reject(email, "is not an address such as ops@example.com")
		}
	}
	if directory := at.key("directory"); k.good(directory) {
		if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
			k.reject(directory, "is not a URL with https")
		}
	}
	k.file(at.key("root_ca"), &a.RootCA)
	if k.file(at.key("cache"), &a.Cache); a.Cache == "" {
		a.Cache = filepath.Join(k.config.StateDir, "acme")
	}
	k.list(at.key("hosts"), a.Hosts, func(name *string) (wrong string) {
		if *name, wrong = cleanHost(*name); wrong != "" {
			return wrong
		}
		switch {
		case strings.HasPrefix(*name, "*."):
			return "is a wildcard, which takes a challenge over DNS: list the names below it"
		case httpsyntax.IsIP(*name):
			return "is an IP address, for which no certificate is ordered"
		case !strings.Contains(*name, "."):
			return "has no dot: no public CA has certificates for it"
		}
		return ""
	})
	if a.EAB != nil {
		k.eab(a.EAB, at.key("eab"))
	}
}

// eab checks an external account binding and reads its key.
func (k *checker) eab(e *EAB, at path) {
	k.text(at.key("key_id"), e.KeyID)
	key, file := at.key("hmac_key"), at.key("hmac_key_file")
	switch {
	case k.has(key) && k.has(file):
		k.fail(file, "the key is given as 'hmac_key' too, at line %d", k.pos(key).Line)
		return
	case k.has(file):
		key = file
		if k.resolve(file, &e.HMACKeyFile); !k.good(file) {
			return
		}
		text, ok := k.secret(file, e.HMACKeyFile)
		if !ok {
			return
		}
		e.HMACKey = strings.TrimSpace(text)
	case !k.has(key):
		k.fail(at, "no hmac_key: give it, or 'hmac_key_file'")
		return
	}
	decoded, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(e.HMACKey, "="))
	switch {
	case !k.good(key):
	case err != nil || len(decoded) == 0 || strings.ContainsAny(e.HMACKey, "\r\n"): // which decoding passes over
		k.fail(key, "the key is not base64url, as CAs give it out")
	}
	e.Key = decoded
}
