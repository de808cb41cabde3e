package tlsconf

import (
	"strings"
	"testing"
	"time"
)

func TestCertificatesThatAreValidGoFirst(t *testing.T) {
	noon := time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)
	expired := spec{notBefore: noon.Add(-2 * time.Hour), notAfter: noon.Add(-time.Second)}
	early := spec{notBefore: noon.Add(time.Second), notAfter: noon.Add(2 * time.Hour)}
	fresh := spec{notBefore: noon.Add(-time.Hour), notAfter: noon.Add(time.Hour)}
	named := func(s spec, key string, names ...string) spec {
		s.key, s.names = key, names
		return s
	}
	tests := []struct {
		name       string
		files      []spec // called 0, 1, 2
		selfSigned []string
		server     string
		key        string // the only kind that the client knows
		want       string
	}{
		{"expired before valid", []spec{named(expired, "", "a.test"), named(fresh, "", "a.test")}, nil, "a.test", "", "1"},
		{"not valid yet before valid", []spec{named(early, "", "a.test"), named(fresh, "", "a.test")}, nil, "a.test", "", "1"},
		{"expired exact, valid wildcard", []spec{named(expired, "", "a.x.test"), named(fresh, "", "*.x.test")}, nil, "a.x.test", "", "1"},
		{"valid exact, valid wildcard", []spec{named(fresh, "", "*.x.test"), named(fresh, "", "a.x.test")}, nil, "a.x.test", "", "1"},
		{"valid exact, expired wildcard", []spec{named(expired, "", "*.x.test"), named(fresh, "", "a.x.test")}, nil, "a.x.test", "", "1"},
		{"expired file, local CA", []spec{named(expired, "", "localhost")}, []string{"localhost"}, "localhost", "", "local CA"},
		{"none is valid", []spec{named(expired, "", "b.test"), named(early, "", "a.test"), named(expired, "", "a.test")}, nil, "a.test", "", "1"},
		{"none is valid, exact before wildcard", []spec{named(expired, "", "*.x.test"), named(expired, "", "a.x.test")}, nil, "a.x.test", "", "1"},
		{"valid ones of two kinds", []spec{named(fresh, "", "a.test"), named(expired, "rsa", "a.test"), named(fresh, "rsa", "a.test")}, nil, "a.test", "rsa", "2"},
		{"name of none", []spec{named(expired, "", "a.test"), named(fresh, "", "b.test")}, nil, "c.test", "", "0"},
		{"a dot at the end", []spec{named(fresh, "", "b.test"), named(expired, "", "a.test"), named(fresh, "", "a.test")}, nil, "A.test.", "", "2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Now: func() time.Time { return noon }, SelfSigned: tt.selfSigned, StateDir: t.TempDir()}
			for i, f := range tt.files {
				o.Files = append(o.Files, f.write(t, string(rune('0'+i))))
			}
			s, err := New(o, nil)
			if err != nil {
				t.Fatal(err)
			}
			c, err := s.Certificate(hello(tt.server, tt.key, nil))
			if err != nil {
				t.Fatal(err)
			}
			if got := sourceOf(s, c); got != tt.want {
				t.Errorf("Certificate(%q, %s) is %s, want %s", tt.server, tt.key, got, tt.want)
			}
		})
	}
}

// The clock decides at each handshake, not when the files are loaded.
func TestAStandInIsServedFromTheMomentOfExpiry(t *testing.T) {
	now := time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)
	end := now.Add(time.Minute)
	s, err := New(Options{Now: func() time.Time { return now }, Files: []File{
		spec{names: []string{"a.test", "b.test"}, notBefore: now.Add(-time.Hour), notAfter: end}.write(t, "first"),
		spec{names: []string{"a.test"}, notBefore: now.Add(-time.Hour), notAfter: end.Add(time.Hour)}.write(t, "second"),
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
		c, err := s.Certificate(hello("a.test", "", nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := sourceOf(s, c); got != step.want {
			t.Errorf("at %v: Certificate is %s, want %s", step.at, got, step.want)
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
