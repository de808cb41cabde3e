package proxy

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

// signer signs what clients keep in cookies.
type signer [32]byte

// openSigner returns the signer whose key is in dir, where it is made if there
// is none, whole or not at all. Processes that share dir sign alike.
func openSigner(dir string) (*signer, error) {
	if dir == "" {
		return nil, errors.New("there is no default for it, as HOME is not set")
	}
	file := filepath.Join(dir, "cookies")
	k, err := readSigner(file)
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
	_, err = fmt.Fprintf(f, "%x\n", *newSigner())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("write the key of cookies: %w", err)
	}
	if err := os.Link(f.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return readSigner(file) // which another process may have made
}

func readSigner(file string) (*signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	k := new(signer)
	if copy(k[:], key); err != nil || len(key) != len(k) {
		return nil, fmt.Errorf("%s holds something else than a key of cookies, or a part of one; remove it", file)
	}
	return k, nil
}

func newSigner() *signer {
	k := new(signer)
	rand.Read(k[:])
	return k
}

// Bytes of a signed number, and characters of it in a cookie.
const (
	idSize  = 8
	macSize = 16
	signed  = (idSize + macSize) / 3 * 4
)

// sign returns id for a cookie that is about what.
func (k *signer) sign(what string, id uint64) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, idSize+macSize), id)
	return base64.RawURLEncoding.EncodeToString(append(b, k.mac(what, b)...))
}

// read returns what was signed, if it was.
func (k *signer) read(what, value string) (id uint64, ok bool) {
	if len(value) != signed {
		return 0, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || !hmac.Equal(b[idSize:], k.mac(what, b[:idSize])) {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

func (k *signer) mac(what string, id []byte) []byte {
	h := hmac.New(sha256.New, k[:])
	h.Write(id)
	h.Write([]byte(what))
	return h.Sum(nil)[:macSize]
}
