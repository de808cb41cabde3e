package tlsconf

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// tended runs a Store in a bubble of fake time; the function returned tells
// what was reported since it was called last.
func tended(t *testing.T, s *Store) (reported func() []string) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var mu sync.Mutex
	var events []string
	go func() {
		defer close(done)
		s.Run(ctx, func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			text := e.What
			if e.Err != nil {
				text += ": " + e.Err.Error()
			}
			events = append(events, text)
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		all := events
		events = nil
		return all
	}
}

func TestChangedFilesAreReadAgain(t *testing.T) {
	one, two := spec{names: []string{"one.test"}}, spec{names: []string{"two.test"}, key: "other"}
	f := one.write(t, "site")
	put := func(file, text string) {
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{Files: []File{f}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		reported := tended(t, s)
		steps := []struct {
			name   string
			change func()
			serves string
			want   string // beginning of the one event, "" for none
		}{
			{"nothing", func() {}, "one.test", ""},
			{"key alone", func() { put(f.Key, two.keyPEM()) }, "one.test", "changed file refused: certificate " + f.Cert + " with key"},
			{"nothing more", func() {}, "one.test", ""},
			{"certificate too", func() { put(f.Cert, two.certPEM()) }, "two.test", "certificate file reloaded"},
			{"written anew, the same", func() { put(f.Cert, must(readText(f.Cert))) }, "two.test", ""},
			{"gone", func() { os.Remove(f.Cert) }, "two.test", "changed file refused: certificate " + f.Cert + ": no such file"},
			{"empty", func() { put(f.Cert, "") }, "two.test", "changed file refused: certificate " + f.Cert + ": not a PEM file"},
			{"empty again", func() { put(f.Cert, "") }, "two.test", ""},
			{"back", func() { put(f.Cert, one.certPEM()); put(f.Key, one.keyPEM()) }, "one.test", "certificate file reloaded"},
		}
		for _, step := range steps {
			step.change()
			time.Sleep(5 * time.Second)
			got := reported()
			if len(got) > 1 || strings.Join(got, "") == "" != (step.want == "") || !strings.HasPrefix(strings.Join(got, ""), step.want) {
				t.Errorf("%s: reported %q, want %q", step.name, got, step.want)
			}
			c, err := s.Certificate(hello("", "", nil))
			if err != nil || c.Leaf.DNSNames[0] != step.serves {
				t.Errorf("%s: serves %v, %v; want %s", step.name, c, err, step.serves)
			}
			if !s.Serves(step.serves) {
				t.Errorf("%s: %s is not among the names", step.name, step.serves)
			}
		}
	})
}

func readText(file string) (string, error) {
	text, err := os.ReadFile(file)
	return string(text), err
}

func TestExpiryIsWarnedOfOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := spec{names: []string{"a.test"}, notBefore: time.Now(), notAfter: time.Now().Add(20 * 24 * time.Hour)}.write(t, "site")
		var passed atomic.Int64 // days: the Store's clock runs ahead of its ticker's
		s, err := New(Options{Files: []File{f}, Now: func() time.Time { return time.Now().AddDate(0, 0, int(passed.Load())) }}, nil)
		if err != nil {
			t.Fatal(err)
		}
		reported := tended(t, s)
		for _, step := range []struct {
			days int
			want string
		}{{5, ""}, {2, "expires on"}, {1, ""}, {13, "expired on"}} {
			passed.Add(int64(step.days))
			time.Sleep(2 * watchInterval)
			got := reported()
			if len(got) > 1 || !strings.Contains(strings.Join(got, ""), step.want) || step.want == "" && got != nil {
				t.Errorf("after %d days more: reported %q, want %q", step.days, got, step.want)
			}
		}
	})
}

func TestClientAuthMistakes(t *testing.T) {
	cert := spec{names: []string{"a.test"}}.write(t, "clients")
	dir := t.TempDir()
	none := filepath.Join(dir, "none.pem")
	junk := filepath.Join(dir, "junk.crl")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		o    ClientAuth
		want string
	}{
		{"no file", ClientAuth{CA: none}, "client authorities " + none + ": no such file or directory"},
		{"a key", ClientAuth{CA: cert.Key}, "client authorities " + cert.Key + ":1: a block \"PRIVATE KEY\" does not belong in this file"},
		{"no list", ClientAuth{CA: cert.Cert, CRL: none}, "revocation list " + none + ": no such file"},
		{"junk for a list", ClientAuth{CA: cert.Cert, CRL: junk}, "revocation list " + junk + ": not a PEM file"},
	}
	for _, tt := range tests {
		if _, err := New(Options{ClientAuth: &tt.o}, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: New = %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestCovers(t *testing.T) {
	s, err := New(Options{Files: []File{
		spec{names: []string{"a.test", "*.wild.test", "192.0.2.1"}}.write(t, "first"),
		spec{names: []string{"c.test"}}.write(t, "second"),
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		server, host string
		want         bool
	}{
		{"a.test", "a.test", true},
		{"A.test.", "x.wild.test", true},
		{"x.wild.test", "y.wild.test", true},
		{"x.wild.test", "wild.test", false},
		{"x.wild.test", "x.y.wild.test", false},
		{"a.test", "192.0.2.1", true},
		{"a.test", "c.test", false},
		{"c.test", "a.test", false},
		{"unknown.test", "a.test", true}, // it got the first certificate
		{"unknown.test", "c.test", false},
	}
	for _, tt := range tests {
		if got := s.Covers(tt.server, tt.host); got != tt.want {
			t.Errorf("Covers(%q, %q) = %t, want %t", tt.server, tt.host, got, tt.want)
		}
	}
}
