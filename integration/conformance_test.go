package integration

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// violation is something RFC 6455 forbids a side to send, behind frames that it
// allows.
type violation struct {
	name    string
	deflate bool       // with permessage-deflate agreed on
	before  []ws.Frame // reaches the other side
	bad     func(wstest.Peer) []byte
	code    int // the close code for the offender; 0 means 1002
}

// told is the close code for the offender.
func (v violation) told() int { return cmp.Or(v.code, 1002) }

// frame is a frame as the side sends its frames, masked or not.
func frame(f ws.Frame) func(wstest.Peer) []byte {
	return func(p wstest.Peer) []byte { return p.Encode(f) }
}

// misfit is a frame that is masked where it must not be, or not masked where it must be.
func misfit(f ws.Frame) func(wstest.Peer) []byte {
	return func(p wstest.Peer) []byte {
		if p.Encode(f)[1]&0x80 != 0 {
			return ws.MustCompileFrame(f)
		}
		return ws.MustCompileFrame(ws.MaskFrame(f))
	}
}

// endless is the header of a frame whose 64-bit length has its top bit set.
func endless(p wstest.Peer) []byte {
	b := p.Encode(ws.NewBinaryFrame(make([]byte, 1<<16)))[:14]
	b[2] |= 0x80
	return b
}

// longLength is a masked or unmasked text frame whose length is written in more bytes than it
// needs: two, or eight.
func longLength(bytes int, payload string) func(wstest.Peer) []byte {
	return func(p wstest.Peer) []byte {
		b := p.Encode(wstest.Text(payload))
		length := binary.BigEndian.AppendUint64(nil, uint64(len(payload)))[8-bytes:]
		b[1] = b[1]&0x80 | map[int]byte{2: 126, 8: 127}[bytes]
		return slices.Concat(b[:2], length, b[2:])
	}
}

func violations() []violation {
	text := wstest.Text("bad")
	compressed := wstest.Reserved(wstest.Text("\xf2H\xcd\xc9\xc9\x07\x00"), true, false, false) // "Hello" of RFC 7692, section 7.2.3.1
	first := wstest.Part(ws.OpText, "begun")
	begun := []ws.Frame{first}
	list := []violation{
		{name: "masked or unmasked against the rule", bad: misfit(text)},
		{name: "empty frame masked or unmasked against the rule", bad: misfit(wstest.Text(""))},
		{name: "ping masked or unmasked against the rule", bad: misfit(wstest.Ping(""))},
		{name: "RSV1 without deflate", bad: frame(wstest.Reserved(text, true, false, false))},
		{name: "RSV1 on a continuation", deflate: true,
			before: []ws.Frame{compressed, wstest.Reserved(first, true, false, false)},
			bad:    frame(wstest.Reserved(wstest.Last("bad"), true, false, false))},
		{name: "RSV1 on a ping", deflate: true, bad: frame(wstest.Reserved(wstest.Ping("bad"), true, false, false))},
		{name: "RSV1 on a close", deflate: true, bad: frame(wstest.Reserved(wstest.Close(1000, ""), true, false, false))},
		{name: "RSV2", bad: frame(wstest.Reserved(text, false, true, false))},
		{name: "RSV2 with deflate", deflate: true, bad: frame(wstest.Reserved(text, false, true, false))},
		{name: "RSV3", bad: frame(wstest.Reserved(text, false, false, true))},
		{name: "RSV3 with deflate", deflate: true, bad: frame(wstest.Reserved(text, true, false, true))},
		{name: "ping of 126 bytes", bad: frame(wstest.Ping(strings.Repeat("p", 126)))},
		{name: "pong of 126 bytes", bad: frame(wstest.Pong(strings.Repeat("p", 126)))},
		{name: "close of 126 bytes", bad: frame(ws.NewCloseFrame([]byte("\x03\xe8" + strings.Repeat("r", 124))))},
		{name: "fragmented ping", bad: frame(wstest.Part(ws.OpPing, "bad"))},
		{name: "fragmented close", bad: frame(wstest.Part(ws.OpClose, "\x03\xe8"))},
		{name: "continuation of nothing", bad: frame(wstest.Last("bad"))},
		{name: "continuation after the last", before: []ws.Frame{first, wstest.Last("")}, bad: frame(wstest.Last("bad"))},
		{name: "text inside a fragmented message", before: begun, bad: frame(text)},
		{name: "binary inside a fragmented message", before: begun, bad: frame(ws.NewBinaryFrame(nil))},
		{name: "close with one byte", bad: frame(ws.NewCloseFrame([]byte{3}))},
		{name: "close inside a message with one byte", before: begun, bad: frame(ws.NewCloseFrame([]byte{3}))},
		{name: "close with a reason that is not UTF-8", bad: frame(wstest.Close(1000, "caf\xe9")), code: 1007},
		{name: "close with a reason that is cut inside a rune", bad: frame(wstest.Close(1000, "caf\xc3")), code: 1007},
		{name: "close with a surrogate in its reason", bad: frame(wstest.Close(1000, "\xed\xa0\x80")), code: 1007},
		{name: "16-bit length of an empty frame", bad: longLength(2, "")},
		{name: "16-bit length of 125 bytes", bad: longLength(2, strings.Repeat("x", 125))},
		{name: "64-bit length of 3 bytes", bad: longLength(8, "bad")},
		{name: "64-bit length with the top bit", bad: endless},
	}
	for _, op := range []ws.OpCode{3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf} {
		list = append(list, violation{name: fmt.Sprintf("opcode %#x", byte(op)), bad: frame(ws.NewFrame(op, true, []byte("bad")))})
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		list = append(list, violation{name: fmt.Sprintf("close code %d", code), bad: frame(wstest.Close(code, "bad"))})
	}
	return list
}

