package record

import (
	"bytes"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// the versions, each by one of its suites.
const (
	v13 = tls.TLS_AES_128_GCM_SHA256
	v12 = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	c12 = tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
)

var all = []uint16{v13, v12, c12}

// handshakeMessage returns a handshake message whose body is n zeros.
func handshakeMessage(typ byte, n int) []byte {
	return append([]byte{typ, byte(n >> 16), byte(n >> 8), byte(n)}, make([]byte, n)...)
}

func times(n int, f func() []byte) (b []byte) {
	for range n {
		b = append(b, f()...)
	}
	return b
}

// sender is a peer that can send any record.
type sender struct {
	*end
	t testing.TB
}

func (p sender) rec(typ byte, content ...byte) []byte { return p.put(p.t, typ, content) }

func (p sender) rekey(ask byte) []byte {
	x := session{end: *p.end}
	b := x.rekey(p.t, ask)
	*p.end = x.end
	return b
}

func change(b []byte, at int) []byte {
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	return b
}

func TestHostilePeer(t *testing.T) {
	tests := []struct {
		name   string
		suites []uint16
		client bool // the attacked end is the client
		send   func(sender) []byte
		want   Alert
	}{
		{"a changed tag", all, false, func(p sender) []byte { return change(p.rec(typeData, 1, 2, 3), -1) }, BadRecordMAC},
		{"a changed byte", all, false, func(p sender) []byte { return change(p.rec(typeData, 1, 2, 3), -17) }, BadRecordMAC},
		{"a changed nonce", []uint16{v12}, false, func(p sender) []byte { return change(p.rec(typeData, 1, 2, 3), 5) }, BadRecordMAC},
		{"a changed version in TLS 1.3", []uint16{v13}, false, func(p sender) []byte { return change(p.rec(typeData, 1, 2, 3), 2) }, BadRecordMAC},
		{"another version in TLS 1.2", []uint16{v12, c12}, false, func(p sender) []byte { return change(p.rec(typeData, 1), 2) }, ProtocolVersion},
		{"a changed type in TLS 1.2", []uint16{v12, c12}, false, func(p sender) []byte { return change(p.rec(typeData, 1), 0) }, BadRecordMAC},
		{"a record twice", all, false, func(p sender) []byte { b := p.rec(typeData, 1); return slices.Concat(b, b) }, BadRecordMAC},
		{"a record left out", all, false, func(p sender) []byte { p.rec(typeData, 1); return p.rec(typeData, 2) }, BadRecordMAC},
		{"a record of the other direction", all, false, func(p sender) []byte {
			p.State.out, p.Ciphers.out = p.State.in, directionCipher{}
			return p.rec(typeData, 1)
		}, BadRecordMAC},
		{"nothing in it", all, false, func(sender) []byte { return []byte{23, 3, 3, 0, 0} }, BadRecordMAC},
		{"less than a tag", all, false, func(sender) []byte { return append([]byte{23, 3, 3, 0, 15}, make([]byte, 15)...) }, BadRecordMAC},
		{"a tag of nothing", all, false, func(sender) []byte { return append([]byte{23, 3, 3, 0, 16}, make([]byte, 16)...) }, BadRecordMAC},
		{"a header above the limit of TLS 1.3", []uint16{v13}, false, func(sender) []byte { return []byte{23, 3, 3, 0x41, 0x01} }, RecordOverflow},
		{"a header above the limit of TLS 1.2", []uint16{v12, c12}, false, func(sender) []byte { return []byte{23, 3, 3, 0x48, 0x01} }, RecordOverflow},
		{"the longest length", all, false, func(sender) []byte { return []byte{23, 3, 3, 0xff, 0xff} }, RecordOverflow},
		{"too much in it", all, false, func(p sender) []byte { return p.rec(typeData, make([]byte, maxPlain+1)...) }, RecordOverflow},
		{"too much padding", []uint16{v13}, false, func(p sender) []byte {
			return p.rec(0, append([]byte{'x', typeData}, make([]byte, maxPlain)...)...)
		}, RecordOverflow},
		{"only padding", []uint16{v13}, false, func(p sender) []byte { return p.rec(0, 0, 0, 0) }, UnexpectedMessage},
		{"not even a type", []uint16{v13}, false, func(p sender) []byte {
			h := &p.Ciphers.out
			h.ready(p.Suite, &p.State.out)
			head := []byte{23, 3, 3, 0, tagSize}
			return h.aead.Seal(head, h.nonce[:], nil, head)
		}, UnexpectedMessage},
		{"HTTP", all, false, func(sender) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }, UnexpectedMessage},
		{"a heartbeat", all, false, func(p sender) []byte { return []byte{24, 3, 3, 0, 1, 1} }, UnexpectedMessage},
		{"plain data in TLS 1.3", []uint16{v13}, false, func(sender) []byte { return append([]byte{23, 3, 3, 0, 30}, make([]byte, 30)...) }, BadRecordMAC},
		{"a plain alert in TLS 1.3", []uint16{v13}, false, func(sender) []byte { return []byte{21, 3, 3, 0, 2, 1, 0} }, UnexpectedMessage},
		{"a plain alert in TLS 1.2", []uint16{v12, c12}, false, func(sender) []byte { return []byte{21, 3, 3, 0, 2, 1, 0} }, BadRecordMAC},
		{"a plain handshake record in TLS 1.3", []uint16{v13}, false, func(sender) []byte { return []byte{22, 3, 3, 0, 5, 24, 0, 0, 1, 0} }, UnexpectedMessage},
		{"a plain ChangeCipherSpec in TLS 1.3", []uint16{v13}, false, func(sender) []byte { return []byte{20, 3, 3, 0, 1, 1} }, UnexpectedMessage},
		{"a plain ChangeCipherSpec in TLS 1.2", []uint16{v12, c12}, false, func(sender) []byte { return []byte{20, 3, 3, 0, 1, 1} }, BadRecordMAC},
		{"a sealed ChangeCipherSpec", all, false, func(p sender) []byte { return p.rec(typeChangeCipherSpec, 1) }, UnexpectedMessage},
		{"an unknown type inside", []uint16{v13}, false, func(p sender) []byte { return p.rec(99, 1) }, UnexpectedMessage},
		{"a sealed heartbeat", all, false, func(p sender) []byte { return p.rec(24, 1) }, UnexpectedMessage},

		{"an empty alert", all, false, func(p sender) []byte { return p.rec(typeAlert) }, UnexpectedMessage},
		{"half an alert", all, false, func(p sender) []byte { return p.rec(typeAlert, 2) }, DecodeError},
		{"two alerts", all, false, func(p sender) []byte { return p.rec(typeAlert, 1, 90, 1, 0) }, DecodeError},
		{"an alert of no level", []uint16{v12, c12}, false, func(p sender) []byte { return p.rec(typeAlert, 3, 40) }, DecodeError},

		{"an empty handshake record", all, false, func(p sender) []byte { return p.rec(typeHandshake) }, UnexpectedMessage},
		{"a key update that asks for neither", []uint16{v13}, false, func(p sender) []byte { return p.rec(typeHandshake, 24, 0, 0, 1, 2) }, IllegalParameter},
		{"an empty key update", []uint16{v13}, false, func(p sender) []byte { return p.rec(typeHandshake, 24, 0, 0, 0) }, DecodeError},
		{"a long key update", []uint16{v13}, false, func(p sender) []byte { return p.rec(typeHandshake, 24, 0, 0, 2, 0, 0) }, DecodeError},
		{"a message after a key update", []uint16{v13}, false, func(p sender) []byte { return p.rec(typeHandshake, 24, 0, 0, 1, 0, 24) }, UnexpectedMessage},
		{"the old key after a key update", []uint16{v13}, false, func(p sender) []byte {
			return append(p.rec(typeHandshake, 24, 0, 0, 1, 0), p.rec(typeData, 1)...)
		}, BadRecordMAC},
		{"data inside a message", []uint16{v13}, false, func(p sender) []byte {
			return append(p.rec(typeHandshake, 24, 0), p.rec(typeData, 1)...)
		}, UnexpectedMessage},
		{"the end inside a message", []uint16{v13}, false, func(p sender) []byte {
			return append(p.rec(typeHandshake, 24, 0, 0, 1), p.rec(typeAlert, 1, 0)...)
		}, UnexpectedMessage},
		{"data inside a ticket", []uint16{v13}, true, func(p sender) []byte {
			return append(p.rec(typeHandshake, handshakeMessage(newSessionTicket, 50)[:40]...), p.rec(typeData, 1)...)
		}, UnexpectedMessage},
		{"a ticket from a client", []uint16{v13}, false, func(p sender) []byte {
			return p.rec(typeHandshake, handshakeMessage(newSessionTicket, 50)...)
		}, UnexpectedMessage},
		{"an empty ticket", []uint16{v13}, true, func(p sender) []byte { return p.rec(typeHandshake, handshakeMessage(newSessionTicket, 0)...) }, DecodeError},
		{"a ticket above the limit", []uint16{v13}, true, func(p sender) []byte { return p.rec(typeHandshake, newSessionTicket, 2, 2, 0) }, DecodeError},
		{"a request for a certificate", []uint16{v13}, true, func(p sender) []byte { return p.rec(typeHandshake, handshakeMessage(13, 10)...) }, UnexpectedMessage},
		{"another Finished", all, true, func(p sender) []byte { return p.rec(typeHandshake, handshakeMessage(20, 32)...) }, UnexpectedMessage},
		{"a ClientHello in TLS 1.3", []uint16{v13}, false, func(p sender) []byte { return p.rec(typeHandshake, handshakeMessage(1, 100)...) }, UnexpectedMessage},
		{"a ClientHello in TLS 1.2", []uint16{v12, c12}, false, func(p sender) []byte { return p.rec(typeHandshake, handshakeMessage(1, 100)...) }, NoRenegotiation},
		{"a ClientHello to a client", []uint16{v12, c12}, true, func(p sender) []byte { return p.rec(typeHandshake, handshakeMessage(1, 100)...) }, UnexpectedMessage},
		{"a HelloRequest", []uint16{v12, c12}, true, func(p sender) []byte { return p.rec(typeHandshake, 0, 0, 0, 0) }, NoRenegotiation},
		{"a HelloRequest to a server", []uint16{v12, c12}, false, func(p sender) []byte { return p.rec(typeHandshake, 0, 0, 0, 0) }, UnexpectedMessage},

		{"a flood of empty records", all, false, func(p sender) []byte {
			return times(maxIdle+1, func() []byte { return p.rec(typeData) })
		}, UnexpectedMessage},
		{"a flood of padding", []uint16{v13}, false, func(p sender) []byte {
			return times(maxIdle+1, func() []byte { return p.rec(0, append([]byte{typeData}, make([]byte, 1000)...)...) })
		}, UnexpectedMessage},
		{"a flood of empty records among data", all, false, func(p sender) []byte {
			return times(maxIdle+1, func() []byte { return append(p.rec(typeData), p.rec(typeData, 1)...) })
		}, UnexpectedMessage},
		{"a flood of key updates", []uint16{v13}, false, func(p sender) []byte {
			return times(maxIdle+1, func() []byte { return p.rekey(0) })
		}, UnexpectedMessage},
		{"a flood of key updates that ask, among data", []uint16{v13}, false, func(p sender) []byte {
			return times(maxIdle+1, func() []byte { return append(p.rekey(1), p.rec(typeData, 1)...) })
		}, UnexpectedMessage},
		{"a flood of tickets", []uint16{v13}, true, func(p sender) []byte {
			return times(maxIdle+1, func() []byte { return p.rec(typeHandshake, handshakeMessage(newSessionTicket, 50)...) })
		}, UnexpectedMessage},
		{"a ticket in very small pieces", []uint16{v13}, true, func(p sender) []byte {
			m := handshakeMessage(newSessionTicket, 50)
			return times(maxIdle+1, func() []byte { b := p.rec(typeHandshake, m[0]); m = m[1:]; return b })
		}, UnexpectedMessage},
		{"a flood of warnings", all, false, func(p sender) []byte {
			return times(maxIdle+1, func() []byte { return p.rec(typeAlert, 1, 90) })
		}, UnexpectedMessage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, id := range tt.suites {
				for _, step := range []int{1, 1 << 20} { // bytes that arrive at once
					client, server := ends(t, id)
					peer, victim := sender{client, t}, server
					if tt.client {
						peer, victim = sender{server, t}, client
					}
					err := feed(victim, tt.send(peer), step)
					a, ok := errors.AsType[*AlertError](err)
					if !ok || a.Remote || a.Alert != tt.want {
						t.Fatalf("%s: Open, %d bytes at a time: %v; want alert %d", tls.CipherSuiteName(id), step, err, tt.want)
					}
					told(t, peer.end, victim, a.Alert)
				}
			}
		})
	}
}

