package tlsconf

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

func selfSigned(t *testing.T, dir string, now time.Time, old *Store, names ...string) *Store {
	t.Helper()
	s, err := New(Options{SelfSigned: names, StateDir: dir, Now: func() time.Time { return now }}, old)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// leaf returns the self-signed certificate a client gets.
func leaf(t *testing.T, s *Store) *tls.Certificate {
	t.Helper()
	c, err := s.Certificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRootPermitsLocalNamesAndThoseAskedFor(t *testing.T) {
	tests := []struct {
		configured, issued string // issued: a name the root's key is abused for
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
			s := selfSigned(t, t.TempDir(), time.Now(), nil, tt.configured)
			c, err := s.issued.ca.issue([]string{tt.issued}, time.Now(), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Leaf.Verify(x509.VerifyOptions{DNSName: tt.issued, Roots: readPool(t, s.RootFile())})
			if (err == nil) != tt.ok {
				t.Errorf("Verify = %v; want success: %v", err, tt.ok)
			}
		})
	}
}

func TestCAOutlivesTheStore(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	first := selfSigned(t, dir, now, nil, "localhost")
	trusted := readPool(t, first.RootFile())
	verify := func(s *Store, name string) error {
		_, err := leaf(t, s).Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: trusted})
		return err
	}
	again := selfSigned(t, dir, now, nil, "localhost", "10.0.0.1")
	if !again.issued.ca.root.Equal(first.issued.ca.root) {
		t.Error("a second store made a second root")
	}
	wider := selfSigned(t, dir, now, nil, "localhost", "chat.example.com")
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
	if kept := selfSigned(t, dir, now, nil, "localhost"); !kept.issued.ca.root.Equal(wider.issued.ca.root) {
		t.Error("a name less made a new root")
	}
	late := selfSigned(t, dir, now.Add(rootLife-rootReserve), nil, "localhost")
	if late.issued.ca.root.Equal(wider.issued.ca.root) || len(late.issued.ca.unpermitted([]string{"chat.example.com"})) > 0 {
		t.Error("a root near its end must be followed by one that permits as much")
	}
}

func TestCAFilesArePrivate(t *testing.T) {
	state := filepath.Join(t.TempDir(), "not", "there", "yet")
	s := selfSigned(t, state, time.Now(), nil, "localhost")
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
	name := s.issued.ca.root.Subject.CommonName
	if !strings.HasPrefix(name, "sluice local CA (") || !strings.HasSuffix(name, time.Now().Format(", 2006-01-02)")) {
		t.Errorf("the root is called %q", name)
	}
	if err := os.Chmod(filepath.Join(state, "ca", "1", "key.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	exposed := selfSigned(t, state, time.Now(), nil, "localhost")
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
		{name: "key of another", file: "key.pem", text: spec{}.keyPEM(), want: "does not match"},
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
		other := spec{names: []string{"a.test"}}
		for file, text := range map[string]string{"root.pem": other.certPEM(), "key.pem": other.keyPEM()} {
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

func TestLostRootCopyIsRestored(t *testing.T) {
	dir := t.TempDir()
	first := selfSigned(t, dir, time.Now(), nil, "localhost")
	if err := os.Remove(first.RootFile()); err != nil {
		t.Fatal(err)
	}
	again := selfSigned(t, dir, time.Now(), nil, "localhost")
	if !readPool(t, again.RootFile()).Equal(readPool(t, filepath.Join(dir, "ca", "1", "root.pem"))) {
		t.Error("the copy differs from the root")
	}
}

func TestStoresThatStartTogetherAgreeOnOneRoot(t *testing.T) {
	dir := t.TempDir()
	names := [][]string{{"localhost"}, {"localhost", "a.example.com"}, {"localhost", "b.example.com"}}
	stores := make([]*Store, 12)
	errs := make([]error, len(stores))
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() { stores[i], errs[i] = New(Options{SelfSigned: names[i%3], StateDir: dir}, nil) })
	}
	wg.Wait()
	newest := selfSigned(t, dir, time.Now(), nil, "localhost", "a.example.com", "b.example.com")
	for i, s := range stores {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if !s.issued.ca.key.Equal(newest.issued.ca.key) {
			t.Errorf("store %d has a key of its own", i)
		}
		for _, name := range s.issued.list {
			if _, err := leaf(t, s).Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: readPool(t, newest.RootFile())}); err != nil {
				t.Errorf("store %d: %s: %v", i, name, err)
			}
		}
	}
}

func TestLeafIsRenewedInTime(t *testing.T) {
	start := time.Now().Truncate(time.Second)
	now := start
	s, err := New(Options{SelfSigned: []string{"localhost", "127.0.0.1"}, StateDir: t.TempDir(), Now: func() time.Time { return now }}, nil)
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
				if _, err := s.Certificate(hello("localhost", "", nil)); err != nil {
					t.Error(err)
				}
				s.Warnings()
				s.Names()
			}
		})
	}
	wg.Wait()
}
