package tlsconf

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/acme/autocert"

	"sluice/internal/pemfile"
)

// cache keeps what an account gets in files of its own directory, for every
// process that shares it: keys, certificates, and the tokens of challenges
// under way, so that any of the processes can answer the CA.
type cache string

// openCache makes the directory. What is in it is for its owner alone.
func openCache(dir string) (cache, error) {
	if err := os.MkdirAll(filepath.Join(dir, "locks"), 0o700); err != nil {
		return "", err
	}
	return cache(dir), os.Chmod(dir, 0o700)
}

// file is where key is kept. Keys are made of names that were checked.
func (c cache) file(key string) string { return filepath.Join(string(c), key) }

func (c cache) get(key string) ([]byte, error) {
	data, err := os.ReadFile(c.file(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, autocert.ErrCacheMiss
	}
	return data, err
}

// put replaces what is under key. A reader sees the old or the new, whole.
func (c cache) put(key string, data []byte) error {
	return replaceFile(c.file(key), data, 0o600)
}

func (c cache) remove(key string) error {
	if err := os.Remove(c.file(key)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// parseEntry reads a certificate of a cache: its key, then its chain. An entry
// that is damaged is worth nothing, as another certificate can be ordered.
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

// lock waits until no other process holds the lock of name.
func (c cache) lock(ctx context.Context, name string) (unlock func(), err error) {
	return lockFile(ctx, filepath.Join(string(c), "locks", name))
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