// feed opens b, of which step bytes arrive at a time.
func feed(e *end, in []byte, step int) error {
	for n := 0; n < len(in) || n > 0; {
		r, err := e.open(in[:n])
		switch {
		case err != nil:
			return err
		case r.Used > 0:
			in, n = in[r.Used:], n-r.Used
		case n == len(in):
			return nil
		default:
			n = min(n+step, len(in))
		}
	}
	return nil
}

// told checks the alert that the peer gets.
func told(t *testing.T, peer, victim *end, want Alert) {
	t.Helper()
	r, err := peer.open(victim.Alert(&victim.Ciphers, nil, want))
	if want == NoRenegotiation { // a warning in TLS 1.2
		if r.Kind != Nothing || err != nil {
			t.Errorf("the peer got %+v, %v; want a warning", r, err)
		}
		return
	}
	if a, ok := errors.AsType[*AlertError](err); !ok || !a.Remote || a.Alert != want {
		t.Errorf("the peer got %+v, %v; want alert %d", r, err, want)
	}
}

func TestEveryAlertIsUnderstood(t *testing.T) {
	for _, id := range all {
		for code := range 256 {
			for _, level := range []byte{1, 2} {
				client, server := ends(t, id)
				r, err := server.open(client.put(t, typeAlert, []byte{level, byte(code)}))
				switch a, _ := errors.AsType[*AlertError](err); {
				case Alert(code) == CloseNotify:
					if r.Kind != Closed || err != nil {
						t.Errorf("close_notify: %+v, %v", r, err)
					}
				case id == v13 && Alert(code) == UserCanceled, id != v13 && level == 1:
					if r.Kind != Nothing || err != nil {
						t.Errorf("%s: alert %d, level %d: %+v, %v; want Nothing", tls.CipherSuiteName(id), code, level, r, err)
					}
				case a == nil || !a.Remote || a.Alert != Alert(code):
					t.Errorf("%s: alert %d, level %d: %+v, %v; want the peer's alert", tls.CipherSuiteName(id), code, level, r, err)
				default:
					// Nothing follows a fatal alert, in neither direction.
					last := server.Alert(&server.Ciphers, nil, CloseNotify)
					if data, err := server.Seal(&server.Ciphers, nil, []byte("x")); len(last) > 0 || len(data) > 0 || err == nil {
						t.Errorf("%s: after alert %d, level %d, %d bytes of an alert and %d of data, %v; want none", tls.CipherSuiteName(id), code, level, len(last), len(data), err)
					}
				}
			}
		}
	}
}

