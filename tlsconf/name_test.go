package tlsconf

import (
	"crypto/x509"
	"testing"
	"time"
)

// FuzzParseName: a name that is taken reads the same again, and a certificate
// for it verifies.
func FuzzParseName(f *testing.F) {
	for _, seed := range []string{"localhost", "*.Example.com", "127.0.0.1", "::ffff:10.0.0.1", "[::1]", "fe80::1%lo", "a_b.test", "xn--caf-dma.test", "a..b", "-", "*", "*.", "1.2.3"} {
		f.Add(seed)
	}
	ca, err := (*authority)(nil).next(nil, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := parseName(text)
		if err != nil {
			return
		}
		if again, err := parseName(name); err != nil || again != name {
			t.Fatalf("parseName(%q) = %q, which reads as %q, %v", text, name, again, err)
		}
		wider, err := ca.next([]string{name}, time.Now())
		if err != nil {
			t.Fatalf("root for %q: %v", name, err)
		}
		c, err := wider.issue([]string{name}, time.Now(), time.Hour)
		if err != nil {
			t.Fatalf("leaf for %q: %v", name, err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(wider.root)
		if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots}); err != nil {
			t.Fatalf("leaf for %q: %v", name, err)
		}
	})
}
