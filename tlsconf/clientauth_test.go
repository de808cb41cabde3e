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

	"sluice/internal/wstest/certtest"
	"sluice/tlsconf/certfile"
)

// clientCA is an authority for clients that can make revocation lists.
type clientCA struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newClientCA(name string) clientCA {
	key := certtest.Key("other")
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, SubjectKeyId: []byte(name),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCRLSign | x509.KeyUsageCertSign,
	}
	return clientCA{certtest.Must(x509.ParseCertificate(certtest.Must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)))), key}
}

// revoke returns a revocation list in DER.
func (ca clientCA) revoke(serials ...int64) []byte {
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
	for _, n := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: time.Now()})
	}
	return certtest.Must(x509.CreateRevocationList(rand.Reader, list, ca.cert, ca.key))
}

func TestRevocationListsAreReadWholeOrRefused(t *testing.T) {
	ca := newClientCA("clients")
	authority := certtest.Block("CERTIFICATE", ca.cert.Raw)
	first, second := ca.revoke(10), ca.revoke(20)
	one, two := certtest.Block("X509 CRL", first), certtest.Block("X509 CRL", second)
	tests := []struct{ name, crl, want string }{
		{"two lists", one + two, ""},
		{"byte order mark", "\ufeff" + one + two, ""},
		{"CRLF and text", "Certificate Revocation List (CRL):\r\n" + strings.ReplaceAll(one+two, "\n", "\r\n"), ""},
		{"two DER lists", string(first) + string(second), ""},
		{"END and BEGIN on one line", strings.TrimSuffix(one, "\n") + two, ":"},
		{"a bad byte", one + strings.Replace(two, "\nMI", "\nM!", 1), ": not base64"},
		{"no END", one + strings.Replace(two, "-----END X509 CRL-----\n", "", 1), ": this block has no end"},
		{"a certificate beside it", one + two + authority, `: a block "CERTIFICATE" does not belong in this file`},
		{"another name for the second", one + certtest.Block("CRL", second), `: a block "CRL" does not belong in this file`},
		{"two lists in one block", certtest.Block("X509 CRL", slices.Concat(first, second)), ":1: this revocation list cannot be read: something follows it in its block"},
		{"something behind DER", string(first) + string(second) + "\n", "number 3 of the DER lists cannot be read"},
		{"DER that is cut", string(first) + string(second[:len(second)-1]), "number 2 of the DER lists cannot be read"},
		{"empty", "", ": not a PEM file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			crl := certtest.File(t, tt.crl)
			c, err := loadClientAuth(ClientAuth{CA: certtest.File(t, authority), CRL: crl})
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
			f, ok := errors.AsType[*certfile.Error](err)
			if !ok || f.Option != "tls.client_auth.crl" || !strings.HasPrefix(err.Error(), "revocation list "+crl+":") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("loadClientAuth = %v; want a certfile.Error that names %s and holds %q", err, crl, tt.want)
			}
		})
	}
}

func TestClientAuthMistakes(t *testing.T) {
	cert := write(t, certtest.Spec{Names: []string{"a.test"}}, "clients")
	dir := t.TempDir()
	none := filepath.Join(dir, "none.pem")
	junk := filepath.Join(dir, "junk.crl")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		o    ClientAuth
		want string
	}{
		{"no file", ClientAuth{CA: none}, "client authorities " + none + ": no such file or directory"},
		{"a key", ClientAuth{CA: cert.Key}, "client authorities " + cert.Key + ":1: a block \"PRIVATE KEY\" does not belong in this file"},
		{"no list", ClientAuth{CA: cert.Cert, CRL: none}, "revocation list " + none + ": no such file"},
		{"junk for a list", ClientAuth{CA: cert.Cert, CRL: junk}, "revocation list " + junk + ": not a PEM file"},
	}
	for _, tt := range tests {
		if _, err := New(Options{ClientAuth: &tt.o}, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: New = %v, want %q", tt.name, err, tt.want)
		}
	}
}
