package tlsconf

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/atomicfile"
)

const (
	ticketLife = 24 * time.Hour // how long a key seals new tickets
	ticketKeys = 3              // the key in use, and those that still open older tickets
)

// ticketKey seals session tickets (RFC 8446, section 4.6.1).
type ticketKey struct {
	made time.Time // in whole seconds
	key  [32]byte
}

// tickets are the keys in use, the newest first. They are kept in a file, so
// that sessions can be resumed after a restart, and by other processes that
// share the state directory.
type tickets struct {
	file string // "" means that the keys live in memory
	keys []ticketKey
	kept bool // the last write succeeded; true before the first one
}

// openTickets reads the keys in stateDir. When there are none, or they cannot be
// read, it makes one; rotate then writes it to the file, and reports what was
// wrong.
func openTickets(stateDir string, now time.Time) *tickets {
	t := &tickets{kept: true}
	if stateDir != "" {
		t.file = filepath.Join(stateDir, "tickets")
	}
	if t.read(now) != nil || len(t.keys) == 0 {
		t.keys = []ticketKey{newTicketKey(now)}
	}
	return t
}

// read takes over the keys in the file, if they are newer.
func (t *tickets) read(now time.Time) error {
	if t.file == "" {
		return nil
	}
	text, err := os.ReadFile(t.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	keys, err := parseTickets(text)
	if err != nil {
		return fmt.Errorf("%s: %w", t.file, err)
	}
	keys = slices.DeleteFunc(keys, func(k ticketKey) bool { return k.expired(now) })
	if len(keys) > 0 && (len(t.keys) == 0 || !keys[0].made.Before(t.keys[0].made)) {
		t.keys = keys
	}
	return nil
}

// rotate takes over newer keys from the file, makes a new key when one is due,
// and writes the file. It reports whether the keys have changed. With an error
// the keys can be used, but may not be in the file.
func (t *tickets) rotate(now time.Time) (changed bool, err error) {
	before := slices.Clone(t.keys)
	err = t.read(now)
	t.keys = slices.DeleteFunc(slices.Clone(t.keys), func(k ticketKey) bool { return k.expired(now) })
	if len(t.keys) == 0 || now.Sub(t.keys[0].made) >= ticketLife {
		t.keys = append([]ticketKey{newTicketKey(now)}, t.keys[:min(len(t.keys), ticketKeys-1)]...)
	}
	err = errors.Join(err, t.write())
	t.kept = err == nil
	return !slices.Equal(before, t.keys), err
}

// write writes the keys to the file, unless it holds them already.
func (t *tickets) write() error {
	if t.file == "" {
		return nil
	}
	var text bytes.Buffer
	for _, k := range t.keys {
		fmt.Fprintf(&text, "%d %x\n", k.made.Unix(), k.key)
	}
	if now, err := os.ReadFile(t.file); err == nil && bytes.Equal(now, text.Bytes()) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(t.file), 0o700); err != nil {
		return err
	}
	return atomicfile.Replace(t.file, text.Bytes(), 0o600)
}

// secrets returns the keys as [tls.Config.SetSessionTicketKeys] takes them.
func (t *tickets) secrets() [][32]byte {
	all := make([][32]byte, len(t.keys))
	for i, k := range t.keys {
		all[i] = k.key
	}
	return all
}

// expired reports whether k is too old to open a ticket, or so far in the future
// that a clock must have been wrong when it was made.
func (k ticketKey) expired(now time.Time) bool {
	age := now.Sub(k.made)
	return age >= ticketKeys*ticketLife || age < -ticketLife
}

func newTicketKey(now time.Time) ticketKey {
	k := ticketKey{made: time.Unix(now.Unix(), 0)}
	rand.Read(k.key[:])
	return k
}

// parseTickets reads the content of the file. It has a line for each key, the
// newest first: when it was made, in seconds since 1970, and 64 hexadecimal
// digits.
func parseTickets(text []byte) ([]ticketKey, error) {
	var keys []ticketKey
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		made, secret, _ := strings.Cut(lines.Text(), " ")
		seconds, err := strconv.ParseInt(made, 10, 64)
		k := ticketKey{made: time.Unix(seconds, 0)}
		if n, wrong := hex.Decode(k.key[:], []byte(secret[:min(len(secret), 64)])); err != nil || wrong != nil || n != 32 || len(secret) != 64 {
			return nil, errors.New("holds something else than session ticket keys; remove it")
		}
		if len(keys) == ticketKeys || len(keys) > 0 && keys[len(keys)-1].made.Before(k.made) {
			return nil, errors.New("holds session ticket keys in no order; remove it")
		}
		keys = append(keys, k)
	}
	return keys, lines.Err()
}
