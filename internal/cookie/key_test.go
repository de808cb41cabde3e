package cookie

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKey(t *testing.T) {
	k, other := NewKey(), NewKey()
	const id = 0x0123456789abcdef
	value := k.sign("a", id)
	tests := []struct {
		name    string
		key     *Key
		purpose string
		value   string
		ok      bool
	}{
		{"its own", k, "a", value, true},
		{"about something else", k, "b", value, false},
		{"of another key", other, "a", value, false},
		{"changed", k, "a", "A" + value[1:], value[0] == 'A'},
		{"changed at the end", k, "a", value[:len(value)-1] + string(value[len(value)-1]^1), false},
		{"shorter", k, "a", value[1:], false},
		{"longer", k, "a", value + "A", false},
		{"empty", k, "a", "", false},
		{"with line breaks", k, "a", value[:4] + strings.Repeat("\r\n", (signedSize-4)/2), false},
		{"no base64", k, "a", strings.Repeat("*", signedSize), false},
	}
	for _, tt := range tests {
		if got, ok := tt.key.verify(tt.purpose, tt.value); ok != tt.ok || ok && got != id {
			t.Errorf("%s: verify = %x, %v; want %v", tt.name, got, ok, tt.ok)
		}
	}
}

// Nothing but what was signed is read, in one spelling.
func FuzzKey(f *testing.F) {
	k := &Key{1, 2, 3}
	f.Add(k.sign("a", 7), "a")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, value, what string) {
		if id, ok := k.verify(what, value); ok && k.sign(what, id) != value {
			t.Fatalf("verify(%q, %q) = %x, which is signed otherwise", what, value, id)
		}
	})
}

func TestProcessesShareAKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	keys := make(chan *Key, 20)
	for range cap(keys) {
		go func() {
			k, err := OpenKey(dir)
			if err != nil {
				t.Error(err)
			}
			keys <- k
		}()
	}
	first := <-keys
	for range cap(keys) - 1 {
		if k := <-keys; *k != *first {
			t.Fatal("two have made a key each")
		}
	}
	if all, _ := os.ReadDir(dir); len(all) != 1 {
		t.Errorf("%d files in the directory, want the key alone", len(all))
	}
	info, err := os.Stat(filepath.Join(dir, "cookies"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file is %v, %v; want it for nobody else", info.Mode(), err)
	}
	os.WriteFile(filepath.Join(dir, "cookies"), []byte("00"), 0o600)
	if k, err := OpenKey(dir); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("OpenKey with half a key = %v, %v", k, err)
	}
	if k, err := OpenKey(""); err == nil {
		t.Errorf("OpenKey without a directory = %v", k)
	}
}
