package localca

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
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

func open(t *testing.T, dir string, now time.Time, names ...string) *Issuer {
	t.Helper()
	i, err := Open(dir, names, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// leaf returns the certificate that a client gets.
func leaf(t *testing.T, i *Issuer) *tls.Certificate {
	t.Helper()
	c, err := i.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRootPermitsLocalNamesAndThoseAskedFor(t *testing.T) {
	tests := []struct {
		configured, issued string // issued: a name that the key of the root is misused for
		ok                 bool
	}{
		{configured: "localhost", issued: "localhost", ok: true},
		{configured: "localhost", issued: "app.localhost", ok: true},
		{configured: "localhost", issued: "chat.test", ok: true},
		{configured: "localhost", issued: "db.internal", ok: true},
		{configured: "localhost", issued: "127.8.8.8", ok: true},
		{configured: "localhost", issued: "192.168.1.5", ok: true},
		{configured: "localhost", issued: "fd00::1", ok: true},
		{configured: "localhost", issued: "bank.example.com"},
		{configured: "localhost", issued: "notlocalhost"},
		{configured: "localhost", issued: "8.8.8.8"},
		{configured: "localhost", issued: "2001:db8::1"},
		{configured: "chat.example.com", issued: "chat.example.com", ok: true},
		{configured: "chat.example.com", issued: "localhost", ok: true},
		{configured: "chat.example.com", issued: "bank.example.com"},
		{configured: "*.example.com", issued: "chat.example.com", ok: true},
		{configured: "203.0.113.9", issued: "203.0.113.9", ok: true},
		{configured: "203.0.113.9", issued: "203.0.113.8"},
		{configured: "2001:db8::9", issued: "2001:db8::9", ok: true},
		{configured: "2001:db8::9", issued: "2001:db8::8"},
	}
	for _, tt := range tests {
		t.Run(tt.configured+" then "+tt.issued, func(t *testing.T) {
			i := open(t, t.TempDir(), time.Now(), tt.configured)
			c, err := i.ca.issue([]string{tt.issued}, time.Now(), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Leaf.Verify(x509.VerifyOptions{DNSName: tt.issued, Roots: readPool(t, i.RootFile())})
			if (err == nil) != tt.ok {
				t.Errorf("Verify = %v; want success: %v", err, tt.ok)
			}
		})
	}
}

func TestCAOutlivesTheIssuer(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	first := open(t, dir, now, "localhost")
	trusted := readPool(t, first.RootFile())
	verify := func(s *Issuer, name string) error {
		_, err := leaf(t, s).Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: trusted})
		return err
	}
	again := open(t, dir, now, "localhost", "10.0.0.1")
	if !again.ca.root.Equal(first.ca.root) {
		t.Error("a second issuer made a second root")
	}
	wider := open(t, dir, now, "localhost", "chat.example.com")
	if err := verify(wider, "localhost"); err == nil {
		t.Error("a leaf with a name that the trusted root excludes must not verify against it")
	}
	trusted = readPool(t, wider.RootFile())
	for _, name := range []string{"localhost", "chat.example.com"} {
		if err := verify(wider, name); err != nil {
			t.Errorf("%s with the wider root: %v", name, err)
		}
	}
	if err := verify(first, "localhost"); err != nil {
		t.Errorf("a leaf from before with the wider root: %v", err)
	}
	if kept := open(t, dir, now, "localhost"); !kept.ca.root.Equal(wider.ca.root) {
		t.Error("a name less made a new root")
	}
	late := open(t, dir, now.Add(rootLife-rootReserve), "localhost")
	if late.ca.root.Equal(wider.ca.root) || len(late.ca.unpermitted([]string{"chat.example.com"})) > 0 {
		t.Error("a root near its end must be followed by one that permits as much")
	}
}

func TestCAFilesArePrivate(t *testing.T) {
	state := filepath.Join(t.TempDir(), "not", "there", "yet")
	s := open(t, state, time.Now(), "localhost")
	for file, want := range map[string]os.FileMode{
		"ca":           0o700 | os.ModeDir,
		"ca/1":         0o700 | os.ModeDir,
		"ca/1/key.pem": 0o600,
	} {
		info, err := os.Stat(filepath.Join(state, file))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", file, info.Mode(), want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(state, "ca", "new-*")); len(left) > 0 {
		t.Errorf("%v left behind", left)
	}
	name := s.ca.root.Subject.CommonName
	if !strings.HasPrefix(name, "sluice local CA (") || !strings.HasSuffix(name, time.Now().Format(", 2006-01-02)")) {
		t.Errorf("the root is called %q", name)
	}
	if err := os.Chmod(filepath.Join(state, "ca", "1", "key.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	if s.Exposed() || !open(t, state, time.Now(), "localhost").Exposed() {
		t.Error("Exposed must follow the mode of the key file")
	}
}

func TestLostRootCopyIsRestored(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir, time.Now(), "localhost")
	if err := os.Remove(first.RootFile()); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, time.Now(), "localhost")
	if !readPool(t, again.RootFile()).Equal(readPool(t, filepath.Join(dir, "ca", "1", "root.pem"))) {
		t.Error("the copy differs from the root")
	}
}

func TestIssuersThatOpenTogetherAgreeOnOneRoot(t *testing.T) {
	dir := t.TempDir()
	names := [][]string{{"localhost"}, {"localhost", "a.example.com"}, {"localhost", "b.example.com"}}
	issuers := make([]*Issuer, 12)
	errs := make([]error, len(issuers))
	var wg sync.WaitGroup
	for i := range issuers {
		wg.Go(func() { issuers[i], errs[i] = Open(dir, names[i%3], time.Now) })
	}
	wg.Wait()
	newest := open(t, dir, time.Now(), "localhost", "a.example.com", "b.example.com")
	for i, s := range issuers {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if !s.ca.key.Equal(newest.ca.key) {
			t.Errorf("issuer %d has a key of its own", i)
		}
		for _, name := range s.names {
			if _, err := leaf(t, s).Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: readPool(t, newest.RootFile())}); err != nil {
				t.Errorf("issuer %d: %s: %v", i, name, err)
			}
		}
	}
}

func TestLeafIsRenewedInTime(t *testing.T) {
	start := time.Now().Truncate(time.Second)
	now := start
	s, err := Open(t.TempDir(), []string{"localhost", "127.0.0.1"}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	first := leaf(t, s)
	if c := first.Leaf; c.IsCA || !slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) ||
		!slices.Equal(c.DNSNames, []string{"localhost"}) || !c.IPAddresses[0].Equal(net.IPv4(127, 0, 0, 1)) ||
		!c.NotAfter.Equal(start.Add(leafLife)) || !c.NotBefore.Equal(start.Add(-backdate)) {
		t.Errorf("unexpected leaf %+v", c)
	}
	tests := []struct {
		name  string
		age   time.Duration
		renew bool
	}{
		{name: "new", age: 0},
		{name: "more than a third left", age: leafLife*2/3 - time.Second},
		{name: "a third left", age: leafLife * 2 / 3, renew: true},
		{name: "long after the end", age: 3 * leafLife, renew: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now = start.Add(tt.age)
			next := leaf(t, s)
			if renewed := next != first; renewed != tt.renew {
				t.Errorf("renewed = %v, want %v", renewed, tt.renew)
			}
			if now.After(next.Leaf.NotAfter) {
				t.Error("the leaf has expired")
			}
		})
	}
}
