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
	keyUpdate     = 24
)

// A Forger is a peer that protects its records itself, with TLS_AES_128_GCM_SHA256 of TLS
// 1.3. The rules are written down a second time, so that it can break them. Its Read gives
// io.EOF for a close_notify only.
type Forger struct {
	net.Conn            // the socket
	Asked    []byte     // what the key updates of the gateway asked for
	in, out  recordKeys // of what it reads and of what it writes
	plain    []byte     // not read yet
	end      error      // after plain
}

// recordKeys are the keys of one direction.
type recordKeys struct {
	secret   []byte
	aead     cipher.AEAD
	iv       []byte
	sequence uint64
}

// set makes the keys of a traffic secret (RFC 8446, section 7.3).
func (k *recordKeys) set(secret []byte) {
	block, err := aes.NewCipher(expandLabel(secret, "key", 16))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	*k = recordKeys{secret: secret, aead: aead, iv: expandLabel(secret, "iv", 12)}
}

// update goes on to the next traffic secret (RFC 8446, section 7.2).
func (k *recordKeys) update() { k.set(expandLabel(k.secret, "traffic upd", 32)) }

// nonce returns the nonce of the next record.
func (k *recordKeys) nonce() []byte {
	n := bytes.Clone(k.iv)
	for i := range 8 {
		n[4+i] ^= byte(k.sequence >> (56 - 8*i))
	}
	k.sequence++
	return n
}

// expandLabel is HKDF-Expand-Label without a context (RFC 8446, section 7.1).
func expandLabel(secret []byte, label string, n int) []byte {
	info := fmt.Sprintf("\x00%c%c%s\x00", n, len("tls13 "+label), "tls13 "+label)
	b, err := hkdf.Expand(sha256.New, secret, info, n)
	if err != nil {
		panic(err)
	}
	return b
}

// Seal returns a record.
func (f *Forger) Seal(typ byte, content ...byte) []byte {
	n := len(content) + 1 + f.out.aead.Overhead()
	head := []byte{TypeData, 3, 3, byte(n >> 8), byte(n)}
	return f.out.aead.Seal(head, f.out.nonce(), append(bytes.Clone(content), typ), head)
}

// Rekey returns a KeyUpdate, which asks for one in return if ask is 1. The forger writes with
// the next keys from then on.
func (f *Forger) Rekey(ask byte) []byte {
	b := f.Seal(TypeHandshake, keyUpdate, 0, 0, 1, ask)
	f.out.update()
	return b
}

// Write sends b in the longest records that are allowed.
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

// CloseWrite sends close_notify and ends the stream.
func (f *Forger) CloseWrite() error {
	if _, err := f.Conn.Write(f.Seal(TypeAlert, 1, 0)); err != nil {
		return err
	}
	return wire.CloseWrite(f.Conn)
}

// NetConn returns the socket.
func (f *Forger) NetConn() net.Conn { return f.Conn }

// An Alert is one of the gateway's, other than close_notify.
type Alert byte

func (a Alert) Error() string { return fmt.Sprintf("alert %d", byte(a)) }

func (f *Forger) Read(p []byte) (int, error) {
	for len(f.plain) == 0 {
		if f.end != nil {
			return 0, f.end
		}
		f.end = f.Open()
	}
	n := copy(p, f.plain)
	f.plain = f.plain[n:]
	return n, nil
}

// RecordsRead returns how many records of the gateway were read with the keys in use.
func (f *Forger) RecordsRead() uint64 { return f.in.sequence }

// Open reads the next record. Its error is how the stream ended, an Alert too.
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
	b, err := f.in.aead.Open(nil, f.in.nonce(), body, head)
	if err != nil {
		return err
	}
	b, typ := b[:len(b)-1], b[len(b)-1]
	switch {
	case typ == TypeData:
		f.plain = b
		return nil
	case typ == TypeHandshake && len(b) == 5 && b[0] == keyUpdate:
		f.Asked = append(f.Asked, b[4])
		f.in.update()
		return nil
	case typ == TypeAlert && bytes.Equal(b, []byte{1, 0}):
		return io.EOF
	case typ == TypeAlert && len(b) == 2:
		return Alert(b[1])
	}
	return fmt.Errorf("a record of inner type %d with %x", typ, b)
}

// ForgedTLS is OverTLS with a Forger as the peer.
func ForgedTLS(t testing.TB, below Link) Link {
	ca := wstest.NewCA(t)
	server, client := ca.Server(t, "localhost"), ca.Client("localhost")
	return func(t testing.TB, side core.Side) (gateway, peer net.Conn) {
		g, p := below(t, side)
		var log bytes.Buffer
		gateway, shaken := handshakeTLS(t, g, p, side, server, client, &log)
		if shaken.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
			t.Skip("this machine has no AES that is fast, so that crypto/tls takes another suite")
		}
		f := &Forger{Conn: p}
		from := [...]string{core.Client: "CLIENT_TRAFFIC_SECRET_0 ", core.Backend: "SERVER_TRAFFIC_SECRET_0 "}
		f.in.set(secretIn(t, log.String(), from[side.Other()]))
		f.out.set(secretIn(t, log.String(), from[side]))
		f.in.sequence, f.out.sequence = 1, 1
		return gateway, f
	}
}

// secretIn finds a secret in a key log.
func secretIn(t testing.TB, log, label string) []byte {
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

// Forger returns the forger that the peer is.
func (p *Peer) Forger() *Forger { return p.Conn.(*Forger) }

// SendRecord sends bytes below TLS.
func (p *Peer) SendRecord(b ...[]byte) {
	p.T.Helper()
	if _, err := p.Forger().Conn.Write(bytes.Join(b, nil)); err != nil {
		p.T.Fatal(err)
	}
}
