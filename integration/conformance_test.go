package integration

import (
	"fmt"
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
}

// frame is a frame as the side sends its frames, masked or not.
func frame(f ws.Frame) func(wstest.Peer) []byte {
	return func(p wstest.Peer) []byte { return p.Encode(f) }
}

// misfit is a frame masked where it must not be, and not where it must.
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
		{name: "close with a reason that is not UTF-8", bad: frame(wstest.Close(1000, "caf\xe9"))},
		{name: "close with a reason that is cut inside a rune", bad: frame(wstest.Close(1000, "caf\xc3"))},
		{name: "close with a surrogate in its reason", bad: frame(wstest.Close(1000, "\xed\xa0\x80"))},
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

// The other side gets exactly what was valid and then 1001, the offender 1002,
// and the log tells who did what.
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
						from.ExpectClose(1002)
						client.ExpectEnd()
						backend.ExpectEnd()

						r := g.ended(uri)
						expect(t, r, record{"close_code": 1002, "ended_by": offender, "cause": "protocol violation"})
						if got := r.text("detail"); !strings.Contains(got, offender+" sent") {
							t.Errorf("detail = %q, want it to tell what the %s sent", got, offender)
						}
					})
				}
			})
		}
	}
}
