package tlsconf

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// clientCA is an authority for clients that can revoke.
type clientCA struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newClientCA(name string) clientCA {
	key := testKey["other"]()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, SubjectKeyId: []byte(name),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCRLSign | x509.KeyUsageCertSign,
	}
	return clientCA{must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)))), key}
}

// revoke returns a list in DER.
func (ca clientCA) revoke(serials ...int64) []byte {
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
	for _, n := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: time.Now()})
	}
	return must(x509.CreateRevocationList(rand.Reader, list, ca.cert, ca.key))
}

// in writes text to a file of the test.
func in(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "f.pem")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRevocationListsAreReadWholeOrRefused(t *testing.T) {
	ca := newClientCA("clients")
	authority := block("CERTIFICATE", ca.cert.Raw)
	first, second := ca.revoke(10), ca.revoke(20)
	one, two := block("X509 CRL", first), block("X509 CRL", second)
	tests := []struct{ name, crl, want string }{
		{"two lists", one + two, ""},
		{"byte order mark", "\ufeff" + one + two, ""},
		{"CRLF and text", "Certificate Revocation List (CRL):\r\n" + strings.ReplaceAll(one+two, "\n", "\r\n"), ""},
		{"two DER lists", string(first) + string(second), ""},
		{"END and BEGIN on one line", strings.TrimSuffix(one, "\n") + two, ":"},
		{"a bad byte", one + strings.Replace(two, "\nMI", "\nM!", 1), ": not base64"},
		{"no END", one + strings.Replace(two, "-----END X509 CRL-----\n", "", 1), ": this block has no end"},
		{"a certificate beside it", one + two + authority, `: a block "CERTIFICATE" does not belong in this file`},
		{"another name for the second", one + block("CRL", second), `: a block "CRL" does not belong in this file`},
		{"two lists in one block", block("X509 CRL", slices.Concat(first, second)), ":1: this revocation list cannot be read: something follows it in its block"},
		{"something behind DER", string(first) + string(second) + "\n", "number 3 of the DER lists cannot be read"},
		{"DER that is cut", string(first) + string(second[:len(second)-1]), "number 2 of the DER lists cannot be read"},
		{"empty", "", ": not a PEM file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			crl := in(t, tt.crl)
			c, err := loadClientAuth(ClientAuth{CA: in(t, authority), CRL: crl})
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				for _, serial := range []int64{10, 20} {
					if !c.isRevoked([]*x509.Certificate{{RawIssuer: ca.cert.RawSubject, SerialNumber: big.NewInt(serial)}}) {
						t.Errorf("serial %d is not revoked", serial)
					}
				}
				return
			}
			f, ok := errors.AsType[*FileError](err)
			if !ok || f.Option != "tls.client_auth.crl" || !strings.HasPrefix(err.Error(), "revocation list "+crl+":") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("loadClientAuth = %v; want a FileError that names %s and holds %q", err, crl, tt.want)
			}
		})
	}
}

func TestAuthoritiesAreReadWholeOrRefused(t *testing.T) {
	one, two := block("CERTIFICATE", newClientCA("one").cert.Raw), block("CERTIFICATE", newClientCA("two").cert.Raw)
	tests := []struct{ name, in, want string }{
		{"two", one + "two\n===\n" + two, ""},
		{"byte order mark", "\ufeff" + one + two, ""},
		{"END and BEGIN on one line", strings.TrimSuffix(one, "\n") + two, "is not ended"},
		{"one that is none", one + block("CERTIFICATE", []byte("junk")), "number 2 of the certificates cannot be read"},
		{"one in OpenSSL's own form", one + block("TRUSTED CERTIFICATE", []byte("junk")), "openssl x509"},
		{"a key", one + two + spec{}.keyPEM(), "a block \"PRIVATE KEY\" does not belong in this file"},
		{"a revocation list", one + two + block("X509 CRL", []byte("junk")), "a block \"X509 CRL\" does not belong in this file"},
		{"nothing", "\n", "not a PEM file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all, err := Authorities(in(t, tt.in))
			if tt.want == "" && (err != nil || len(all) != 2) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Authorities = %d certificates, %v; want 2 or an error that holds %q", len(all), err, tt.want)
			}
			if _, err := newTransport(in(t, tt.in)); (err != nil) != (tt.want != "") {
				t.Errorf("newTransport = %v", err)
			}
		})
	}
}

