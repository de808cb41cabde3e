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
)

const (
	ticketLife = 24 * time.Hour // of a key, before the next one follows
	ticketKeys = 3              // the one in use, and those that still open older tickets
)

// ticketKey seals session tickets from a time on.
type ticketKey struct {
	made time.Time // in whole seconds
	key  [32]byte
}

// tickets are the keys in use, the newest first. They are kept in a file, so
// that sessions are resumed across restarts, and by other processes that share
// the state directory.
type tickets struct {
	file string // "" means memory alone
	keys []ticketKey
	kept bool // as far as is known the file can be written
}

// openTickets reads the keys in stateDir. Where there are none, or none that
// can be read, it makes one; rotate writes it down, and says what was wrong.
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

// read takes over what the file has, if that is newer.
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

// rotate brings the keys up to date with the file, and the file with the
// clock. It reports whether the keys have changed. With an error the keys are
// good, but live in memory alone.
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

// write brings the file up to date.
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
	return replaceFile(t.file, text.Bytes(), 0o600)
}

// secrets returns the keys as crypto/tls takes them.
func (t *tickets) secrets() [][32]byte {
	all := make([][32]byte, len(t.keys))
	for i, k := range t.keys {
		all[i] = k.key
	}
	return all
}

// expired reports whether k is too old to open a ticket, or from a future that
// only a wrong clock knows.
func (k ticketKey) expired(now time.Time) bool {
	age := now.Sub(k.made)
	return age >= ticketKeys*ticketLife || age < -ticketLife
}

func newTicketKey(now time.Time) ticketKey {
	k := ticketKey{made: time.Unix(now.Unix(), 0)}
	rand.Read(k.key[:])
	return k
}

// parseTickets reads a line for each key: when it was made, in seconds since
// 1970, and 64 hexadecimal digits. The newest comes first.
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