// The other side gets exactly what was valid, and then 1001. The offender gets 1002 or 1007,
// and the log says which side sent what.
func TestViolationsNeverReachTheOtherSide(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"ws", "wss"} {
		for _, offender := range []string{"client", "backend"} {
			t.Run(scheme+" "+offender, func(t *testing.T) {
				t.Parallel()
				b := wstest.NewBackend(t, nil)
				g := start(t, fmt.Sprintf("routes: [{ path: /ws/*, backend: %s }]", b.Address))
				for i, v := range violations() {
					t.Run(v.name, func(t *testing.T) {
						uri := fmt.Sprintf("/ws/%d", i)
						var offer, accept []string
						if v.deflate {
							offer = []string{"Sec-WebSocket-Extensions: permessage-deflate"}
							accept = offer
						}
						client, backend := wstest.Pair(t, g.schemes()[scheme], b, wstest.Handshake(uri, offer...), accept...)
						from, to := client, backend
						if offender == "backend" {
							from, to = backend, client
						}

						valid := append([]ws.Frame{wstest.Text("valid"), wstest.Ping("valid")}, v.before...)
						sent := append(from.Encode(valid...), v.bad(from)...)
						from.WriteString(string(sent) + string(from.Encode(wstest.Text("too late"))))

						to.Expect(valid...)
						to.ExpectClose(1001)
						from.ExpectClose(v.told())
						client.ExpectEnd()
						backend.ExpectEnd()

						r := g.ended(uri)
						expect(t, r, record{"close_code": v.told(), "ended_by": offender, "cause": "protocol violation"})
						if got := r.text("detail"); !strings.Contains(got, offender+" sent") {
							t.Errorf("detail = %q, want it to tell what the %s sent", got, offender)
						}
					})
				}
			})
		}
	}
}

// A client that breaks a rule still gets the answers to what it sent before: everything that
// the backend sends until it has answered its own Close frame. What the client sends after the
// violation does not count.
func TestAViolationOfAClientLosesNoAnswer(t *testing.T) {
	t.Parallel()
	ways := map[string]func(wstest.Peer, []byte, []byte){
		"in one piece": func(p wstest.Peer, valid, bad []byte) { p.WriteString(string(valid) + string(bad)) },
		"apart": func(p wstest.Peer, valid, bad []byte) {
			p.WriteString(string(valid))
			p.WriteString(string(bad))
		},
		"chopped": func(p wstest.Peer, valid, bad []byte) { p.Trickle(slices.Concat(valid, bad)) },
	}
	wrongs := []violation{
		{name: "RSV", bad: frame(wstest.Reserved(wstest.Text("bad"), false, true, true))},
		{name: "reserved opcode", bad: frame(ws.NewFrame(5, true, nil))},
		{name: "reserved control opcode", bad: frame(ws.NewFrame(0xb, true, []byte("bad")))},
		{name: "continuation of nothing", bad: frame(wstest.Last("bad"))},
		{name: "length in too many bytes", bad: longLength(2, "bad")},
		{name: "reason that is not UTF-8", bad: frame(wstest.Close(1000, "\xff")), code: 1007},
		{name: "over a limit", bad: frame(wstest.Text(strings.Repeat("x", 101))), code: 1009},
	}
	overBoth(t, nil, "routes: [{ path: /*, backend: BACKEND, websocket: { limits: { message_size: 100B } } }]", func(t *testing.T, g *gateway, target wstest.Target, b *wstest.Backend) {
		for way, send := range ways {
			for _, v := range wrongs {
				t.Run(way+" "+v.name, func(t *testing.T) {
					uri := "/" + strings.ReplaceAll(way+v.name, " ", "-")
					client, backend := wstest.Pair(t, target, b, wstest.Handshake(uri))
					hello, behind := wstest.Text("hello"), client.Encode(wstest.Text("too late"), wstest.Close(1000, "too late"))
					send(client, client.Encode(hello), append(v.bad(client), behind...))
					backend.Expect(hello, wstest.Close(1001, ""))
					echo := []ws.Frame{wstest.Part(ws.OpText, "hel"), wstest.Ping("p"), wstest.Last("lo")}
					backend.Send(append(echo, wstest.Close(1001, ""))...)
					client.Expect(echo...)
					client.ExpectClose(v.told())
					client.ExpectEnd()
					backend.ExpectEnd()
					expect(t, g.ended(uri), record{"close_code": v.told(), "ended_by": "client", "client_messages": 1, "backend_messages": 1})
				})
			}
		}
	})
}

// The gateway waits only some seconds for a backend that does not answer its 1001.
func TestAViolationIsToldAlthoughTheBackendNeverAnswers(t *testing.T) {
	t.Parallel()
	overBoth(t, nil, "routes: [{ path: /*, backend: BACKEND }]", func(t *testing.T, g *gateway, target wstest.Target, b *wstest.Backend) {
		client, backend := wstest.Pair(t, target, b, wstest.Handshake("/"))
		client.WriteString(string(client.Encode(ws.NewFrame(5, true, nil))))
		backend.Expect(wstest.Close(1001, ""))
		backend.Send(wstest.Text("and another thing"))
		client.Expect(wstest.Text("and another thing"))
		client.ExpectClose(1002)
		client.ExpectEnd()
		expect(t, g.ended("/"), record{"close_code": 1002, "ended_by": "client", "cause": "protocol violation"})
	})
}