func TestTheSystemsAuthoritiesAreRead(t *testing.T) {
	const bundle = "/etc/ssl/certs/ca-certificates.crt"
	text, err := os.ReadFile(bundle)
	if err != nil {
		t.Skip(err)
	}
	all, err := Authorities(bundle)
	if want := strings.Count(string(text), "-----BEGIN"); err != nil || len(all) != want {
		t.Errorf("Authorities(%s) = %d certificates, %v; want %d", bundle, len(all), err, want)
	}
}

func TestKeyPairsAreReadWholeOrRefused(t *testing.T) {
	cert, key := spec{}.certPEM(), spec{}.keyPEM()
	intermediate := block("CERTIFICATE", newClientCA("intermediate").cert.Raw)
	parameters := block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7})
	both := cert + intermediate + parameters + key + block("DH PARAMETERS", []byte{1})
	tests := []struct {
		name, cert, key string
		chain           int    // that comes of it
		want            string // else
	}{
		{"chain", cert + intermediate, key, 2, ""},
		{"all in one file", both, both, 2, ""},
		{"parameters before the key", cert, parameters + key, 1, ""},
		{"byte order marks", "\ufeff" + cert + intermediate, "\ufeff" + key, 2, ""},
		{"END and BEGIN on one line", strings.TrimSuffix(cert, "\n") + intermediate, key, 0, "is not ended"},
		{"an intermediate with a bad byte", cert + strings.Replace(intermediate, "\nMI", "\nM\x80", 1), key, 0, "not base64"},
		{"an intermediate of another name", cert + block("X509 CERTIFICATE", []byte{1}), key, 0, "'-----BEGIN CERTIFICATE-----' is the name of today"},
		{"a revocation list in the chain", cert + block("X509 CRL", []byte{1}), key, 0, "does not belong in this file"},
		{"two keys", cert, key + key, 0, "a second private key, after the one at line 1"},
		{"a key of OpenSSH", cert, block("OPENSSH PRIVATE KEY", []byte{1}), 0, "ssh-keygen"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := File{Cert: in(t, tt.cert), Key: in(t, tt.key)}
			c, mistakes := LoadKeyPair(f)
			err := errors.Join(mistakes...)
			if len(c.Certificate) != tt.chain || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("LoadKeyPair = %d certificates, %v; want %d, %q", len(c.Certificate), err, tt.chain, tt.want)
			}
		})
	}
}

// An entry of the cache that is damaged is as good as none: with half a chain
// clients would fail until the next renewal.
func TestDamagedCacheEntriesAreNotUsed(t *testing.T) {
	s := spec{names: []string{"a.test"}}
	entry := s.keyPEM() + s.certPEM() + block("CERTIFICATE", newClientCA("intermediate").cert.Raw)
	a := &account{cache: must(openCache(t.TempDir())), now: time.Now, names: make(map[string]*name)}
	for _, tt := range []struct {
		name, entry string
		miss        bool
	}{
		{"whole", entry, false},
		{"bad byte in the intermediate", entry[:len(entry)-60] + "!" + entry[len(entry)-59:], true},
	} {
		if err := a.cache.Put(t.Context(), "a.test", []byte(tt.entry)); err != nil {
			t.Fatal(err)
		}
		a.names = make(map[string]*name)
		good, err := a.fromCache(t.Context(), "a.test")
		if err != nil || good == tt.miss || (a.name("a.test").certificate == nil) != tt.miss {
			t.Errorf("%s: fromCache = %t, %v; want a miss: %t", tt.name, good, err, tt.miss)
		}
	}
}
