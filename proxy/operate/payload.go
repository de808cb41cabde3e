package operate

import (
	"compress/flate"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"sluice/internal/admin"
	"sluice/internal/telemetry"
	"sluice/proxy/relay"
)

// payloads shows the payloads of a session's frames. What is compressed it inflates where that takes
// nothing but the frame: a message of one frame, of a side that takes no context over (RFC 7692, section
// 7.1.1). It keeps no context itself.
type payloads struct {
	alone    [2]bool // by Side: it takes no context over
	inflater io.Reader
}

func newPayloads(s telemetry.Session) *payloads {
	return &payloads{alone: [2]bool{relay.Client: s.ClientNoTakeover, relay.Backend: s.BackendNoTakeover}}
}

// show returns what is shown of a frame: at most most bytes of its payload.
func (p *payloads) show(f *relay.TappedFrame, most int) (shown admin.Payload) {
	payload := f.Payload[:min(len(f.Payload), most)]
	shown.Cut = int64(len(payload)) < f.Length
	switch {
	case len(payload) == 0:
	case f.Op == ws.OpClose && len(payload) >= 2:
		shown.Code = int(binary.BigEndian.Uint16([]byte(payload)))
		shown.Reason = wholeRunes(payload[2:], shown.Cut)
	case f.Op.IsControl():
		shown.Hex = hex.EncodeToString([]byte(payload))
	case f.Message == ws.OpContinuation:
		shown.Hex, shown.Note = hex.EncodeToString([]byte(payload)), "the beginning of its message was not seen"
	case !f.Compressed:
		setData(&shown, payload, f.Message)
	case !f.Fin || f.Op == ws.OpContinuation || !p.alone[f.From]:
		shown.Hex, shown.Note = hex.EncodeToString([]byte(payload)), "compressed, context unknown"
	default:
		p.inflate(&shown, payload, f.Message, most)
	}
	return shown
}

// messageEnd is what follows a compressed message: the end of its last block, which senders leave out
// (RFC 7692, section 7.2.1), and a final block of nothing, so that a good message ends with [io.EOF].
const messageEnd = "\x00\x00\xff\xff" + "\x01\x00\x00\xff\xff"

// maxFinal is how many final blocks of a message are inflated. Each costs a new beginning.
const maxFinal = 16

// inflate shows a compressed message, or what the beginning of one inflates to: never more than most
// bytes, however many there are. It is what a receiver makes of the message (RFC 7692, section 7.2.2).
func (p *payloads) inflate(shown *admin.Payload, payload string, message ws.OpCode, most int) {
	in := strings.NewReader(payload)
	if !shown.Cut {
		in = strings.NewReader(payload + messageEnd)
	}
	b := make([]byte, most+1)
	n, err := p.read(b, in)
	more := err == nil || shown.Cut
	switch {
	case err == nil || errors.Is(err, io.EOF):
	case shown.Cut && errors.Is(err, io.ErrUnexpectedEOF): // the rest was not seen
	default:
		n, more = 0, true
	}
	if n == 0 && more {
		shown.Hex, shown.Note = hex.EncodeToString([]byte(payload)), "compressed, could not be inflated"
		return
	}
	shown.Cut = more
	setData(shown, string(b[:min(n, most)]), message)
	shown.Note = "inflated"
}

// read inflates in into b, and returns how many bytes that gave. A final block does not end a message:
// others may follow. The error is [io.EOF] at the end of in, and nil if there is more.
func (p *payloads) read(b []byte, in *strings.Reader) (n int, err error) {
	for range maxFinal {
		if p.inflater == nil {
			p.inflater = flate.NewReader(in)
		} else if err := p.inflater.(flate.Resetter).Reset(in, b[:n]); err != nil {
			panic(err) // it never fails
		}
		for err = nil; err == nil && n < len(b); {
			var m int
			m, err = p.inflater.Read(b[n:])
			n += m
		}
		if !errors.Is(err, io.EOF) || in.Len() == 0 {
			return n, err
		}
	}
	return n, nil
}

// setData shows the payload of a data frame: text if it is one of text and UTF-8.
func setData(shown *admin.Payload, payload string, message ws.OpCode) {
	if text := wholeRunes(payload, shown.Cut); message == ws.OpText && utf8.ValidString(text) {
		shown.Text = text
		return
	}
	shown.Hex = hex.EncodeToString([]byte(payload))
}

// wholeRunes returns text without the beginning of a character that was cut at its end.
func wholeRunes(text string, cut bool) string {
	for i := len(text) - 1; cut && i >= 0 && i >= len(text)-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			if !utf8.FullRuneInString(text[i:]) {
				return text[:i]
			}
			break
		}
	}
	return text
}
