//go:build !portable

package relay

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
	"reflect"
	"strings"
	"testing"

	"sluice/internal/wire"
	"sluice/internal/wstest"
)

// Content types, and a handshake type (RFC 8446, sections 5.1 and 4).
const (
	typeAlert     = 21
	typeHandshake = 22
	typeData      = 23
	keyUpdate     = 24
)

// forger is a peer that protects its records itself, with TLS_AES_128_GCM_SHA256 of
// TLS 1.3, by rules written down a second time: it sends what it likes, and its
// Read gives io.EOF for a close_notify alone.
type forger struct {
	net.Conn        // the socket
	in, out  keys   // of what it reads and of what it writes
	plain    []byte // not read yet
	asked    []byte // what key updates of the gateway asked for
	end      error  // behind plain
}

// keys is one direction.
type keys struct {
	secret   []byte
	aead     cipher.AEAD
	iv       []byte
	sequence uint64
}

// set makes the keys of a traffic secret (RFC 8446, section 7.3).
func (k *keys) set(secret []byte) {
	block, err := aes.NewCipher(expandLabel(secret, "key", 16))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	*k = keys{secret: secret, aead: aead, iv: expandLabel(secret, "iv", 12)}
}

// update goes on to the next traffic secret (RFC 8446, section 7.2).
func (k *keys) update() { k.set(expandLabel(k.secret, "traffic upd", 32)) }

// nonce returns that of the next record.
func (k *keys) nonce() []byte {
	n := bytes.Clone(k.iv)
	for i := range 8 {
		n[4+i] ^= byte(k.sequence >> (56 - 8*i))
	}
	k.sequence++
	return n
}

func expandLabel(secret []byte, label string, n int) []byte {
	info := fmt.Sprintf("\x00%c%c%s\x00", n, len("tls13 "+label), "tls13 "+label)
	b, err := hkdf.Expand(sha256.New, secret, info, n)
	if err != nil {
		panic(err)
	}
	return b
}

// seal returns a record.
func (f *forger) seal(typ byte, content ...byte) []byte {
	n := len(content) + 1 + f.out.aead.Overhead()
	head := []byte{typeData, 3, 3, byte(n >> 8), byte(n)}
	return f.out.aead.Seal(head, f.out.nonce(), append(bytes.Clone(content), typ), head)
}

// rekey returns a KeyUpdate, which asks for one or not, and uses the next keys.
func (f *forger) rekey(ask byte) []byte {
	b := f.seal(typeHandshake, keyUpdate, 0, 0, 1, ask)
	f.out.update()
	return b
}

