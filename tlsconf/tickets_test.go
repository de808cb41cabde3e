package tlsconf

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTicketKeysRotate(t *testing.T) {
	const day = 24 * time.Hour
	dir, start := t.TempDir(), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	k := openTickets(dir, start)
	var first ticketKey
	steps := []struct {
		at      time.Duration
		changed bool
		keys    int
		first   bool // the first key is still among them
	}{
		{0, false, 1, true},
		{day - time.Second, false, 1, true},
		{day, true, 2, true},
		{day + time.Hour, false, 2, true},
		{2 * day, true, 3, true},
		{3 * day, true, 3, false},
		{9 * day, true, 1, false},
	}
	for i, step := range steps {
		changed, err := k.rotate(start.Add(step.at))
		if i == 0 {
			first = k.keys[0]
		}
		if err != nil || changed != step.changed || len(k.keys) != step.keys || slices.Contains(k.keys, first) != step.first {
			t.Errorf("after %v: changed %t, %v, %d keys, the first among them %t; want %+v", step.at, changed, err, len(k.keys), slices.Contains(k.keys, first), step)
		}
		if again := openTickets(dir, start.Add(step.at)); !slices.EqualFunc(again.keys, k.keys, sameKey) {
			t.Errorf("after %v: another process reads %d keys, want the same %d", step.at, len(again.keys), len(k.keys))
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "tickets")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v; want mode 0600", info, err)
	}
}

func sameKey(a, b ticketKey) bool { return a.made.Equal(b.made) && a.key == b.key }

// Processes that share a directory take over the keys of each other.
func TestTicketKeysAreShared(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	one := openTickets(dir, now)
	if _, err := one.rotate(now); err != nil {
		t.Fatal(err)
	}
	other := openTickets(dir, now)
	now = now.Add(25 * time.Hour)
	for _, k := range []*tickets{one, other} {
		if changed, err := k.rotate(now); !changed || err != nil {
			t.Errorf("rotate = %t, %v; want a change", changed, err)
		}
	}
	if !slices.EqualFunc(one.keys, other.keys, sameKey) {
		t.Error("the two have different keys")
	}
}

func TestTicketKeysThatCannotBeKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", filepath.Join(file, "below")} {
		k := openTickets(dir, time.Now())
		if _, err := k.rotate(time.Now()); (err == nil) != (dir == "") || len(k.secrets()) != 1 {
			t.Errorf("state directory %q: rotate = %v with %d keys", dir, err, len(k.secrets()))
		}
	}
}

// FuzzTickets checks that keys that were read are the same after they are written.
func FuzzTickets(f *testing.F) {
	line := "1893456000 " + strings.Repeat("ab", 32) + "\n"
	for _, seed := range []string{"", line, line + line, line + line + line + line, "x", "1 2", "1893456001 " + line[11:] + line, line + "1893456001 " + line[11:], line[:20]} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseTickets(text)
		if err != nil {
			return
		}
		if len(keys) > ticketKeys {
			t.Fatalf("%d keys", len(keys))
		}
		k := &tickets{file: filepath.Join(t.TempDir(), "tickets"), keys: keys}
		if err := k.write(); err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(k.file)
		if err != nil && len(keys) > 0 {
			t.Fatal(err)
		}
		again, err := parseTickets(written)
		if err != nil || !slices.EqualFunc(again, keys, sameKey) {
			t.Fatalf("%q was written as %q, which reads as %v, %v", text, bytes.TrimSpace(written), again, err)
		}
	})
}
