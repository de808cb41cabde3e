package acme

import (
	"net/http"
	"strings"
	"testing"

	"sluice/internal/wstest/certtest"
)

// account returns an Account whose cache is in a directory of the test.
func account(t *testing.T) *Account {
	t.Helper()
	a, err := New(Config{Directory: "https://ca.test/dir", Cache: t.TempDir()}, http.DefaultTransport, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A damaged entry of the cache is as good as none: with half a chain clients
// would fail until the next renewal.
func TestDamagedCacheEntriesAreNotUsed(t *testing.T) {
	s, other := certtest.Spec{Names: []string{"a.test"}}, certtest.Spec{Key: "other"}
	entry := s.KeyPEM() + s.CertPEM() + other.CertPEM()
	for _, tt := range []struct {
		name, entry string
		good        bool
	}{
		{"whole", entry, true},
		{"bad byte in the second certificate", entry[:len(entry)-60] + "!" + entry[len(entry)-59:], false},
		{"of another host", certtest.Spec{Names: []string{"b.test"}}.CertPEM() + s.KeyPEM(), false},
		{"of another key", s.CertPEM() + other.KeyPEM(), false},
		{"empty", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := account(t)
			if err := a.cache.Put(t.Context(), "a.test", []byte(tt.entry)); err != nil {
				t.Fatal(err)
			}
			if err := a.Load([]string{"a.test", "missing.test"}); err != nil {
				t.Fatal(err)
			}
			if got := a.Status("a.test").Certificate; (got != nil) != tt.good {
				t.Errorf("there is a certificate: %t, want %t", got != nil, tt.good)
			}
		})
	}
}

func TestRootCAIsReadWholeOrRefused(t *testing.T) {
	one, two := certtest.Spec{}.CertPEM(), certtest.Spec{Key: "other"}.CertPEM()
	for _, tt := range []struct{ name, text, want string }{
		{"two", one + two, ""},
		{"END and BEGIN on one line", strings.TrimSuffix(one, "\n") + two, "is not ended"},
		{"a key", one + certtest.Spec{}.KeyPEM(), "does not belong in this file"},
	} {
		_, err := newTransport(certtest.File(t, tt.text))
		if (err == nil) != (tt.want == "") || err != nil && (!strings.HasPrefix(err.Error(), "root_ca ") || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: newTransport = %v, want %q", tt.name, err, tt.want)
		}
	}
}
