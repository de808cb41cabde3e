package record

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"
)

// directionKeys are the keys of one direction.
type directionKeys struct {
	secret   [48]byte // the traffic secret of TLS 1.3; as long as the suite's hash
	key      [32]byte // as long as the suite's
	iv       [12]byte // with AES-GCM of TLS 1.2 only the first 4 bytes are
	sequence uint64   // of the next record
}

// suite is the parts of a cipher suite.
type suite struct {
	version uint16
	key     int
	hash    func() hash.Hash
	gcm     bool
}

// suiteOf returns the suite of an ID, if State covers it.
func suiteOf(id uint16) (s suite, ok bool) {
	switch id {
	case tls.TLS_AES_128_GCM_SHA256:
		return suite{tls.VersionTLS13, 16, sha256.New, true}, true
	case tls.TLS_AES_256_GCM_SHA384:
		return suite{tls.VersionTLS13, 32, sha512.New384, true}, true
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		return suite{tls.VersionTLS13, 32, sha256.New, false}, true
	case tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:
		return suite{tls.VersionTLS12, 16, sha256.New, true}, true
	case tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:
		return suite{tls.VersionTLS12, 32, sha512.New384, true}, true
	case tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
		return suite{tls.VersionTLS12, 32, sha256.New, false}, true
	}
	return suite{}, false
}

// aead returns the cipher for a key.
func (s suite) aead(key []byte) (cipher.AEAD, error) {
	if !s.gcm {
		return chacha20poly1305.New(key[:s.key])
	}
	block, err := aes.NewCipher(key[:s.key])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// derive makes the key and the IV of the traffic secret (RFC 8446, section 7.3).
func (h *directionKeys) derive(s suite) error {
	if err := s.expand(h.key[:s.key], h.secret[:], "key"); err != nil {
		return err
	}
	h.sequence = 0
	return s.expand(h.iv[:], h.secret[:], "iv")
}

// update goes on to the next traffic secret (RFC 8446, section 7.2).
func (h *directionKeys) update(s suite) error {
	if err := s.expand(h.secret[:s.hash().Size()], h.secret[:], "traffic upd"); err != nil {
		return err
	}
	return h.derive(s)
}

// expand is HKDF-Expand-Label without a context (RFC 8446, section 7.1).
func (s suite) expand(out, secret []byte, label string) error {
	info := binary.BigEndian.AppendUint16(nil, uint16(len(out)))
	info = append(info, byte(len("tls13 ")+len(label)))
	info = append(info, "tls13 "+label...)
	info = append(info, 0)
	b, err := hkdf.Expand(s.hash, secret[:s.hash().Size()], string(info), len(out))
	if err != nil {
		return err
	}
	copy(out, b)
	clear(b)
	return nil
}

// Ciphers are the AEADs of a [State]. The zero value is ready: each direction is built when it
// is used first, which takes about a microsecond. They may be dropped between any two calls,
// and serve one State until that is wiped.
type Ciphers struct{ in, out directionCipher }

type directionCipher struct {
	aead  cipher.AEAD
	suite suite
	nonce [12]byte // of the next record; kept here so that a call allocates nothing
	extra [13]byte
}

var errSequence = errors.New("TLS: too many records with one key")

// ready prepares the AEAD and the nonce of the next record.
func (h *directionCipher) ready(id uint16, k *directionKeys) error {
	if h.aead == nil {
		s, ok := suiteOf(id)
		if !ok {
			return errors.New("TLS: a cipher suite that is not covered")
		}
		a, err := s.aead(k.key[:])
		if err != nil {
			return err
		}
		h.aead, h.suite = a, s
	}
	if k.sequence >= maxSequence {
		return errSequence
	}
	if h.suite.explicit() > 0 {
		copy(h.nonce[:4], k.iv[:])
		binary.BigEndian.PutUint64(h.nonce[4:], k.sequence)
		return nil
	}
	h.nonce = k.iv
	binary.BigEndian.PutUint64(h.nonce[4:], k.sequence^binary.BigEndian.Uint64(k.iv[4:]))
	return nil
}

// explicit returns how many bytes of its nonce a record carries.
func (s suite) explicit() int {
	if s.version == tls.VersionTLS12 && s.gcm {
		return explicit
	}
	return 0
}

// additional returns the additional data of n bytes of plaintext in TLS 1.2 (RFC 5246, section
// 6.2.3.3).
func (h *directionCipher) additional(sequence uint64, typ byte, n int) []byte {
	b := binary.BigEndian.AppendUint64(h.extra[:0], sequence)
	return append(b, typ, 3, 3, byte(n>>8), byte(n))
}
