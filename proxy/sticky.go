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
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// signer signs what clients keep in cookies.
type signer [32]byte

// openSigner returns the signer whose key is in dir, where it is made if there
// is none. Processes that share dir sign alike.
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
	fmt.Fprintf(f, "%x\n", *newSigner())
	if err := f.Close(); err != nil {
		return nil, err
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
		return nil, fmt.Errorf("%s holds something else than a key of cookies; remove it", file)
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

// sticky is a cookie that brings a client back to where it was.
type sticky struct {
	signer *signer
	what   string      // it is about: a value of another one does not count
	cookie http.Cookie // its name and attributes
}

// maxCookies bounds how many cookies of one name are looked at.
const maxCookies = 4

// of returns what the cookie of a request says.
func (s *sticky) of(r *http.Request) (id uint64, ok bool) {
	for i, c := range r.CookiesNamed(s.cookie.Name) {
		if id, ok := s.signer.read(s.what, c.Value); ok || i == maxCookies {
			return id, ok
		}
	}
	return 0, false
}

// kept is a cookie that goes out with the answer.
type kept struct {
	*sticky
	id uint64
}

// keep has the client keep a cookie.
func (x *exchange) keep(s *sticky, id uint64) {
	x.forget(s)
	x.cookies = append(x.cookies, kept{s, id})
}

// forget takes back what keep has done.
func (x *exchange) forget(s *sticky) {
	x.cookies = slices.DeleteFunc(x.cookies, func(k kept) bool { return k.sticky == s })
}

// setCookies adds the cookies to an answer that is a backend's.
func (x *exchange) setCookies(h http.Header) {
	for _, k := range x.cookies {
		c := k.cookie
		c.Value = k.signer.sign(k.what, k.id)
		c.Secure = x.origin.Proto == "https"
		h.Add("Set-Cookie", c.String())
	}
}
