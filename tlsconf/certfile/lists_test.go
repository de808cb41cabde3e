package certfile

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest/certtest"
)

// authority returns the certificate of a new CA, in DER.
func authority(name string) []byte {
	key := certtest.Key("other")
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	return certtest.Must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
}

func TestAuthoritiesAreReadWholeOrRefused(t *testing.T) {
	one, two := certtest.Block("CERTIFICATE", authority("one")), certtest.Block("CERTIFICATE", authority("two"))
	tests := []struct{ name, in, want string }{
		{"two", one + "two\n===\n" + two, ""},
		{"byte order mark", "\ufeff" + one + two, ""},
		{"END and BEGIN on one line", strings.TrimSuffix(one, "\n") + two, "is not ended"},
		{"one that is none", one + certtest.Block("CERTIFICATE", []byte("junk")), "number 2 of the certificates cannot be read"},
		{"one in OpenSSL's own form", one + certtest.Block("TRUSTED CERTIFICATE", []byte("junk")), "openssl x509"},
		{"a key", one + two + certtest.Spec{}.KeyPEM(), "a block \"PRIVATE KEY\" does not belong in this file"},
		{"a revocation list", one + two + certtest.Block("X509 CRL", []byte("junk")), "a block \"X509 CRL\" does not belong in this file"},
		{"nothing", "\n", "not a PEM file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all, err := Authorities(certtest.File(t, tt.in))
			if tt.want == "" && (err != nil || len(all) != 2) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Authorities = %d certificates, %v; want 2 or an error that holds %q", len(all), err, tt.want)
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
