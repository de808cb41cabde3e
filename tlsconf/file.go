package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"sluice/internal/pemfile"
)

// File names the PEM files of a certificate chain, the server's own first, and
// of its private key. Both may be the same file.
type File struct {
	Cert, Key string
	Option    string // where the two are configured, for [FileError]
}

// FileError is a mistake in a file that [Options] name. Its text names the file
// and, where it can, the line.
type FileError struct {
	Option string // that names the file, as in "tls.client_auth.crl"; for one of a [File], its Option and ".cert" or ".key"
	Err    error
}

func (e *FileError) Error() string { return e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

// pair is a loaded certificate with its key.
type pair struct {
	tls.Certificate
	file    File
	exposed bool // every user of the machine can read the key file
}

// LoadKeyPair reads and checks f. It reports the mistakes of both files, each a
// [*FileError]; the option of what is wrong between the two is that of f.
func LoadKeyPair(f File) (tls.Certificate, []error) {
	var mistakes []error
	fail := func(option, format string, args ...any) {
		mistakes = append(mistakes, &FileError{Option: f.Option + option, Err: fmt.Errorf(format, args...)})
	}
	chain, err := certificatePart(f.Cert)
	if err != nil {
		fail(".cert", "certificate %w", err)
	}
	key, err := keyPart(f.Key)
	if err != nil {
		fail(".key", "key %w", err)
	}
	if mistakes != nil {
		return tls.Certificate{}, mistakes
	}
	c, err := join(chain, key)
	if err == nil {
		return c, nil
	}
	if misplaced(chain, key) {
		err = errors.New("the certificate that belongs to the key must be the first in the file, its intermediates after it")
	}
	fail("", "certificate %s with key %s: %w", f.Cert, f.Key, err)
	return tls.Certificate{}, mistakes
}

// load is LoadKeyPair for a server.
func load(f File) (*pair, []error) {
	c, mistakes := LoadKeyPair(f)
	if mistakes != nil {
		return nil, mistakes
	}
	exposed, err := readableByAll(f.Key)
	if err != nil {
		return nil, []error{&FileError{Option: f.Option + ".key", Err: fmt.Errorf("key %w", err)}}
	}
	return &pair{Certificate: c, file: f, exposed: exposed}, nil
}

func (p *pair) certificate() (*tls.Certificate, error) { return &p.Certificate, nil }

func (p *pair) valid(now time.Time) bool { return isValid(p.Leaf, now) }

func (p *pair) names() []string { return namesOf(p.Leaf) }

func (p *pair) status() Source {
	return Source{Names: p.names(), From: p.file.Cert, Expiry: p.Leaf.NotAfter}
}

// isValid reports whether now is within the time of a certificate.
func isValid(leaf *x509.Certificate, now time.Time) bool {
	return !now.Before(leaf.NotBefore) && !now.After(leaf.NotAfter)
}

// namesOf returns what a client may ask for to get a certificate: DNS names in
// lower case and IP addresses.
func namesOf(leaf *x509.Certificate) []string {
	var names []string
	for _, name := range leaf.DNSNames {
		names = append(names, strings.ToLower(name))
	}
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// misplaced reports whether key belongs to a certificate of chain that is not
// the first.
func misplaced(chain []pemfile.Block, key *pemfile.Block) bool {
	return slices.ContainsFunc(chain, func(b pemfile.Block) bool {
		_, err := join([]pemfile.Block{b}, key)
		return err == nil
	})
}

// readableByAll reports whether every user of the machine can read file. On
// Windows files have no such bits and it cannot tell.
func readableByAll(file string) (bool, error) {
	info, err := os.Stat(file)
	if err != nil {
		return false, err
	}
	return runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0, nil
}
