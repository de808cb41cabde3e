package cookie

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Key signs the values of cookies (HMAC-SHA-256, RFC 2104).
type Key [32]byte

// OpenKey returns the key that is kept in dir. If there is none it makes one, and
// writes it whole or not at all. Processes that share dir have the same key.
func OpenKey(dir string) (*Key, error) {
	if dir == "" {
		return nil, errors.New("there is no default for it, as HOME is not set")
	}
	file := filepath.Join(dir, "cookies")
	k, err := readKey(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, "cookies-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintf(f, "%x\n", *NewKey())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("write the key of cookies: %w", err)
	}
	if err := os.Link(f.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return readKey(file) // another process may have been first
}

func readKey(file string) (*Key, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	k := new(Key)
	if copy(k[:], key); err != nil || len(key) != len(k) {
		return nil, fmt.Errorf("%s holds something else than a key of cookies, or a part of one; remove it", file)
	}
	return k, nil
}

// NewKey returns a random key.
func NewKey() *Key {
	k := new(Key)
	rand.Read(k[:])
	return k
}

// Sizes of a signed ID in bytes, and in characters of base64url.
const (
	idSize     = 8
	macSize    = 16
	signedSize = (idSize + macSize) / 3 * 4
)

// sign returns id with its signature. The signature holds for this purpose alone.
func (k *Key) sign(purpose string, id uint64) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, idSize+macSize), id)
	return base64.RawURLEncoding.EncodeToString(append(b, k.mac(purpose, b)...))
}

// verify returns the ID that k has signed for this purpose.
func (k *Key) verify(purpose, value string) (id uint64, ok bool) {
	if len(value) != signedSize {
		return 0, false
	}
	// Less than that may be in it: the decoder passes over line breaks.
	b, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(b) != idSize+macSize || !hmac.Equal(b[idSize:], k.mac(purpose, b[:idSize])) {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

func (k *Key) mac(purpose string, id []byte) []byte {
	h := hmac.New(sha256.New, k[:])
	h.Write(id)
	h.Write([]byte(purpose))
	return h.Sum(nil)[:macSize]
}
