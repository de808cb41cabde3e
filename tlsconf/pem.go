package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sluice/internal/pemfile"
)

// Authorities reads a PEM file that holds certificates, at least one, and no
// block of another kind.
func Authorities(file string) ([]*x509.Certificate, error) {
	blocks, err := pemfile.Read(file)
	if err == nil {
		err = only(blocks, certificateBlock)
	}
	if err != nil {
		return nil, err
	}
	return certificatesIn(blocks)
}

// certificatesIn parses the certificates among blocks.
func certificatesIn(blocks []pemfile.Block) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for _, b := range blocks {
		if kindOf(b) != certificateBlock {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, b.Errorf("number %d of the certificates cannot be read: %w", len(all)+1, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// revocationLists parses the content of a PEM or DER file that holds revocation
// lists and nothing else.
func revocationLists(file string, text []byte) ([]*x509.RevocationList, error) {
	if len(text) > 1 && text[0] == 0x30 && text[1] > 0x80 { // a SEQUENCE of more than 127 bytes, and no text
		var all []*x509.RevocationList
		for len(text) > 0 {
			list, err := x509.ParseRevocationList(text)
			if err != nil {
				return nil, &pemfile.Error{File: file, Err: fmt.Errorf("number %d of the DER lists cannot be read, the file is cut or has something else in it: %w", len(all)+1, err)}
			}
			all, text = append(all, list), text[len(list.Raw):]
		}
		return all, nil
	}
	blocks, err := pemfile.Parse(file, text)
	if err == nil {
		err = only(blocks, listBlock)
	}
	if err != nil {
		return nil, err
	}
	var all []*x509.RevocationList
	for _, b := range blocks {
		list, err := x509.ParseRevocationList(b.Bytes)
		if err == nil && len(list.Raw) < len(b.Bytes) {
			err = errors.New("something follows it in its block")
		}
		if err != nil {
			return nil, b.Errorf("this revocation list cannot be read: %w", err)
		}
		all = append(all, list)
	}
	return all, nil
}

// kind is what a block is of, as far as it matters here.
type kind int

const (
	otherBlock kind = iota
	certificateBlock
	keyBlock
	parametersBlock // of a key or of a key exchange: OpenSSL writes them beside keys
	listBlock
)

func kindOf(b pemfile.Block) kind {
	switch {
	case b.Type == "CERTIFICATE":
		return certificateBlock
	case b.Type == "PRIVATE KEY", strings.HasSuffix(b.Type, " PRIVATE KEY"):
		return keyBlock
	case strings.HasSuffix(b.Type, " PARAMETERS"):
		return parametersBlock
	case b.Type == "X509 CRL":
		return listBlock
	}
	return otherBlock
}

// only returns an error about the first block whose kind is none of belong: to
// pass over it would be to read the file in part.
func only(blocks []pemfile.Block, belong ...kind) error {
	for _, b := range blocks {
		if slices.Contains(belong, kindOf(b)) {
			continue
		}
		advice := "remove it, or name the file that was meant"
		switch b.Type {
		case "X509 CERTIFICATE":
			advice = "'-----BEGIN CERTIFICATE-----' is the name of today"
		case "TRUSTED CERTIFICATE":
			advice = "it is a form of OpenSSL's own, which 'openssl x509 -in FILE' converts"
		case "PKCS7", "CMS":
			advice = "'openssl pkcs7 -in FILE -print_certs' converts it"
		case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
			advice = "it asks a CA for a certificate and is none: name the file that the CA sent back"
		}
		return b.Errorf("a block %q does not belong in this file: %s", b.Type, advice)
	}
	return nil
}

// certificatePart returns the certificates of a file that may hold their key
// too.
func certificatePart(file string) ([]pemfile.Block, error) {
	blocks, err := pemfile.Read(file)
	if err != nil {
		return nil, err
	}
	chain := ofKind(blocks, certificateBlock)
	if len(chain) == 0 && len(ofKind(blocks, keyBlock)) > 0 {
		return nil, &pemfile.Error{File: file, Err: errors.New("holds a private key and no certificate; are cert and key swapped?")}
	}
	if err := only(blocks, certificateBlock, keyBlock, parametersBlock); err != nil {
		return nil, err
	}
	if len(chain) == 0 {
		return nil, &pemfile.Error{File: file, Err: errors.New("holds no certificate")}
	}
	_, err = certificatesIn(chain)
	return chain, err
}

// keyPart returns the private key of a file that may hold its certificates too.
func keyPart(file string) (*pemfile.Block, error) {
	blocks, err := pemfile.Read(file)
	if err != nil {
		return nil, err
	}
	keys := ofKind(blocks, keyBlock)
	if len(keys) == 0 && len(ofKind(blocks, certificateBlock)) > 0 {
		return nil, &pemfile.Error{File: file, Err: errors.New("holds a certificate and no private key; are cert and key swapped?")}
	}
	if err := only(blocks, certificateBlock, keyBlock, parametersBlock); err != nil {
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

func ofKind(blocks []pemfile.Block, k kind) []pemfile.Block {
	return slices.DeleteFunc(slices.Clone(blocks), func(b pemfile.Block) bool { return kindOf(b) != k })
}

// join makes a certificate of its chain and its key. It is crypto/tls that does
// it, from a text that holds nothing but what was read here.
func join(chain []pemfile.Block, key *pemfile.Block) (tls.Certificate, error) {
	var text []byte
	for _, b := range chain {
		text = append(text, pem.EncodeToMemory(&b.Block)...)
	}
	return tls.X509KeyPair(text, pem.EncodeToMemory(&key.Block))
}
