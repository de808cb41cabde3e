package tlsconf

import (
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest/certtest"
	"sluice/tlsconf/certfile"
)

func TestCertificatesThatAreValidGoFirst(t *testing.T) {
	noon := time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)
	expired := certtest.Spec{NotBefore: noon.Add(-2 * time.Hour), NotAfter: noon.Add(-time.Second)}
	early := certtest.Spec{NotBefore: noon.Add(time.Second), NotAfter: noon.Add(2 * time.Hour)}
	fresh := certtest.Spec{NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour)}
	named := func(s certtest.Spec, key string, names ...string) certtest.Spec {
		s.Key, s.Names = key, names
		return s
	}
	tests := []struct {
		name       string
		files      []certtest.Spec // their base names are 0, 1, 2
		selfSigned []string
		server     string
		key        string // the only kind that the client knows
		want       string
	}{
		{"expired before valid", []certtest.Spec{named(expired, "", "a.test"), named(fresh, "", "a.test")}, nil, "a.test", "", "1"},
		{"not valid yet before valid", []certtest.Spec{named(early, "", "a.test"), named(fresh, "", "a.test")}, nil, "a.test", "", "1"},
		{"expired exact, valid wildcard", []certtest.Spec{named(expired, "", "a.x.test"), named(fresh, "", "*.x.test")}, nil, "a.x.test", "", "1"},
		{"valid exact, valid wildcard", []certtest.Spec{named(fresh, "", "*.x.test"), named(fresh, "", "a.x.test")}, nil, "a.x.test", "", "1"},
		{"valid exact, expired wildcard", []certtest.Spec{named(expired, "", "*.x.test"), named(fresh, "", "a.x.test")}, nil, "a.x.test", "", "1"},
		{"expired file, local CA", []certtest.Spec{named(expired, "", "localhost")}, []string{"localhost"}, "localhost", "", "local CA"},
		{"none is valid", []certtest.Spec{named(expired, "", "b.test"), named(early, "", "a.test"), named(expired, "", "a.test")}, nil, "a.test", "", "1"},
		{"none is valid, exact before wildcard", []certtest.Spec{named(expired, "", "*.x.test"), named(expired, "", "a.x.test")}, nil, "a.x.test", "", "1"},
		{"valid ones of two kinds", []certtest.Spec{named(fresh, "", "a.test"), named(expired, "rsa", "a.test"), named(fresh, "rsa", "a.test")}, nil, "a.test", "rsa", "2"},
		{"name of none", []certtest.Spec{named(expired, "", "a.test"), named(fresh, "", "b.test")}, nil, "c.test", "", "0"},
		{"a dot at the end", []certtest.Spec{named(fresh, "", "b.test"), named(expired, "", "a.test"), named(fresh, "", "a.test")}, nil, "A.test.", "", "2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Now: func() time.Time { return noon }, SelfSigned: tt.selfSigned, StateDir: t.TempDir()}
			for i, f := range tt.files {
				o.Files = append(o.Files, write(t, f, string(rune('0'+i))))
			}
			s, err := New(o, nil)
			if err != nil {
				t.Fatal(err)
			}
			c, err := s.pick(hello(tt.server, tt.key, nil))
			if err != nil {
				t.Fatal(err)
			}
			if got := sourceOf(s, c); got != tt.want {
				t.Errorf("pick(%q, %s) is %s, want %s", tt.server, tt.key, got, tt.want)
			}
		})
	}
}

// The clock decides at each handshake, not at the time the files are loaded.
func TestAStandInIsServedFromTheMomentOfExpiry(t *testing.T) {
	now := time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)
	end := now.Add(time.Minute)
	s, err := New(Options{Now: func() time.Time { return now }, Files: []certfile.File{
		write(t, certtest.Spec{Names: []string{"a.test", "b.test"}, NotBefore: now.Add(-time.Hour), NotAfter: end}, "first"),
		write(t, certtest.Spec{Names: []string{"a.test"}, NotBefore: now.Add(-time.Hour), NotAfter: end.Add(time.Hour)}, "second"),
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		at     time.Time
		want   string
		covers bool // b.test
	}{{end, "first", true}, {end.Add(time.Second), "second", false}, {end.Add(2 * time.Hour), "first", true}} {
		now = step.at
		c, err := s.pick(hello("a.test", "", nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := sourceOf(s, c); got != step.want {
			t.Errorf("at %v: pick gives %s, want %s", step.at, got, step.want)
		}
		if got := s.Covers("a.test", "b.test"); got != step.covers {
			t.Errorf("at %v: Covers = %t, want %t", step.at, got, step.covers)
		}
	}
	now = end
	if w := strings.Join(s.Warnings(), "\n"); strings.Contains(w, "never used") {
		t.Errorf("Warnings = %s; the second certificate is used once the first has expired", w)
	}
}

func TestCovers(t *testing.T) {
	s, err := New(Options{Files: []certfile.File{
		write(t, certtest.Spec{Names: []string{"a.test", "*.wild.test", "192.0.2.1"}}, "first"),
		write(t, certtest.Spec{Names: []string{"c.test"}}, "second"),
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
