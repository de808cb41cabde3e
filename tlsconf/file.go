package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"runtime"
	"strings"
)

// File names the PEM files of a certificate chain, the server's own first, and
// of its private key. Both may be the same file.
type File struct{ Cert, Key string }

// FileError is a mistake in one of [Options].Files. Its text names the file.
type FileError struct {
	Index int // into Options.Files
	Err   error
}

func (e *FileError) Error() string { return e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

// pair is a loaded certificate with its key.
type pair struct {
	tls.Certificate
	file    File
	exposed bool // every user of the machine can read the key file
}

// load reads and checks f, and reports the mistakes of both files.
func load(f File) (*pair, []error) {
	var mistakes []error
	chain, err := readPEM(f.Cert, checkChain)
	if err != nil {
		mistakes = append(mistakes, fmt.Errorf("certificate %s: %w", f.Cert, err))
	}
	key, err := readPEM(f.Key, checkKey)
	if err != nil {
		mistakes = append(mistakes, fmt.Errorf("key %s: %w", f.Key, err))
	}
	if mistakes != nil {
		return nil, mistakes
	}
	c, err := tls.X509KeyPair(chain, key)
	if err != nil {
		if misplaced(chain, key) {
			err = errors.New("the certificate that belongs to the key must be the first in the file, its intermediates after it")
		}
		return nil, []error{fmt.Errorf("certificate %s with key %s: %w", f.Cert, f.Key, err)}
	}
	exposed, err := readableByAll(f.Key)
	if err != nil {
		return nil, []error{fmt.Errorf("key %w", err)}
	}
	return &pair{Certificate: c, file: f, exposed: exposed}, nil
}

func (p *pair) certificate() (*tls.Certificate, error) { return &p.Certificate, nil }

func (p *pair) names() []string { return namesOf(p.Leaf) }

func (p *pair) status() Source {
	return Source{Names: p.names(), From: p.file.Cert, Expiry: p.Leaf.NotAfter}
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

// readPEM returns the text of a file that passes check, which knows the common
// mistakes that deserve a better message than crypto/tls has for them. The
// error leaves the name of the file to the caller.
func readPEM(file string, check func(iter.Seq[*pem.Block]) error) ([]byte, error) {
	text, err := readFile(file)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(text); block == nil {
		return nil, errors.New("not a PEM file")
	}
	return text, check(blocks(text))
}

// readFile is os.ReadFile with an error that leaves the name to the caller.
func readFile(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return text, err
}

// blocks yields the PEM blocks of text.
func blocks(text []byte) iter.Seq[*pem.Block] {
	return func(yield func(*pem.Block) bool) {
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if !yield(block) {
				return
			}
		}
	}
}

func checkChain(all iter.Seq[*pem.Block]) error {
	certificates, keys := 0, 0
	for b := range all {
		switch {
		case b.Type == "CERTIFICATE":
			certificates++
			if _, err := x509.ParseCertificate(b.Bytes); err != nil {
				return fmt.Errorf("number %d in the file: %w", certificates, err)
			}
		case isKey(b):
			keys++
		}
	}
	switch {
	case certificates > 0:
		return nil
	case keys > 0:
		return errors.New("holds a private key and no certificate; are cert and key swapped?")
	}
	return errors.New("holds no certificate")
}

func checkKey(all iter.Seq[*pem.Block]) error {
	certificates := 0
	for b := range all {
		switch {
		case b.Type == "CERTIFICATE":
			certificates++
		case b.Type == "ENCRYPTED PRIVATE KEY", isKey(b) && strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED"):
			return errors.New("is encrypted, and there is nobody to ask for its password; decrypt it with 'openssl pkey'")
		case isKey(b):
			return nil
		}
	}
	if certificates > 0 {
		return errors.New("holds a certificate and no private key; are cert and key swapped?")
	}
	return errors.New("holds no private key")
}

func isKey(b *pem.Block) bool {
	return b.Type == "PRIVATE KEY" || strings.HasSuffix(b.Type, " PRIVATE KEY")
}

// misplaced reports whether key belongs to a certificate of chain that is not
// the first.
func misplaced(chain, key []byte) bool {
	for b := range blocks(chain) {
		if _, err := tls.X509KeyPair(pem.EncodeToMemory(b), key); err == nil {
			return true
		}
	}
	return false
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