func TestPeerWithinItsRights(t *testing.T) {
	ticket := handshakeMessage(newSessionTicket, 60)
	tests := []struct {
		name   string
		suites []uint16
		client bool // the reading end is the client
		send   func(sender) []byte
		want   string
	}{
		{"data", all, false, func(p sender) []byte { return p.rec(typeData, 'a', 'b') }, "ab"},
		{"the longest record", all, false, func(p sender) []byte { return p.rec(typeData, make([]byte, maxPlain)...) }, string(make([]byte, maxPlain))},
		{"padding", []uint16{v13}, false, func(p sender) []byte { return p.rec(0, 'a', typeData, 0, 0, 0) }, "a"},
		{"padding to the limit", []uint16{v13}, false, func(p sender) []byte {
			return p.rec(0, append([]byte{'a', typeData}, make([]byte, maxPlain-2)...)...)
		}, "a"},
		{"data that ends with zeros", all, false, func(p sender) []byte { return p.rec(typeData, 'a', 0, 0) }, "a\x00\x00"},
		{"empty records", all, false, func(p sender) []byte {
			return append(times(maxIdle, func() []byte { return p.rec(typeData) }), p.rec(typeData, 'a')...)
		}, "a"},
		{"a nonce of its own in TLS 1.2", []uint16{v12}, false, func(p sender) []byte {
			h := &p.Ciphers.out
			h.ready(p.Suite, &p.State.out)
			copy(h.nonce[4:], "whatever")
			b := append([]byte{23, 3, 3, 0, explicit + 1 + tagSize}, "whatever"...)
			return h.aead.Seal(b, h.nonce[:], []byte("a"), h.additional(0, typeData, 1))
		}, "a"},
		{"key updates", []uint16{v13}, false, func(p sender) []byte {
			return times(maxIdle, func() []byte { return append(p.rekey(1), p.rec(typeData, 'a')...) })
		}, string(bytes.Repeat([]byte("a"), maxIdle))},
		{"a key update in pieces", []uint16{v13}, false, func(p sender) []byte {
			b := append(p.rec(typeHandshake, 24, 0), p.rec(typeHandshake, 0, 1)...)
			b = append(b, p.rec(typeHandshake, 0)...)
			s, _ := suiteOf(v13)
			p.State.out.update(s)
			p.Ciphers.out.aead = nil
			return append(b, p.rec(typeData, 'a')...)
		}, "a"},
		{"a ticket", []uint16{v13}, true, func(p sender) []byte {
			return append(p.rec(typeHandshake, ticket...), p.rec(typeData, 'a')...)
		}, "a"},
		{"tickets in one record", []uint16{v13}, true, func(p sender) []byte {
			return append(p.rec(typeHandshake, slices.Concat(ticket, ticket, ticket)...), p.rec(typeData, 'a')...)
		}, "a"},
		{"tickets cut anywhere", []uint16{v13}, true, func(p sender) (b []byte) {
			for piece := range slices.Chunk(slices.Concat(ticket, ticket, ticket), 29) {
				b = append(b, p.rec(typeHandshake, piece...)...)
			}
			return append(b, p.rec(typeData, 'a')...)
		}, "a"},
		{"a ticket and a key update in one record", []uint16{v13}, true, func(p sender) []byte {
			b := p.rec(typeHandshake, append(slices.Clone(ticket), 24, 0, 0, 1, 0)...)
			s, _ := suiteOf(v13)
			p.State.out.update(s)
			p.Ciphers.out.aead = nil
			return append(b, p.rec(typeData, 'a')...)
		}, "a"},
		{"the longest ticket", []uint16{v13}, true, func(p sender) (b []byte) {
			for piece := range slices.Chunk(handshakeMessage(newSessionTicket, maxTicket), maxPlain) {
				b = append(b, p.rec(typeHandshake, piece...)...)
			}
			return append(b, p.rec(typeData, 'a')...)
		}, "a"},
		{"user_canceled and the end", all, false, func(p sender) []byte {
			return append(p.rec(typeAlert, 1, 90), p.rec(typeAlert, 1, 0)...)
		}, ""},
		{"data after the end", all, false, func(p sender) []byte {
			return append(p.rec(typeAlert, 1, 0), p.rec(typeData, 'a')...)
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, id := range tt.suites {
				client, server := ends(t, id)
				peer, reader := sender{client, t}, server
				if tt.client {
					peer, reader = sender{server, t}, client
				}
				if got, _ := openAll(t, reader, tt.send(peer)); string(got) != tt.want {
					t.Errorf("%s: read %.40q; want %.40q", tls.CipherSuiteName(id), got, tt.want)
				}
			}
		})
	}
}

