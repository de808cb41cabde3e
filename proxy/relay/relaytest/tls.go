package relaytest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"sluice/internal/wire"
	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
)

// Content types, and a handshake type (RFC 8446, sections 5.1 and 4).
const (
	TypeAlert     = 21
	TypeHandshake = 22
	TypeData      = 23
	KeyUpdate     = 24
)

// Forger is a peer that protects its records itself, with TLS_AES_128_GCM_SHA256 of
// TLS 1.3, by rules written down a second time: it sends what it likes, and its
// Read gives io.EOF for a close_notify alone.
type Forger struct {
	net.Conn        // the socket
	In, Out  Keys   // of what it reads and of what it writes
	Plain    []byte // not read yet
	Asked    []byte // what key updates of the gateway asked for
	End      error  // behind plain
}

// Keys is one direction.
type Keys struct {
	Secret   []byte
	Aead     cipher.AEAD
	Iv       []byte
	Sequence uint64
}

// Set makes the keys of a traffic secret (RFC 8446, section 7.3).
func (k *Keys) Set(secret []byte) {
	block, err := aes.NewCipher(ExpandLabel(secret, "key", 16))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	*k = Keys{Secret: secret, Aead: aead, Iv: ExpandLabel(secret, "iv", 12)}
}

// Update goes on to the next traffic secret (RFC 8446, section 7.2).
func (k *Keys) Update() { k.Set(ExpandLabel(k.Secret, "traffic upd", 32)) }

// Nonce returns that of the next record.
func (k *Keys) Nonce() []byte {
	n := bytes.Clone(k.Iv)
	for i := range 8 {
		n[4+i] ^= byte(k.Sequence >> (56 - 8*i))
	}
	k.Sequence++
	return n
}

func ExpandLabel(secret []byte, label string, n int) []byte {
	info := fmt.Sprintf("\x00%c%c%s\x00", n, len("tls13 "+label), "tls13 "+label)
	b, err := hkdf.Expand(sha256.New, secret, info, n)
	if err != nil {
		panic(err)
	}
	return b
}

// Seal returns a record.
func (f *Forger) Seal(typ byte, content ...byte) []byte {
	n := len(content) + 1 + f.Out.Aead.Overhead()
	head := []byte{TypeData, 3, 3, byte(n >> 8), byte(n)}
	return f.Out.Aead.Seal(head, f.Out.Nonce(), append(bytes.Clone(content), typ), head)
}

// Rekey returns a KeyUpdate, which asks for one or not, and uses the next keys.
func (f *Forger) Rekey(ask byte) []byte {
	b := f.Seal(TypeHandshake, KeyUpdate, 0, 0, 1, ask)
	f.Out.Update()
	return b
}

// Write sends b in records that are as long as they may be.
func (f *Forger) Write(b []byte) (n int, err error) {
	for n < len(b) {
		part := b[n:min(len(b), n+1<<14)]
		if _, err := f.Conn.Write(f.Seal(TypeData, part...)); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

func (f *Forger) CloseWrite() error {
	if _, err := f.Conn.Write(f.Seal(TypeAlert, 1, 0)); err != nil {
		return err
	}
	return wire.CloseWrite(f.Conn)
}

func (f *Forger) NetConn() net.Conn { return f.Conn }

// Alert is one that the gateway sent, but for close_notify.
type Alert byte

func (a Alert) Error() string { return fmt.Sprintf("alert %d", byte(a)) }

func (f *Forger) Read(p []byte) (int, error) {
	for len(f.Plain) == 0 {
		if f.End != nil {
			return 0, f.End
		}
		f.End = f.Open()
	}
	n := copy(p, f.Plain)
	f.Plain = f.Plain[n:]
	return n, nil
}

// Open reads the next record.
func (f *Forger) Open() error {
	head := make([]byte, 5)
	if _, err := io.ReadFull(f.Conn, head); err != nil {
		if err == io.EOF {
			return errors.New("an end without close_notify")
		}
		return err
	}
	n := int(head[3])<<8 | int(head[4])
	if head[0] != TypeData || n > 1<<14+256 {
		return fmt.Errorf("a record of type %d and %d bytes", head[0], n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(f.Conn, body); err != nil {
		return err
	}
	b, err := f.In.Aead.Open(nil, f.In.Nonce(), body, head)
	if err != nil {
		return err
	}
	b, typ := b[:len(b)-1], b[len(b)-1]
	switch {
	case typ == TypeData:
		f.Plain = b
		return nil
	case typ == TypeHandshake && len(b) == 5 && b[0] == KeyUpdate:
		f.Asked = append(f.Asked, b[4])
		f.In.Update()
		return nil
	case typ == TypeAlert && bytes.Equal(b, []byte{1, 0}):
		return io.EOF
	case typ == TypeAlert && len(b) == 2:
		return Alert(b[1])
	}
	return fmt.Errorf("a record of inner type %d with %x", typ, b)
}

// ForgedTLS is overTLS with peers that are forgers.
func ForgedTLS(t testing.TB, below Link) Link {
	ca := wstest.NewCA(t)
	server, client := ca.Server(t, "localhost"), ca.Client("localhost")
	return func(t testing.TB, side core.Side) (gateway, peer net.Conn) {
		g, p := below(t, side)
		var log bytes.Buffer
		gateway, shaken := HandshakeTLS(t, g, p, side, server, client, &log)
		if shaken.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
			t.Skip("this machine has no AES that is fast, so that crypto/tls takes another suite")
		}
		f := &Forger{Conn: p}
		from := [...]string{core.Client: "CLIENT_TRAFFIC_SECRET_0 ", core.Backend: "SERVER_TRAFFIC_SECRET_0 "}
		f.In.Set(SecretIn(t, log.String(), from[side.Other()]))
		f.Out.Set(SecretIn(t, log.String(), from[side]))
		f.In.Sequence, f.Out.Sequence = 1, 1
		return gateway, f
	}
}

// SecretIn finds a secret in a key log.
func SecretIn(t testing.TB, log, label string) []byte {
	t.Helper()
	_, line, _ := strings.Cut(log, label)
	line, _, _ = strings.Cut(line, "\n")
	_, text, _ := strings.Cut(line, " ")
	secret, err := hex.DecodeString(text)
	if err != nil || len(secret) != sha256.Size {
		t.Fatalf("%d bytes of secret, %v", len(secret), err)
	}
	return secret
}

// Forger returns what a peer sends its records with.
func (p *Peer) Forger() *Forger { return p.Conn.(*Forger) }

// SendRecord sends bytes below TLS.
func (p *Peer) SendRecord(b ...[]byte) {
	p.T.Helper()
	if _, err := p.Forger().Conn.Write(bytes.Join(b, nil)); err != nil {
		p.T.Fatal(err)
	}
}
