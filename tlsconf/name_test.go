package tlsconf

import (
	"crypto/x509"
	"testing"
	"time"

	"sluice/tlsconf/localca"
)

// FuzzParseName checks that a name that is accepted parses to itself, and that the
// local CA issues a certificate for it that verifies.
func FuzzParseName(f *testing.F) {
	for _, seed := range []string{"localhost", "*.Example.com", "127.0.0.1", "::ffff:10.0.0.1", "[::1]", "fe80::1%lo", "a_b.test", "xn--caf-dma.test", "a..b", "-", "*", "*.", "1.2.3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := parseName(text)
		if err != nil {
			return
		}
		if again, err := parseName(name); err != nil || again != name {
			t.Fatalf("parseName(%q) = %q, which reads as %q, %v", text, name, again, err)
		}
		ca, err := localca.Open(t.TempDir(), []string{name}, time.Now)
		if err != nil {
			t.Fatalf("local CA for %q: %v", name, err)
		}
		c, err := ca.Certificate()
		if err != nil {
			t.Fatalf("leaf for %q: %v", name, err)
		}
		if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: readPool(t, ca.RootFile())}); err != nil {
			t.Fatalf("leaf for %q: %v", name, err)
		}
	})
}
