package tlsconf

import (
	"context"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/wstest/certtest"
	"sluice/tlsconf/certfile"
)

// running runs a Store in fake time. The function that it returns returns the
// events since its last call.
func running(t *testing.T, s *Store) (reported func() []string) {
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
	one, two := certtest.Spec{Names: []string{"one.test"}}, certtest.Spec{Names: []string{"two.test"}, Key: "other"}
	f := write(t, one, "site")
	put := func(file, text string) {
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{Files: []certfile.File{f}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		reported := running(t, s)
		steps := []struct {
			name   string
			change func()
			serves string
			want   string // how the only event begins, "" for no event
		}{
			{"nothing", func() {}, "one.test", ""},
			{"key alone", func() { put(f.Key, two.KeyPEM()) }, "one.test", "changed file refused: certificate " + f.Cert + " with key"},
			{"nothing more", func() {}, "one.test", ""},
			{"certificate too", func() { put(f.Cert, two.CertPEM()) }, "two.test", "certificate file reloaded"},
			{"written anew, the same", func() { put(f.Cert, certtest.Must(readText(f.Cert))) }, "two.test", ""},
			{"gone", func() { os.Remove(f.Cert) }, "two.test", "changed file refused: certificate " + f.Cert + ": no such file"},
			{"empty", func() { put(f.Cert, "") }, "two.test", "changed file refused: certificate " + f.Cert + ": not a PEM file"},
			{"empty again", func() { put(f.Cert, "") }, "two.test", ""},
			{"back", func() { put(f.Cert, one.CertPEM()); put(f.Key, one.KeyPEM()) }, "one.test", "certificate file reloaded"},
		}
		for _, step := range steps {
			step.change()
			time.Sleep(5 * time.Second)
			got := reported()
			if len(got) > 1 || strings.Join(got, "") == "" != (step.want == "") || !strings.HasPrefix(strings.Join(got, ""), step.want) {
				t.Errorf("%s: reported %q, want %q", step.name, got, step.want)
			}
			c, err := s.pick(hello("", "", nil))
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
		f := write(t, certtest.Spec{Names: []string{"a.test"}, NotBefore: time.Now(), NotAfter: time.Now().Add(20 * 24 * time.Hour)}, "site")
		var passed atomic.Int64 // days: the Store's clock runs ahead of its ticker's
		s, err := New(Options{Files: []certfile.File{f}, Now: func() time.Time { return time.Now().AddDate(0, 0, int(passed.Load())) }}, nil)
		if err != nil {
			t.Fatal(err)
		}
		reported := running(t, s)
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