// Write sends b in records that are as long as they may be.
func (f *forger) Write(b []byte) (n int, err error) {
	for n < len(b) {
		part := b[n:min(len(b), n+1<<14)]
		if _, err := f.Conn.Write(f.seal(typeData, part...)); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

func (f *forger) CloseWrite() error {
	if _, err := f.Conn.Write(f.seal(typeAlert, 1, 0)); err != nil {
		return err
	}
	return wire.CloseWrite(f.Conn)
}

func (f *forger) NetConn() net.Conn { return f.Conn }

// alert is one that the gateway sent, but for close_notify.
type alert byte

func (a alert) Error() string { return fmt.Sprintf("alert %d", byte(a)) }

func (f *forger) Read(p []byte) (int, error) {
	for len(f.plain) == 0 {
		if f.end != nil {
			return 0, f.end
		}
		f.end = f.open()
	}
	n := copy(p, f.plain)
	f.plain = f.plain[n:]
	return n, nil
}

// open reads the next record.
func (f *forger) open() error {
	head := make([]byte, 5)
	if _, err := io.ReadFull(f.Conn, head); err != nil {
		if err == io.EOF {
			return errors.New("an end without close_notify")
		}
		return err
	}
	n := int(head[3])<<8 | int(head[4])
	if head[0] != typeData || n > 1<<14+256 {
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
	case typ == typeData:
		f.plain = b
		return nil
	case typ == typeHandshake && len(b) == 5 && b[0] == keyUpdate:
		f.asked = append(f.asked, b[4])
		f.in.update()
		return nil
	case typ == typeAlert && bytes.Equal(b, []byte{1, 0}):
		return io.EOF
	case typ == typeAlert && len(b) == 2:
		return alert(b[1])
	}
	return fmt.Errorf("a record of inner type %d with %x", typ, b)
}

// forgedTLS is overTLS with peers that are forgers.
func forgedTLS(t testing.TB, below link) link {
	ca := wstest.NewCA(t)
	server, client := ca.Server(t, "localhost"), ca.Client("localhost")
	return func(t testing.TB, side Side) (gateway, peer net.Conn) {
		g, p := below(t, side)
		var log bytes.Buffer
		gateway, shaken := handshakeTLS(t, g, p, side, server, client, &log)
		if shaken.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
			t.Skip("this machine has no AES that is fast, so that crypto/tls takes another suite")
		}
		f := &forger{Conn: p}
		from := [...]string{Client: "CLIENT_TRAFFIC_SECRET_0 ", Backend: "SERVER_TRAFFIC_SECRET_0 "}
		f.in.set(secretIn(t, log.String(), from[side.other()]))
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

// forger returns what a peer sends its records with.
func (p *peer) forger() *forger { return p.Conn.(*forger) }

// sendRecord sends bytes below TLS.
func (p *peer) sendRecord(b ...[]byte) {
	p.t.Helper()
	if _, err := p.forger().Conn.Write(bytes.Join(b, nil)); err != nil {
		p.t.Fatal(err)
	}
}

// expectTakenOver checks how many TLS connections the loops have taken over, and that
// there were no others.
func (h *engineFixture) expectTakenOver(n int) {
	h.t.Helper()
	if taken, why := h.takenOver.Load(), h.reasons(); taken != uint64(n) || len(why) != 0 {
		h.t.Errorf("%d TLS connections were taken over, sessions left to crypto/tls for %q; want %d and none", taken, why, n)
	}
}

// expectNoSecrets checks that the loops, which hold no session, hold none of their
// secrets either.
func (h *engineFixture) expectNoSecrets() {
	h.t.Helper()
	h.expectEmpty()
	for _, l := range h.loops {
		l.call(func() {
			for _, chunk := range l.tlsStates.cells.all {
				if chunk == nil {
					continue
				}
				if len(chunk.free) != chunkSize {
					h.t.Errorf("%d secrets are kept", chunkSize-len(chunk.free))
				}
				for i, b := range chunk.memory {
					if b != 0 {
						h.t.Fatalf("byte %d of the secrets is %#x", i, b)
					}
				}
			}
			if l.tlsStates.cipherCache == nil {
				return
			}
			for i := range l.tlsStates.cipherCache {
				if !reflect.ValueOf(&l.tlsStates.cipherCache[i].ciphers).Elem().IsZero() {
					h.t.Fatalf("the ciphers of cell %d are kept", l.tlsStates.cipherCache[i].cell)
				}
			}
		})
	}
}

// countSecretBytes counts the bytes of the loops' secrets that are not zero.
func (h *engineFixture) countSecretBytes() (n int) {
	for _, l := range h.loops {
		l.call(func() {
			for _, chunk := range l.tlsStates.cells.all {
				if chunk != nil {
					n += len(chunk.memory) - bytes.Count(chunk.memory, []byte{0})
				}
			}
		})
	}
	return n
}

// Nothing follows a fatal alert, whoever sent it and whoever protects the records
// (RFC 8446, section 6.2).
func TestNothingFollowsAFatalAlert(t *testing.T) {
	tests := []struct {
		name string
		sent func(f *forger) []byte
		want string // what the peer gets in front of the end
	}{
		{"one of the peer's", func(f *forger) []byte { return f.seal(typeAlert, 2, 40) }, "an end without close_notify"},
		{"one of the gateway's", func(f *forger) []byte {
			b := f.seal(typeData, 1, 2, 3)
			b[len(b)-1]++
			return b
		}, "alert 20, an end without close_notify"},
		{"a record that is none", func(f *forger) []byte { return []byte{typeData, 3, 3, 0xff, 0xff} }, "alert 22, an end without close_notify"},
	}
	for _, tt := range tests {
		for _, side := range []Side{Client, Backend} {
			for _, portable := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, portable %t", tt.name, side, portable), func(t *testing.T) {
					t.Parallel()
					h := newFixture(t)
					kinds := [2]link{loopback, loopback}
					kinds[side] = forgedTLS(t, loopback)
					ends := [2]*peer{{t: t, side: Client}, {t: t, side: Backend}}
					o := Session{ID: 1, Group: &h.group}
					o.Client.Conn, ends[Client].Conn = kinds[Client](t, Client)
					o.Backend.Conn, ends[Backend].Conn = kinds[Backend](t, Backend)
					if portable {
						h.portable.Join(o)
					} else {
						h.Join(o)
					}
					p, other := ends[side], ends[side.other()]
					p.sendRecord(tt.sent(p.forger()))
					other.answerClose(fmt.Sprint("close ", lostCode(side)), wstest.Close(1001, ""))
					var got []string
					for err := error(alert(0)); errors.As(err, new(alert)); {
						err = p.forger().open()
						got = append(got, fmt.Sprint(err))
					}
					if s := strings.Join(got, ", "); s != tt.want {
						t.Errorf("the %s got %s; want %s", side, s, tt.want)
					}
					p.Close()
					h.expectReport(Lost, side, lostCode(side))
				})
			}
		}
	}
}
