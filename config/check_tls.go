package config

import (
	"encoding/base64"
	"net/url"
	"path/filepath"
	"strings"

	"sluice/config/report"
	"sluice/config/spelling"
	"sluice/internal/httpsyntax"
)

func (k *checker) tls(at report.Path) {
	t := k.config.TLS
	if t == nil {
		return
	}
	for i := range t.Certificates {
		at := at.Key("certificates").Index(i)
		t.Certificates[i].Index = i
		k.resolve(at.Key("cert"), &t.Certificates[i].Cert)
		k.resolve(at.Key("key"), &t.Certificates[i].Key)
	}
	if t.ACME != nil {
		k.acme(t.ACME, at.Key("acme"))
	}
	k.list(at.Key("self_signed"), t.SelfSigned, func(name *string) (wrong string) {
		*name, wrong = spelling.Pattern(*name)
		return wrong
	})
	k.list(at.Key("curves"), t.Curves, anything)
	k.list(at.Key("cipher_suites"), t.CipherSuites, anything)
	if suites := at.Key("cipher_suites"); k.Has(suites) && t.MinVersion == "1.3" {
		k.Fail(suites, "these are for TLS 1.2 only, which 'min_version' excludes: remove the key")
	}
	if c := t.ClientAuth; c != nil {
		k.file(at.Key("client_auth").Key("ca"), &c.CA)
		k.file(at.Key("client_auth").Key("crl"), &c.CRL)
	}
}

// anything finds nothing wrong: the elements were checked by their tags.
func anything(*string) string { return "" }

// file is resolve for a file name that may be absent.
func (k *checker) file(at report.Path, name *string) {
	if k.Has(at) {
		k.resolve(at, name)
	}
}

func (k *checker) acme(a *ACME, at report.Path) {
	if email := at.Key("email"); k.Good(email) {
		local, domain, found := strings.Cut(a.Email, "@")
		if !found || local == "" || domain == "" || strings.ContainsAny(a.Email, " ,<>\t\r\n") {
			k.Reject(email, "is not an address such as ops@example.com")
		}
	}
	if directory := at.Key("directory"); k.Good(directory) {
		if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
			k.Reject(directory, "is not a URL with https")
		}
	}
	k.file(at.Key("root_ca"), &a.RootCA)
	if k.file(at.Key("cache"), &a.Cache); a.Cache == "" {
		a.Cache = filepath.Join(k.config.StateDir, "acme")
	}
	k.list(at.Key("hosts"), a.Hosts, func(name *string) (wrong string) {
		if *name, wrong = spelling.Host(*name); wrong != "" {
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
		k.eab(a.EAB, at.Key("eab"))
	}
}

// eab checks an external account binding and reads its key.
func (k *checker) eab(e *EAB, at report.Path) {
	k.text(at.Key("key_id"), e.KeyID)
	key, file := at.Key("hmac_key"), at.Key("hmac_key_file")
	switch {
	case k.Has(key) && k.Has(file):
		k.Fail(file, "the key is given as 'hmac_key' too, at %s", k.Where(key))
		return
	case k.Has(file):
		key = file
		if k.resolve(file, &e.HMACKeyFile); !k.Good(file) {
			return
		}
		text, ok := k.secret(file, e.HMACKeyFile)
		if !ok {
			return
		}
		e.HMACKey = strings.TrimSpace(text)
	case !k.Has(key):
		k.Fail(at, "no hmac_key: give it, or 'hmac_key_file'")
		return
	}
	decoded, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(e.HMACKey, "="))
	switch {
	case !k.Good(key):
	case err != nil || len(decoded) == 0 || strings.ContainsAny(e.HMACKey, "\r\n"): // which decoding passes over
		k.Fail(key, "the key is not base64url, as CAs give it out")
	}
	e.Key = decoded
}
