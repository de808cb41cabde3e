package certfile

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"sluice/internal/wstest/certtest"
)

func TestMistakesInFilesAreNamed(t *testing.T) {
	good := certtest.Spec{Names: []string{"a.test"}}
	cert, key := good.CertPEM(), good.KeyPEM()
	//lint:ignore SA1019 such keys still exist, and must be refused with a reason
	legacy, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", []byte("0123456789abcdef"), []byte("secret"), x509.PEMCipherAES128)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, cert, key string
		want            []string // one part of each mistake, in order
	}{
		{name: "good", cert: cert, key: key},
		{name: "both in one text", cert: key + cert, key: cert + key},
		{name: "text around the blocks", cert: "Subject: a\n" + cert, key: "EC parameters\n" + key},
		{name: "certificate is not PEM", cert: "hello", key: key, want: []string{"certificate CERT: not a PEM file"}},
		{name: "key is not PEM", cert: cert, key: "", want: []string{"key KEY: not a PEM file"}},
		{name: "both wrong", cert: "", key: "", want: []string{"certificate CERT: not a PEM file", "key KEY: not a PEM file"}},
		{name: "swapped", cert: key, key: cert, want: []string{
			"certificate CERT: holds a private key and no certificate; are cert and key swapped?",
			"key KEY: holds a certificate and no private key; are cert and key swapped?",
		}},
		{name: "a request in place of a certificate", cert: certtest.Block("CERTIFICATE REQUEST", []byte{1}), key: key,
			want: []string{"certificate CERT:1: a block \"CERTIFICATE REQUEST\" does not belong in this file: it asks a CA"}},
		{name: "parameters in place of a key", cert: cert, key: certtest.Block("EC PARAMETERS", []byte{1}),
			want: []string{"key KEY: holds no private key"}},
		{name: "damaged certificate", cert: cert + certtest.Block("CERTIFICATE", []byte("junk")), key: key,
			want: []string{"certificate CERT:10: number 2 of the certificates cannot be read: x509: malformed certificate"}},
		{name: "damaged key", cert: cert, key: certtest.Block("PRIVATE KEY", []byte("junk")),
			want: []string{"certificate CERT with key KEY: tls: failed to parse private key"}},
		{name: "encrypted key", cert: cert, key: certtest.Block("ENCRYPTED PRIVATE KEY", []byte{1}),
			want: []string{"key KEY:1: is encrypted"}},
		{name: "encrypted key in the old format", cert: cert, key: string(pem.EncodeToMemory(legacy)),
			want: []string{"key KEY:1: is encrypted"}},
		{name: "key of another certificate", cert: cert, key: certtest.Spec{Key: "other"}.KeyPEM(),
			want: []string{"certificate CERT with key KEY: tls: private key does not match public key"}},
		{name: "key of another kind", cert: cert, key: certtest.Spec{Key: "rsa"}.KeyPEM(),
			want: []string{"certificate CERT with key KEY: tls: private key type does not match public key type"}},
		{name: "intermediate before the certificate", cert: certtest.Spec{Key: "other"}.CertPEM() + cert, key: key,
			want: []string{"certificate CERT with key KEY: the certificate that belongs to the key must be the first in the file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := File{Option: "tls.certificates[1]"}
			f.Cert, f.Key = certtest.WritePair(t, "site", tt.cert, tt.key)
			_, mistakes := LoadPair(f)
			if len(mistakes) != len(tt.want) {
				t.Fatalf("LoadPair = %v; want %d mistakes", mistakes, len(tt.want))
			}
			for i, want := range tt.want {
				want = strings.NewReplacer("CERT:", f.Cert+":", "CERT ", f.Cert+" ", "KEY:", f.Key+":").Replace(want)
				var fileErr *Error
				if !errors.As(mistakes[i], &fileErr) || !strings.HasPrefix(fileErr.Option, f.Option) || !strings.HasPrefix(fileErr.Error(), want) {
					t.Errorf("mistake %d = %v; want an Error of %s that starts with %q", i, mistakes[i], f.Option, want)
				}
			}
		})
	}
}

func TestKeyPairsAreReadWholeOrRefused(t *testing.T) {
	cert, key := certtest.Spec{}.CertPEM(), certtest.Spec{}.KeyPEM()
	intermediate := certtest.Block("CERTIFICATE", authority("intermediate"))
	parameters := certtest.Block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7})
	both := cert + intermediate + parameters + key + certtest.Block("DH PARAMETERS", []byte{1})
	tests := []struct {
		name, cert, key string
		chain           int    // length of the certificate that is returned
		want            string // part of the error, "" for none
	}{
		{"chain", cert + intermediate, key, 2, ""},
		{"all in one file", both, both, 2, ""},
		{"parameters before the key", cert, parameters + key, 1, ""},
		{"byte order marks", "\ufeff" + cert + intermediate, "\ufeff" + key, 2, ""},
		{"END and BEGIN on one line", strings.TrimSuffix(cert, "\n") + intermediate, key, 0, "is not ended"},
		{"an intermediate with a bad byte", cert + strings.Replace(intermediate, "\nMI", "\nM\x80", 1), key, 0, "not base64"},
		{"an intermediate of another name", cert + certtest.Block("X509 CERTIFICATE", []byte{1}), key, 0, "'-----BEGIN CERTIFICATE-----' is the name of today"},
		{"a revocation list in the chain", cert + certtest.Block("X509 CRL", []byte{1}), key, 0, "does not belong in this file"},
		{"two keys", cert, key + key, 0, "a second private key, after the one at line 1"},
		{"a key of OpenSSH", cert, certtest.Block("OPENSSH PRIVATE KEY", []byte{1}), 0, "ssh-keygen"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := File{Cert: certtest.File(t, tt.cert), Key: certtest.File(t, tt.key)}
			c, mistakes := LoadKeyPair(f)
			err := errors.Join(mistakes...)
			if len(c.Certificate) != tt.chain || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("LoadKeyPair = %d certificates, %v; want %d, %q", len(c.Certificate), err, tt.chain, tt.want)
			}
		})
	}
}

func TestErrorUnwraps(t *testing.T) {
	if err := (&Error{Err: fs.ErrNotExist}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v does not unwrap", err)
	}
}
