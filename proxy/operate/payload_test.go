package operate

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/admin"
	"sluice/internal/telemetry"
	"sluice/proxy/relay"
)

// deflated compresses a message as permessage-deflate does (RFC 7692, section 7.2.1).
func deflated(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(text))
	w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// final is Hello in a block that says it is the last one (RFC 7692, section 7.2.3.4).
const final = "\xf3\x48\xcd\xc9\xc9\x07\x00"

func TestPayloadsAreShown(t *testing.T) {
	const most = 16
	whole := deflated(t, "hello, world")
	text := func(payload string) relay.TappedFrame {
		return relay.TappedFrame{Op: ws.OpText, Message: ws.OpText, Fin: true, Length: int64(len(payload)), Payload: payload}
	}
	with := func(f relay.TappedFrame, change func(*relay.TappedFrame)) relay.TappedFrame {
		change(&f)
		return f
	}
	compressed := func(payload string) relay.TappedFrame {
		return with(text(payload), func(f *relay.TappedFrame) { f.Compressed = true })
	}
	of := func(op ws.OpCode, payload string) relay.TappedFrame {
		return with(text(payload), func(f *relay.TappedFrame) { f.Op, f.Message = op, op&^8 })
	}
	tests := []struct {
		name  string
		frame relay.TappedFrame
		want  admin.Payload
	}{
		{"nothing", text(""), admin.Payload{}},
		{"text", text("päyload"), admin.Payload{Text: "päyload"}},
		{"text of which there is more", with(text("0123456789abcdef"), func(f *relay.TappedFrame) { f.Length = 17 }), admin.Payload{Text: "0123456789abcdef", Cut: true}},
		{"more than may be shown now", text("0123456789abcdefg"), admin.Payload{Text: "0123456789abcdef", Cut: true}},
		{"text that is cut in a character", text("0123456789abcd\U0001F600"), admin.Payload{Text: "0123456789abcd", Cut: true}},
		{"text that is cut after a character", text("0123456789ab\U0001F600x"), admin.Payload{Text: "0123456789ab\U0001F600", Cut: true}},
		{"text that is none", text("a\xffb"), admin.Payload{Hex: "61ff62"}},
		{"a fragment that ends in a character", with(text("a\xc3"), func(f *relay.TappedFrame) { f.Fin = false }), admin.Payload{Hex: "61c3"}},
		{"the rest of a text", with(text("rest"), func(f *relay.TappedFrame) { f.Op = ws.OpContinuation }), admin.Payload{Text: "rest"}},
		{"a rest whose beginning was not seen", of(ws.OpContinuation, "rest"), admin.Payload{Hex: "72657374", Note: "the beginning of its message was not seen"}},
		{"binary", of(ws.OpBinary, "abc"), admin.Payload{Hex: "616263"}},
		{"ping", of(ws.OpPing, "abc"), admin.Payload{Hex: "616263"}},
		{"Close without a code", of(ws.OpClose, ""), admin.Payload{}},
		{"Close with a code", of(ws.OpClose, "\x03\xe8"), admin.Payload{Code: 1000}},
		{"Close with a reason", of(ws.OpClose, "\x0f\xa1bye"), admin.Payload{Code: 4001, Reason: "bye"}},
		{"Close with a reason that is cut", of(ws.OpClose, "\x0f\xa10123456789abc\u00e4"), admin.Payload{Code: 4001, Reason: "0123456789abc", Cut: true}},
		{"a compressed message", compressed(deflated(t, "hello")), admin.Payload{Text: "hello", Note: "inflated"}},
		{"a compressed message of nothing", compressed("\x00"), admin.Payload{Note: "inflated"}},
		{"a compressed message of bytes", with(compressed(deflated(t, "ab")), func(f *relay.TappedFrame) { f.Op, f.Message = ws.OpBinary, ws.OpBinary }), admin.Payload{Hex: "6162", Note: "inflated"}},
		{"a compressed message of more", compressed(deflated(t, strings.Repeat("x", 1<<20))), admin.Payload{Text: strings.Repeat("x", most), Cut: true, Note: "inflated"}},
		{"a compressed message as long as is shown", compressed(deflated(t, strings.Repeat("x", most))), admin.Payload{Text: strings.Repeat("x", most), Note: "inflated"}},
		{"the beginning of a compressed message", with(compressed(whole[:7]), func(f *relay.TappedFrame) { f.Length = int64(len(whole)) }), admin.Payload{Text: "hello,", Cut: true, Note: "inflated"}},
		{"too little of a compressed message", with(compressed(whole[:1]), func(f *relay.TappedFrame) { f.Length = int64(len(whole)) }), admin.Payload{Hex: "ca", Cut: true, Note: "compressed, could not be inflated"}},
		{"no compressed message", compressed("\xff\xff"), admin.Payload{Hex: "ffff", Note: "compressed, could not be inflated"}},
		{"a block that says more than came", compressed("\x00\x10\x00\xef\xffabc"), admin.Payload{Hex: "001000efff616263", Note: "compressed, could not be inflated"}},
		{"two final blocks", compressed(final + final + "\x00"), admin.Payload{Text: "HelloHello", Note: "inflated"}},
		{"the beginning of final blocks", with(compressed(final+final), func(f *relay.TappedFrame) { f.Length++ }), admin.Payload{Text: "HelloHello", Cut: true, Note: "inflated"}},
		{"RFC 7692, section 7.2.3.4", compressed(final + "\x00"), admin.Payload{Text: "Hello", Note: "inflated"}},
		{"RFC 7692, section 7.2.3.5", compressed("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), admin.Payload{Text: "Hello", Note: "inflated"}},
		{"a message of a side with a context", with(compressed("ab"), func(f *relay.TappedFrame) { f.From = relay.Backend }), admin.Payload{Hex: "6162", Note: "compressed, context unknown"}},
		{"a fragment of a compressed message", with(compressed("ab"), func(f *relay.TappedFrame) { f.Fin = false }), admin.Payload{Hex: "6162", Note: "compressed, context unknown"}},
		{"the last of a compressed message", with(compressed("ab"), func(f *relay.TappedFrame) { f.Op = ws.OpContinuation }), admin.Payload{Hex: "6162", Note: "compressed, context unknown"}},
	}
	p := newPayloads(telemetry.Session{Deflate: true, ClientNoTakeover: true})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := p.show(&tt.frame, most); got != tt.want {
				t.Errorf("show(%+v, %d) = %+v; want %+v", tt.frame, most, got, tt.want)
			}
		})
	}
}