// The limit is on the records of one second, not on those of a session.
func TestRecordsWithoutContentAreBoundedInTime(t *testing.T) {
	client, server := ends(t, v13)
	for second := range int64(5) {
		for n := range maxIdle {
			if _, err := server.Open(&server.Ciphers, client.put(t, typeData, nil), second<<30); err != nil {
				t.Fatalf("empty record %d of second %d: %v", n, second, err)
			}
		}
	}
	if _, err := server.Open(&server.Ciphers, client.put(t, typeData, nil), 4<<30); err == nil {
		t.Error("one more was let through")
	}
}

// A record that is not complete is not touched.
func TestOpenWaitsAtEveryByte(t *testing.T) {
	for _, id := range all {
		client, server := ends(t, id)
		record := client.seal(t, []byte("some text"))
		for n := range record {
			part := slices.Clone(record[:n])
			state := server.State
			if r, err := server.open(part); !reflect.DeepEqual(r, Record{}) || err != nil {
				t.Fatalf("Open of %d bytes = %+v, %v; want More", n, r, err)
			}
			if server.State != state || !bytes.Equal(part, record[:n]) {
				t.Fatalf("Open of %d bytes changed something", n)
			}
		}
		if got, _ := openAll(t, server, record); string(got) != "some text" {
			t.Errorf("read %q", got)
		}
	}
}

