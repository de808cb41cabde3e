package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"

	"golang.org/x/crypto/acme/autocert"

	"sluice/internal/atomicfile"
	"sluice/internal/pemfile"
)

// accountEntry is the entry of a cache that holds the key of the account, as
// autocert has it. Certificates are under their host.
const accountEntry = "acme_account+key"

// cache keeps what an account gets in files of its own directory: its key,
// certificates, and the answers to challenges that are being checked. Processes
// may share it; each of them can then answer the CA.
type cache struct{ autocert.DirCache }

// openCache makes the directory, which only its owner can read.
func openCache(dir string) (cache, error) {
	if err := os.MkdirAll(filepath.Join(dir, "locks"), 0o700); err != nil {
		return cache{}, err
	}
	return cache{autocert.DirCache(dir)}, os.Chmod(dir, 0o700)
}

// Put is as in [autocert.Cache]. Unlike that of DirCache it writes through to
// the disk: an account key that a crash has cut would stop all orders. The key
// must be a safe name of a file, made of a host or a token that was checked.
func (c cache) Put(_ context.Context, key string, data []byte) error {
	return atomicfile.Replace(filepath.Join(string(c.DirCache), key), data, 0o600)
}

// lock waits until no other process holds the lock of name, or ctx ends.
func (c cache) lock(ctx context.Context, name string) (unlock func(), err error) {
	return lockFile(ctx, filepath.Join(string(c.DirCache), "locks", name))
}

// encodeEntry returns an entry of a cache: a key, then the chain of its
// certificate in DER, if it has one.
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

// parseAccountKey reads an entry that is a key alone.
func parseAccountKey(text []byte) (*ecdsa.PrivateKey, error) {
	blocks, err := pemfile.Parse("account key in the certificate cache", text)
	if err != nil {
		return nil, err
	}
	return x509.ParseECPrivateKey(blocks[0].Bytes)
}