// Final blocks cost a new beginning each: of a message of very many the first are shown.
func TestFinalBlocksAreBounded(t *testing.T) {
	many := final + strings.Repeat("\x03\x00", 1000) + final + "\x00"
	f := relay.TappedFrame{Op: ws.OpText, Message: ws.OpText, Fin: true, Compressed: true, Length: int64(len(many)), Payload: many}
	want := admin.Payload{Text: "Hello", Cut: true, Note: "inflated"}
	if got := newPayloads(telemetry.Session{ClientNoTakeover: true}).show(&f, 4096); got != want {
		t.Errorf("show = %+v; want %+v", got, want)
	}
}

// inflatedWhole inflates a message as RFC 7692, section 7.2.2, has it, without a bound.
func inflatedWhole(payload string) (text []byte, ok bool) {
	in := strings.NewReader(payload + "\x00\x00\xff\xff\x01\x00\x00\xff\xff")
	for in.Len() > 0 {
		more, err := io.ReadAll(flate.NewReaderDict(in, text))
		if text = append(text, more...); err != nil {
			return text, false
		}
	}
	return text, true
}

// FuzzInflate: what is shown of any message begins the whole of it. Where all is shown, the message is
// good, and a message that is good and short enough is shown.
func FuzzInflate(f *testing.F) {
	for _, seed := range []string{"", "\x00", "\xff\xff", "\x00\x10\x00\xef\xffabc", "\x00\x07\x00\xf8\xffabc", final + final + "\x00", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", strings.Repeat("\x03\x00", 100)} {
		f.Add(seed, 16)
		f.Add(seed, 4096)
	}
	f.Fuzz(func(t *testing.T, payload string, most int) {
		most = 16 + max(most, 0)%4081
		payload = payload[:min(len(payload), most)]
		frame := relay.TappedFrame{Op: ws.OpBinary, Message: ws.OpBinary, Fin: true, Compressed: true, Length: int64(len(payload)), Payload: payload}
		got := newPayloads(telemetry.Session{ClientNoTakeover: true}).show(&frame, most)
		whole, good := inflatedWhole(payload)
		if got.Note != "inflated" {
			if good && len(whole) > most { // enough of it is good
				t.Errorf("show(%x) = %+v; want %x", payload, got, whole)
			}
			return
		}
		shown, err := hex.DecodeString(got.Hex)
		if err != nil || !bytes.HasPrefix(whole, shown) || !got.Cut && (!good || len(shown) != len(whole)) {
			t.Errorf("show(%x) = %+v, %v; want the beginning of %x, which is good: %t", payload, got, err, whole, good)
		}
	})
}

// A frame that inflates to very much costs no more than what is shown of it, and the window of DEFLATE.
func TestABombCostsNothingMore(t *testing.T) {
	bomb := deflated(t, strings.Repeat("\x00", 3<<20)) // 1000 times as long
	p := newPayloads(telemetry.Session{Deflate: true, ClientNoTakeover: true})
	f := relay.TappedFrame{Op: ws.OpBinary, Message: ws.OpBinary, Fin: true, Compressed: true, Length: int64(len(bomb)), Payload: bomb}
	p.show(&f, 256) // the inflater is there from now on
	const times = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range times {
		if got := p.show(&f, 4096); len(got.Hex) != 2*4096 || !got.Cut {
			t.Fatalf("show = %d digits, cut %t; want those of 4096 bytes, and true", len(got.Hex), got.Cut)
		}
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / times; n > 64<<10 {
		t.Errorf("%d bytes were allocated for a frame; want at most 64 KiB", n)
	}
}

func TestOpSet(t *testing.T) {
	for want, names := range map[uint16][]string{
		0:                            nil,
		1<<ws.OpText | 1<<ws.OpClose: {"close", "text"},
		1 << ws.OpContinuation:       {"continuation"},
		1<<0 | 1<<1 | 1<<2 | 7<<8:    admin.FrameOps(),
	} {
		if got := opSet(names); got != want {
			t.Errorf("opSet(%q) = %b; want %b", names, got, want)
		}
	}
}
