package certfile

import (
	"crypto/x509"
	"errors"
	"fmt"

	"sluice/internal/pemfile"
)

// Authorities reads a PEM file of CA certificates. It must hold at least one
// certificate, and no block of another kind. The error names the file and,
// where it can, the line.
func Authorities(file string) ([]*x509.Certificate, error) {
	blocks, err := pemfile.Read(file)
	if err == nil {
		err = checkKinds(blocks, certificateBlock)
	}
	if err != nil {
		return nil, err
	}
	return parseCertificates(blocks)
}

// parseCertificates parses blocks that are all certificates.
func parseCertificates(blocks []pemfile.Block) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for _, b := range blocks {
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, b.Errorf("number %d of the certificates cannot be read: %w", len(all)+1, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// RevocationLists reads a file of revocation lists (RFC 5280, section 5), in
// PEM or DER. It must hold nothing else. It does not check signatures. The error
// names the file and, where it can, the line.
func RevocationLists(file string) ([]*x509.RevocationList, error) {
	text, err := pemfile.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if len(text) > 1 && text[0] == 0x30 && text[1] > 0x80 { // a SEQUENCE of more than 127 bytes: no text begins so
		return parseDERLists(file, text)
	}
	blocks, err := pemfile.Parse(file, text)
	if err == nil {
		err = checkKinds(blocks, listBlock)
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

// parseDERLists parses lists that follow each other without anything between.
func parseDERLists(file string, text []byte) ([]*x509.RevocationList, error) {
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
