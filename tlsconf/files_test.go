package tlsconf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest/certtest"
	"sluice/tlsconf/certfile"
)

// write writes the pair of s to base.pem and base.key.
func write(t *testing.T, s certtest.Spec, base string) certfile.File {
	t.Helper()
	cert, key := s.Write(t, base)
	return certfile.File{Cert: cert, Key: key}
}

func TestMissingFilesAndBadNamesAreAllReported(t *testing.T) {
	dir := t.TempDir()
	_, err := New(Options{
		Files: []certfile.File{
			{Cert: filepath.Join(dir, "a.pem"), Key: filepath.Join(dir, "a.key")},
			{Cert: dir, Key: write(t, certtest.Spec{}, "b").Key},
		},
		SelfSigned: []string{"localhost", "not a name", "*.*.test", "fe80::1%eth0", "-a.test", "a..test"},
		StateDir:   dir,
	}, nil)
	for _, want := range []string{
		"certificate " + filepath.Join(dir, "a.pem") + ": no such file or directory",
		"key " + filepath.Join(dir, "a.key") + ": no such file or directory",
		"certificate " + dir + ": is a directory",
		`self-signed name "not a name": neither`,
		`self-signed name "*.*.test": neither`,
		`self-signed name "fe80::1%eth0": a certificate cannot hold an address with a zone`,
		`self-signed name "-a.test": neither`,
		`self-signed name "a..test": neither`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v\nwant it to hold %q", err, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	now := time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	first := certtest.Spec{Names: []string{"first.test", "*.first.test"}, NotAfter: now.Add(100 * day)}
	tests := []struct {
		name string
		spec certtest.Spec
		mode os.FileMode // of the key, 0 means 0600
		want string      // "" means none
	}{
		{name: "fine", spec: certtest.Spec{Names: []string{"a.test"}, NotAfter: now.Add(15 * day)}},
		{name: "expired", spec: certtest.Spec{Names: []string{"a.test"}, NotAfter: now.Add(-day)}, want: "certificate CERT: expired on 2030-05-31"},
		{name: "about to expire", spec: certtest.Spec{Names: []string{"a.test"}, NotAfter: now.Add(13 * day)}, want: "certificate CERT: expires on 2030-06-14"},
		{name: "not valid yet", spec: certtest.Spec{Names: []string{"a.test"}, NotBefore: now.Add(day), NotAfter: now.Add(90 * day)}, want: "certificate CERT: not valid before 2030-06-02T12:00:00Z"},
		{name: "no names", spec: certtest.Spec{NotAfter: now.Add(90 * day)}, want: "certificate CERT: has no subject alternative names, so no client accepts it"},
		{name: "names of an earlier one", spec: certtest.Spec{Names: []string{"first.test"}, NotAfter: now.Add(90 * day)}, want: "certificate CERT: never used; those listed before it have all its names and the same kind of key"},
		{name: "names of an earlier one, other kind of key", spec: certtest.Spec{Key: "rsa", Names: []string{"first.test"}, NotAfter: now.Add(90 * day)}},
		{name: "one more name than an earlier one", spec: certtest.Spec{Names: []string{"first.test", "b.test"}, NotAfter: now.Add(90 * day)}},
		{name: "key for everybody", spec: certtest.Spec{Names: []string{"a.test"}, NotAfter: now.Add(90 * day)}, mode: 0o644, want: "key KEY: every user of this machine can read it; use chmod 600"},
		{name: "key for a group", spec: certtest.Spec{Names: []string{"a.test"}, NotAfter: now.Add(90 * day)}, mode: 0o640},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := write(t, tt.spec, "site")
			if tt.mode != 0 {
				if err := os.Chmod(f.Key, tt.mode); err != nil {
					t.Fatal(err)
				}
			}
			s, err := New(Options{Files: []certfile.File{write(t, first, "first"), f}, Now: func() time.Time { return now }}, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.NewReplacer("CERT", f.Cert, "KEY", f.Key).Replace(tt.want)
			if got := strings.Join(s.Warnings(), "\n"); got != want {
				t.Errorf("Warnings = %q, want %q", got, want)
			}
		})
	}
}