// For any input: no panic, and plaintext only of records that the peer has sealed, in their
// order.
func FuzzOpen(f *testing.F) {
	f.Add(uint8(0), uint64(1), []byte("\x17\x03\x03\x00\x20"), uint16(0))
	f.Add(uint8(3), uint64(2), []byte("\x15\x03\x03\x00\x02\x01\x00"), uint16(9))
	f.Add(uint8(5), uint64(3), []byte{}, uint16(40))
	f.Fuzz(func(t *testing.T, which uint8, seed uint64, garbage []byte, at uint16) {
		client, server := ends(t, suites[int(which)%len(suites)])
		r := rand.New(rand.NewPCG(seed, 0))
		var in, sent []byte
		for range 1 + r.IntN(4) {
			text := make([]byte, 1+r.IntN(300))
			for i := range text {
				text[i] = byte(r.Uint32())
			}
			sent = append(sent, text...)
			in = append(in, client.seal(t, text)...)
		}
		n := int(at) % (len(in) + 1)
		if r.IntN(2) == 0 {
			in = slices.Concat(in[:n], garbage, in[n:])
		} else {
			copy(in[n:], garbage)
		}
		var got []byte
		for len(in) > 0 {
			r, err := server.open(in)
			if err != nil || r.Used == 0 || r.Kind == Closed {
				break
			}
			got = append(got, r.Data...)
			in = in[r.Used:]
		}
		if !bytes.HasPrefix(sent, got) {
			t.Fatalf("read %x, which was not sent; sent was %x", got, sent)
		}
	})
}
