package tlsconf

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/acme/autocert"

	"sluice/internal/pemfile"
)

// cache keeps what an account gets in files of its own directory, for every
// process that shares it: keys, certificates, and the answers to challenges
// under way, so that any of the processes can give them to the CA.
type cache struct{ autocert.DirCache }

// openCache makes the directory. What is in it is for its owner alone.
func openCache(dir string) (cache, error) {
	if err := os.MkdirAll(filepath.Join(dir, "locks"), 0o700); err != nil {
		return cache{}, err
	}
	return cache{autocert.DirCache(dir)}, os.Chmod(dir, 0o700)
}

// Put is that of DirCache, but writes through to the disk: an account key that
// a crash has cut would stop all orders. Keys are made of names that were
// checked.
func (c cache) Put(_ context.Context, key string, data []byte) error {
	return replaceFile(filepath.Join(string(c.DirCache), key), data, 0o600)
}

// challenges are the answers to challenges in a cache. An [autocert.Manager]
// with them knows no certificates, so it orders and renews none.
type challenges struct{ cache }

func (c challenges) Get(ctx context.Context, key string) ([]byte, error) {
	if strings.HasSuffix(key, alpnSuffix) || strings.HasSuffix(key, tokenSuffix) {
		return c.cache.Get(ctx, key)
	}
	return nil, errors.New("not a challenge") // ErrCacheMiss would make it order
}

// encodeEntry makes an entry of a cache: a key, then the chain of its
// certificate, if it has one.
func encodeEntry(key *ecdsa.PrivateKey, chain [][]byte) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return text, nil
}

// parseEntry reads a certificate of a cache. An entry that is damaged is worth
// nothing, as another certificate can be ordered.
func parseEntry(data []byte) (tls.Certificate, error) {
	blocks, err := pemfile.Parse("entry", data)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := only(blocks, keyBlock, certificateBlock); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(data, data)
}

// parseKey reads an entry that is a key alone.
func parseKey(data []byte) (*ecdsa.PrivateKey, error) {
	blocks, err := pemfile.Parse("account key in the certificate cache", data)
	if err != nil {
		return nil, err
	}
	return x509.ParseECPrivateKey(blocks[0].Bytes)
}

// lock waits until no other process holds the lock of name.
func (c cache) lock(ctx context.Context, name string) (unlock func(), err error) {
	return lockFile(ctx, filepath.Join(string(c.DirCache), "locks", name))
}

// replaceFile writes a file through to the disk, in one step for who reads it.
func replaceFile(file string, data []byte, mode os.FileMode) error {
	draft, err := os.MkdirTemp(filepath.Dir(file), "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(draft)
	inside := filepath.Join(draft, filepath.Base(file))
	if err := writeFile(inside, data, mode); err != nil {
		return err
	}
	return os.Rename(inside, file)
}
