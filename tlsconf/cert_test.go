package tlsconf

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// testKey makes RSA keys once, because they take long.
var testKey = map[string]func() crypto.Signer{
	"rsa":   sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) }),
	"ecdsa": sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }),
	"other": sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }),
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// spec describes a certificate to make for a test.
type spec struct {
	key       string // of testKey; "" means ecdsa
	names     []string
	notBefore time.Time
	notAfter  time.Time // zero means a year from now
}

// der makes the certificate, signed by its own key.
func (s spec) der() []byte {
	if s.notAfter.IsZero() {
		s.notAfter = time.Now().AddDate(1, 0, 0)
	}
	key := s.signer()
	dns, ips := split(s.names)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		NotBefore:    s.notBefore,
		NotAfter:     s.notAfter,
		DNSNames:     dns,
		IPAddresses:  ips,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	return must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
}

func (s spec) signer() crypto.Signer {
	if s.key == "" {
		s.key = "ecdsa"
	}
	return testKey[s.key]()
}

func (s spec) certPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.der()}))
}

func (s spec) keyPEM() string {
	der := must(x509.MarshalPKCS8PrivateKey(s.signer()))
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// write stores the pair as base.pem and base.key in a directory of the test.
func (s spec) write(t *testing.T, base string) File {
	t.Helper()
	return writePair(t, base, s.certPEM(), s.keyPEM())
}

func writePair(t *testing.T, base, cert, key string) File {
	t.Helper()
	dir := t.TempDir()
	f := File{Cert: filepath.Join(dir, base+".pem"), Key: filepath.Join(dir, base+".key")}
	for file, text := range map[string]string{f.Cert: cert, f.Key: key} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}
