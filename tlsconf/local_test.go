package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/wstest/certtest"
)

func readPool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no certificate", file)
	}
	return pool
}

func selfSigned(t *testing.T, dir string, now time.Time, old *Store, names ...string) *Store {
	t.Helper()
	s, err := New(Options{SelfSigned: names, StateDir: dir, Now: func() time.Time { return now }}, old)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// leaf returns the certificate of the local CA that a client gets.
func leaf(t *testing.T, s *Store) *tls.Certificate {
	t.Helper()
	c, err := s.pick(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestExposedKeyOfTheLocalCAIsWarnedOf(t *testing.T) {
	dir := t.TempDir()
	if w := selfSigned(t, dir, time.Now(), nil, "localhost").Warnings(); len(w) != 0 {
		t.Errorf("Warnings = %q, want none", w)
	}
	if err := os.Chmod(filepath.Join(dir, "ca", "1", "key.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	exposed := selfSigned(t, dir, time.Now(), nil, "localhost")
	if w := exposed.Warnings(); len(w) != 1 || !strings.Contains(w[0], "local CA's key can be read by every user") {
		t.Errorf("Warnings = %q", w)
	}
}

func TestDamagedCAIsReported(t *testing.T) {
	tests := []struct {
		name, file, text, want string
	}{
		{name: "root is not PEM", file: "root.pem", text: "x", want: "root.pem: not a PEM file"},
		{name: "key is not PEM", file: "key.pem", text: "x", want: "key.pem: not a PEM file"},
		{name: "key of another", file: "key.pem", text: certtest.Spec{}.KeyPEM(), want: "does not match"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			selfSigned(t, dir, time.Now(), nil, "localhost")
			if err := os.WriteFile(filepath.Join(dir, "ca", "1", tt.file), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := New(Options{SelfSigned: []string{"localhost"}, StateDir: dir}, nil)
			if err == nil || !strings.HasPrefix(err.Error(), "local CA: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %v; want %q", err, tt.want)
			}
		})
	}
	t.Run("not a CA", func(t *testing.T) {
		dir := t.TempDir()
		selfSigned(t, dir, time.Now(), nil, "localhost")
		other := certtest.Spec{Names: []string{"a.test"}}
		for file, text := range map[string]string{"root.pem": other.CertPEM(), "key.pem": other.KeyPEM()} {
			if err := os.WriteFile(filepath.Join(dir, "ca", "1", file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := New(Options{SelfSigned: []string{"localhost"}, StateDir: dir}, nil); err == nil {
			t.Error("New took a certificate that is no CA's")
		}
	})
	t.Run("state directory is a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "state")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Options{SelfSigned: []string{"localhost"}, StateDir: file}, nil); err == nil {
			t.Error("New kept a CA in a file")
		}
	})
}

func TestReloadKeepsTheLeafForTheSameNames(t *testing.T) {
	tests := []struct {
		name  string
		names []string
		dir   string // "" means the same
		keep  bool
	}{
		{name: "same", names: []string{"localhost", "a.test"}, keep: true},
		{name: "other spelling", names: []string{"LOCALHOST", "a.test", "localhost"}, keep: true},
		{name: "other names", names: []string{"localhost"}},
		{name: "other CA", names: []string{"localhost", "a.test"}, dir: t.TempDir()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			old := selfSigned(t, dir, time.Now(), nil, "localhost", "a.test")
			before := leaf(t, old)
			if tt.dir != "" {
				dir = tt.dir
			}
			if kept := leaf(t, selfSigned(t, dir, time.Now(), old, tt.names...)) == before; kept != tt.keep {
				t.Errorf("kept = %v, want %v", kept, tt.keep)
			}
		})
	}
	t.Run("old store without self-signed names", func(t *testing.T) {
		old, err := New(Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		selfSigned(t, t.TempDir(), time.Now(), old, "localhost")
	})
}

func TestHandshakesShareTheStore(t *testing.T) {
	s := selfSigned(t, t.TempDir(), time.Now(), nil, "localhost")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := s.pick(hello("localhost", "", nil)); err != nil {
					t.Error(err)
				}
				s.Warnings()
				s.Names()
			}
		})
	}
	wg.Wait()
}
