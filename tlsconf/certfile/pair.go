// Package certfile reads certificates, private keys and revocation lists from
// files. It reads a file whole or refuses it: a block that is damaged or does
// not belong there is an error that names the line, never skipped.
package certfile

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"sluice/internal/pemfile"
)

// File names the PEM files of a certificate chain, the server's own certificate
// first, and of its private key. Both may be the same file.
type File struct {
	Cert, Key string
	Option    string // where the two are configured, for [Error]
}

// Error is a mistake in a file that a configuration names. Its text names the
// file and, where it can, the line.
type Error struct {
	Option string // that names the file, as in "tls.client_auth.crl"; for one of a [File], its Option and ".cert" or ".key"
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Pair is a certificate and its key, as a server needs them. Leaf is set.
type Pair struct {
	tls.Certificate
	File    File
	Exposed bool // every user of the machine can read the key file
}

// LoadPair is [LoadKeyPair] for a server: it also checks who can read the key.
func LoadPair(f File) (*Pair, []error) {
	c, mistakes := LoadKeyPair(f)
	if mistakes != nil {
		return nil, mistakes
	}
	exposed, err := readableByAll(f.Key)
	if err != nil {
		return nil, []error{&Error{Option: f.Option + ".key", Err: fmt.Errorf("key %w", err)}}
	}
	return &Pair{Certificate: c, File: f, Exposed: exposed}, nil
}

// Names returns the names that the certificate is valid for: DNS names in lower
// case, wildcards among them, and IP addresses.
func (p *Pair) Names() []string {
	var names []string
	for _, name := range p.Leaf.DNSNames {
		names = append(names, strings.ToLower(name))
	}
	for _, ip := range p.Leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// LoadKeyPair reads f, and checks that the key belongs to the certificate. It
// returns the mistakes of both files, each an [*Error]. A mistake between the
// two has the Option of f itself.
func LoadKeyPair(f File) (tls.Certificate, []error) {
	var mistakes []error
	fail := func(option, format string, args ...any) {
		mistakes = append(mistakes, &Error{Option: f.Option + option, Err: fmt.Errorf(format, args...)})
	}
	chain, err := readChain(f.Cert)
	if err != nil {
		fail(".cert", "certificate %w", err)
	}
	key, err := readKey(f.Key)
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

// ParseKeyPair parses text that holds one private key and the chain of its
// certificate, and nothing else.
func ParseKeyPair(text []byte) (tls.Certificate, error) {
	blocks, err := pemfile.Parse("key pair", text)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := checkKinds(blocks, keyBlock, certificateBlock); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(text, text)
}

// readChain returns the certificates in a file that may hold their key too.
func readChain(file string) ([]pemfile.Block, error) {
	blocks, err := pemfile.Read(file)
	if err != nil {
		return nil, err
	}
	chain := ofKind(blocks, certificateBlock)
	if len(chain) == 0 && len(ofKind(blocks, keyBlock)) > 0 {
		return nil, &pemfile.Error{File: file, Err: errors.New("holds a private key and no certificate; are cert and key swapped?")}
	}
	if err := checkKinds(blocks, certificateBlock, keyBlock, parametersBlock); err != nil {
		return nil, err
	}
	if len(chain) == 0 {
		return nil, &pemfile.Error{File: file, Err: errors.New("holds no certificate")}
	}
	_, err = parseCertificates(chain)
	return chain, err
}

// readKey returns the private key in a file that may hold its certificates too.
func readKey(file string) (*pemfile.Block, error) {
	blocks, err := pemfile.Read(file)
	if err != nil {
		return nil, err
	}
	keys := ofKind(blocks, keyBlock)
	if len(keys) == 0 && len(ofKind(blocks, certificateBlock)) > 0 {
		return nil, &pemfile.Error{File: file, Err: errors.New("holds a certificate and no private key; are cert and key swapped?")}
	}
	if err := checkKinds(blocks, certificateBlock, keyBlock, parametersBlock); err != nil {
		return nil, err
	}
	switch {
	case len(keys) == 0:
		return nil, &pemfile.Error{File: file, Err: errors.New("holds no private key")}
	case len(keys) > 1:
		return nil, keys[1].Errorf("a second private key, after the one at line %d: leave the one that belongs to the certificate", keys[0].Line)
	case keys[0].Type == "ENCRYPTED PRIVATE KEY", strings.Contains(keys[0].Headers["Proc-Type"], "ENCRYPTED"):
		return nil, keys[0].Errorf("is encrypted, and there is nobody to ask for its password; decrypt it with 'openssl pkey -in %s -out NEWFILE'", file)
	case keys[0].Type == "OPENSSH PRIVATE KEY":
		return nil, keys[0].Errorf("is a key in the form of OpenSSH; convert a copy of it with 'ssh-keygen -p -m pkcs8 -f COPY'")
	}
	return &keys[0], nil
}

// join makes a certificate of a chain and its key. crypto/tls gets a text that
// holds only what was read here, because it skips blocks that it does not know.
func join(chain []pemfile.Block, key *pemfile.Block) (tls.Certificate, error) {
	var text []byte
	for _, b := range chain {
		text = append(text, pem.EncodeToMemory(&b.Block)...)
	}
	return tls.X509KeyPair(text, pem.EncodeToMemory(&key.Block))
}

// misplaced reports whether key belongs to a certificate of chain, but not to
// the first.
func misplaced(chain []pemfile.Block, key *pemfile.Block) bool {
	return slices.ContainsFunc(chain, func(b pemfile.Block) bool {
		_, err := join([]pemfile.Block{b}, key)
		return err == nil
	})
}

// readableByAll reports whether every user of the machine can read file. On
// Windows it returns false: files have no such permission bits there.
func readableByAll(file string) (bool, error) {
	info, err := os.Stat(file)
	if err != nil {
		return false, err
	}
	return runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0, nil
}
