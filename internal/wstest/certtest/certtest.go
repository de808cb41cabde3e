// Package certtest makes certificates, keys and PEM files with any property a
// test wants, mistakes among them. For a CA whose certificates verify, see
// package wstest.
package certtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Key returns a key that is the same for the whole process: "rsa", "ecdsa", or
// "other", which is ECDSA too.
func Key(kind string) crypto.Signer { return keys[kind]() }

// keys makes each key once, because RSA keys take long.
var keys = map[string]func() crypto.Signer{
	"rsa":   sync.OnceValue(func() crypto.Signer { return Must(rsa.GenerateKey(rand.Reader, 2048)) }),
	"ecdsa": sync.OnceValue(func() crypto.Signer { return Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }),
	"other": sync.OnceValue(func() crypto.Signer { return Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }),
}

// Must returns v, and panics on an error.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprint("certtest: ", err))
	}
	return v
}

// Spec describes a certificate to make, which its own key signs.
type Spec struct {
	Key       string   // as in [Key]; "" means "ecdsa"
	Names     []string // DNS names and IP addresses
	NotBefore time.Time
	NotAfter  time.Time // the zero time means a year from now
}

func (s Spec) signer() crypto.Signer {
	if s.Key == "" {
		s.Key = "ecdsa"
	}
	return Key(s.Key)
}

// CertPEM returns a new certificate.
func (s Spec) CertPEM() string {
	if s.NotAfter.IsZero() {
		s.NotAfter = time.Now().AddDate(1, 0, 0)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		NotBefore:    s.NotBefore,
		NotAfter:     s.NotAfter,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range s.Names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	key := s.signer()
	return Block("CERTIFICATE", Must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)))
}

// KeyPEM returns the key of the certificate.
func (s Spec) KeyPEM() string {
	return Block("PRIVATE KEY", Must(x509.MarshalPKCS8PrivateKey(s.signer())))
}

// Write writes the certificate and its key to base.pem and base.key in a
// directory of the test.
func (s Spec) Write(t testing.TB, base string) (cert, key string) {
	t.Helper()
	return WritePair(t, base, s.CertPEM(), s.KeyPEM())
}

// WritePair writes two texts to base.pem and base.key in a directory of the test.
func WritePair(t testing.TB, base, cert, key string) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, base+".pem"), filepath.Join(dir, base+".key")
	write(t, certFile, cert)
	write(t, keyFile, key)
	return certFile, keyFile
}

// File writes text to a file in a directory of the test.
func File(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "f.pem")
	write(t, file, text)
	return file
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Block returns a PEM block.
func Block(kind string, bytes []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}))
}
