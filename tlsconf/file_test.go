package tlsconf

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMistakesInFilesAreNamed(t *testing.T) {
	good := spec{names: []string{"a.test"}}
	cert, key := good.certPEM(), good.keyPEM()
	//lint:ignore SA1019 such keys are still around, and must be refused with reason
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
		{name: "a request in place of a certificate", cert: block("CERTIFICATE REQUEST", []byte{1}), key: key,
			want: []string{"certificate CERT:1: a block \"CERTIFICATE REQUEST\" does not belong in this file: it asks a CA"}},
		{name: "parameters in place of a key", cert: cert, key: block("EC PARAMETERS", []byte{1}),
			want: []string{"key KEY: holds no private key"}},
		{name: "damaged certificate", cert: cert + block("CERTIFICATE", []byte("junk")), key: key,
			want: []string{"certificate CERT:10: number 2 of the certificates cannot be read: x509: malformed certificate"}},
		{name: "damaged key", cert: cert, key: block("PRIVATE KEY", []byte("junk")),
			want: []string{"certificate CERT with key KEY: tls: failed to parse private key"}},
		{name: "encrypted key", cert: cert, key: block("ENCRYPTED PRIVATE KEY", []byte{1}),
			want: []string{"key KEY:1: is encrypted"}},
		{name: "encrypted key in the old format", cert: cert, key: string(pem.EncodeToMemory(legacy)),
			want: []string{"key KEY:1: is encrypted"}},
		{name: "key of another certificate", cert: cert, key: spec{key: "other"}.keyPEM(),
			want: []string{"certificate CERT with key KEY: tls: private key does not match public key"}},
		{name: "key of another kind", cert: cert, key: spec{key: "rsa"}.keyPEM(),
			want: []string{"certificate CERT with key KEY: tls: private key type does not match public key type"}},
		{name: "intermediate before the certificate", cert: spec{key: "other"}.certPEM() + cert, key: key,
			want: []string{"certificate CERT with key KEY: the certificate that belongs to the key must be the first in the file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := writePair(t, "site", tt.cert, tt.key)
			f.Option = "tls.certificates[1]"
			_, err := New(Options{Files: []File{good.write(t, "good"), f}}, nil)
			mistakes := unjoin(err)
			if len(mistakes) != len(tt.want) {
				t.Fatalf("New = %v; want %d mistakes", err, len(tt.want))
			}
			for i, want := range tt.want {
				want = strings.NewReplacer("CERT:", f.Cert+":", "CERT ", f.Cert+" ", "KEY:", f.Key+":").Replace(want)
				var fileErr *FileError
				if !errors.As(mistakes[i], &fileErr) || !strings.HasPrefix(fileErr.Option, f.Option) || !strings.HasPrefix(fileErr.Error(), want) {
					t.Errorf("mistake %d = %v; want a FileError of %s that starts with %q", i, mistakes[i], f.Option, want)
				}
			}
		})
	}
}

func block(kind string, bytes []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}))
}

func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return nil
}

func TestMissingFilesAndBadNamesAreAllReported(t *testing.T) {
	dir := t.TempDir()
	_, err := New(Options{
		Files: []File{
			{Cert: filepath.Join(dir, "a.pem"), Key: filepath.Join(dir, "a.key")},
			{Cert: dir, Key: spec{}.write(t, "b").Key},
		},
		SelfSigned: []string{"localhost", "not a name", "*.*.test", "fe80::1%eth0", "-a.test", "a..test"},
		StateDir:   dir,
	}, nil)
	for _, want := range []string{
		"certificate " + filepath.Join(dir, "a.pem") + ": no such file or directory",
		"key " + filepath.Join(dir, "a.key") + ": no such file or directory",
		"certificate " + dir + ": is a directory",
		`self-signed name "not a name": neither`,
		`self-signed name "*.*.test": neither`,
		`self-signed name "fe80::1%eth0": a certificate cannot hold an address with a zone`,
		`self-signed name "-a.test": neither`,
		`self-signed name "a..test": neither`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v\nwant it to hold %q", err, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	now := time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	first := spec{names: []string{"first.test", "*.first.test"}, notAfter: now.Add(100 * day)}
	tests := []struct {
		name string
		spec spec
		mode os.FileMode // of the key, 0 means 0600
		want string      // "" means none
	}{
		{name: "fine", spec: spec{names: []string{"a.test"}, notAfter: now.Add(15 * day)}},
		{name: "expired", spec: spec{names: []string{"a.test"}, notAfter: now.Add(-day)}, want: "certificate CERT: expired on 2030-05-31"},
		{name: "about to expire", spec: spec{names: []string{"a.test"}, notAfter: now.Add(13 * day)}, want: "certificate CERT: expires on 2030-06-14"},
		{name: "not valid yet", spec: spec{names: []string{"a.test"}, notBefore: now.Add(day), notAfter: now.Add(90 * day)}, want: "certificate CERT: not valid before 2030-06-02T12:00:00Z"},
		{name: "no names", spec: spec{notAfter: now.Add(90 * day)}, want: "certificate CERT: has no subject alternative names, so no client accepts it"},
		{name: "names of an earlier one", spec: spec{names: []string{"first.test"}, notAfter: now.Add(90 * day)}, want: "certificate CERT: never used; those listed before it have all its names and the same kind of key"},
		{name: "names of an earlier one, other kind of key", spec: spec{key: "rsa", names: []string{"first.test"}, notAfter: now.Add(90 * day)}},
		{name: "one more name than an earlier one", spec: spec{names: []string{"first.test", "b.test"}, notAfter: now.Add(90 * day)}},
		{name: "key for everybody", spec: spec{names: []string{"a.test"}, notAfter: now.Add(90 * day)}, mode: 0o644, want: "key KEY: every user of this machine can read it; use chmod 600"},
		{name: "key for a group", spec: spec{names: []string{"a.test"}, notAfter: now.Add(90 * day)}, mode: 0o640},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.spec.write(t, "site")
			if tt.mode != 0 {
				if err := os.Chmod(f.Key, tt.mode); err != nil {
					t.Fatal(err)
				}
			}
			s, err := New(Options{Files: []File{first.write(t, "first"), f}, Now: func() time.Time { return now }}, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.NewReplacer("CERT", f.Cert, "KEY", f.Key).Replace(tt.want)
			if got := strings.Join(s.Warnings(), "\n"); got != want {
				t.Errorf("Warnings = %q, want %q", got, want)
			}
		})
	}
}
