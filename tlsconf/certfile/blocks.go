package certfile

import (
	"slices"
	"strings"

	"sluice/internal/pemfile"
)

// kind is what a PEM block holds, as far as this package tells blocks apart.
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

// checkKinds returns an error about the first block that is of none of the
// given kinds. A caller that skipped such a block would read only a part of the
// file.
func checkKinds(blocks []pemfile.Block, kinds ...kind) error {
	for _, b := range blocks {
		if slices.Contains(kinds, kindOf(b)) {
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

// ofKind returns the blocks of one kind.
func ofKind(blocks []pemfile.Block, k kind) []pemfile.Block {
	return slices.DeleteFunc(slices.Clone(blocks), func(b pemfile.Block) bool { return kindOf(b) != k })
}
