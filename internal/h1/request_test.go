package h1

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"sluice/internal/header"
)

var wide = Limits{Size: 1 << 20, Fields: 100}

// crlf returns text with CRLF at the ends of its lines.
func crlf(text string) []byte { return []byte(strings.ReplaceAll(text, "\n", "\r\n")) }

func TestParseRequest(t *testing.T) {
	tests := []struct {
		name, in string
		want     Head // without Fields and Size
	}{
		{"GET", "GET /a?b HTTP/1.1\nHost: a.test:81\n\n", Head{Method: "GET", Target: "/a?b", Host: "a.test:81", Minor: 1}},
		{"empty lines in front", "\n\nGET / HTTP/1.1\nHost: a\n\n", Head{Method: "GET", Target: "/", Host: "a", Minor: 1}},
		{"a later version", "GET / HTTP/1.9\nHost: a\n\n", Head{Method: "GET", Target: "/", Host: "a", Minor: 1}},
		{"HTTP/1.0", "GET / HTTP/1.0\n\n", Head{Method: "GET", Target: "/", Close: true}},
		{"HTTP/1.0 that stays", "GET / HTTP/1.0\nConnection: x, Keep-Alive\n\n", Head{Method: "GET", Target: "/"}},
		{"close", "GET / HTTP/1.1\nHost: a\nConnection: CLOSE\n\n", Head{Method: "GET", Target: "/", Host: "a", Minor: 1, Close: true}},
		{"upgrade", "GET / HTTP/1.1\nHost: a\nConnection: keep-alive, Upgrade\n\n", Head{Method: "GET", Target: "/", Host: "a", Minor: 1, Upgrades: true}},
		{"a length", "POST / HTTP/1.1\nhost:a\ncontent-LENGTH: \t5 \n\n", Head{Method: "POST", Target: "/", Host: "a", Minor: 1, Length: 5}},
		{"chunks", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: Chunked\n\n", Head{Method: "POST", Target: "/", Host: "a", Minor: 1, Length: Chunks}},
		{"100-continue", "PUT / HTTP/1.1\nHost: a\nContent-Length: 1\nExpect: 100-Continue\n\n", Head{Method: "PUT", Target: "/", Host: "a", Minor: 1, Length: 1, Expects: true}},
		{"100-continue without a body", "PUT / HTTP/1.1\nHost: a\nExpect: 100-continue\n\n", Head{Method: "PUT", Target: "/", Host: "a", Minor: 1}},
		{"absolute form", "GET http://b.test:1/x HTTP/1.1\nHost: a\n\n", Head{Method: "GET", Target: "http://b.test:1/x", Host: "b.test:1", Minor: 1}},
		{"asterisk form", "OPTIONS * HTTP/1.1\nHost: a\n\n", Head{Method: "OPTIONS", Target: "*", Host: "a", Minor: 1}},
		{"an address of IPv6", "GET / HTTP/1.1\nHost: [::1]:80\n\n", Head{Method: "GET", Target: "/", Host: "[::1]:80", Minor: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := crlf(tt.in)
			h, refusal := ParseRequest(in, nil, wide)
			if refusal != nil {
				t.Fatal(refusal)
			}
			if h.Size != len(in) {
				t.Errorf("Size = %d; want %d", h.Size, len(in))
			}
			h.Fields, h.Size = nil, 0
			if got, want := fmt.Sprintf("%+v", h), fmt.Sprintf("%+v", tt.want); got != want {
				t.Errorf("ParseRequest = %s; want %s", got, want)
			}
		})
	}
}

func TestParseRequestRefuses(t *testing.T) {
	const start = "GET / HTTP/1.1\nHost: a\n"
	tests := []struct {
		name, in string
		want     *Refusal
	}{
		{"no version", "GET /\n\n", errStartLine},
		{"HTTP/2", "GET / HTTP/2.0\nHost: a\n\n", errVersion},
		{"a long version", "GET / HTTP/1.10\nHost: a\n\n", errStartLine},
		{"a version in lower case", "GET / http/1.1\nHost: a\n\n", errStartLine},
		{"two spaces", "GET  / HTTP/1.1\nHost: a\n\n", errTarget},
		{"a space at the end", "GET / HTTP/1.1 \nHost: a\n\n", errStartLine},
		{"a tab", "GET\t/ HTTP/1.1\nHost: a\n\n", errStartLine},
		{"a method that is no token", "G(T / HTTP/1.1\nHost: a\n\n", errMethod},
		{"no method", " / HTTP/1.1\nHost: a\n\n", errMethod},
		{"a control character in the target", "GET /\x01 HTTP/1.1\nHost: a\n\n", errTarget},
		{"a relative target", "GET a HTTP/1.1\nHost: a\n\n", errTarget},
		{"a target with another scheme", "GET ftp://a/ HTTP/1.1\nHost: a\n\n", errTarget},
		{"a target with a user", "GET http://u@a/ HTTP/1.1\nHost: a\n\n", errTarget},
		{"a target without a host", "GET http:///x HTTP/1.1\nHost: a\n\n", errTarget},
		{"no Host", "GET / HTTP/1.1\n\n", errHostMissing},
		{"two Hosts", start + "Host: a\n\n", errHostSeveral},
		{"two Hosts in HTTP/1.0", "GET / HTTP/1.0\nHost: a\nHost: b\n\n", errHostSeveral},
		{"an empty Host", "GET / HTTP/1.1\nHost:\n\n", errHost},
		{"a Host with a path", "GET / HTTP/1.1\nHost: a/b\n\n", errHost},
		{"a Host with a user", "GET / HTTP/1.1\nHost: u@a\n\n", errHost},
		{"a folded line", start + "A: b\n c\n\n", errFold},
		{"a space in front of the first field", "GET / HTTP/1.1\n Host: a\n\n", errFold},
		{"a space in front of the colon", start + "A : b\n\n", errName},
		{"no colon", start + "A\n\n", errName},
		{"no name", start + ": b\n\n", errName},
		{"a name that is no token", start + "A(: b\n\n", errName},
		{"NUL", start + "A: b\x00\n\n", errValue},
		{"DEL", start + "A: b\x7f\n\n", errValue},
		{"both lengths", "POST / HTTP/1.1\nHost: a\nContent-Length: 1\nTransfer-Encoding: chunked\n\n", errLengthTE},
		{"two lengths", "POST / HTTP/1.1\nHost: a\nContent-Length: 1\nContent-Length: 1\n\n", errLength},
		{"a list of lengths", "POST / HTTP/1.1\nHost: a\nContent-Length: 1, 1\n\n", errLength},
		{"a length with a sign", "POST / HTTP/1.1\nHost: a\nContent-Length: +1\n\n", errLength},
		{"a negative length", "POST / HTTP/1.1\nHost: a\nContent-Length: -1\n\n", errLength},
		{"a length in hexadecimal", "POST / HTTP/1.1\nHost: a\nContent-Length: 0x1\n\n", errLength},
		{"an empty length", "POST / HTTP/1.1\nHost: a\nContent-Length:\n\n", errLength},
		{"a huge length", "POST / HTTP/1.1\nHost: a\nContent-Length: 9999999999999999999\n\n", errLength},
		{"another coding", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip\n\n", errTE},
		{"two codings", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip, chunked\n\n", errTE},
		{"chunked twice", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n", errTE},
		{"an empty coding", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding:\n\n", errTE},
		{"a coding in quotes", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: \"chunked\"\n\n", errTE},
		{"chunks in HTTP/1.0", "POST / HTTP/1.0\nTransfer-Encoding: chunked\n\n", errTEOld},
		{"another expectation", start + "Expect: 200-ok\n\n", errExpect},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if h, refusal := ParseRequest(crlf(tt.in), nil, wide); refusal != tt.want {
				t.Errorf("ParseRequest = %+v, %v; want %v", h, refusal, tt.want)
			}
		})
	}
	for name, in := range map[string]string{
		"a bare LF":              "GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n",
		"a bare LF at the start": "GET / HTTP/1.1\nHost: a\r\n\r\n",
		"a bare CR":              "GET / HTTP/1.1\r\nHost: a\rA: b\r\n\r\n",
	} {
		if h, refusal := ParseRequest([]byte(in), nil, wide); refusal == nil {
			t.Errorf("%s: ParseRequest = %+v; want a refusal", name, h)
		}
	}
}

func TestLimits(t *testing.T) {
	in := crlf("GET /1234 HTTP/1.1\nHost: a\nB: c\n\n")
	for _, tt := range []struct {
		limits Limits
		want   *Refusal
	}{
		{Limits{Size: len(in), Fields: 2}, nil},
		{Limits{Size: len(in) - 1, Fields: 2}, errHeadSize},
		{Limits{Size: len(in), Fields: 1}, errFields},
		{Limits{Size: 4, Fields: 2}, errTargetSize},
	} {
		if _, refusal := ParseRequest(in, nil, tt.limits); refusal != tt.want {
			t.Errorf("%+v: %v; want %v", tt.limits, refusal, tt.want)
		}
	}
}

func TestEndOfHead(t *testing.T) {
	in := crlf("GET / HTTP/1.1\nHost: a\n\nGET")
	end := len(in) - 3
	for n := range len(in) + 1 {
		want := 0
		if n >= end {
			want = end
		}
		for seen := range min(n, end-1) + 1 {
			if got := EndOfHead(in[:n], seen); got != want {
				t.Fatalf("EndOfHead of %d bytes, %d of them seen = %d; want %d", n, seen, got, want)
			}
		}
	}
}

// What ParseRequest accepts, net/http reads as the same request.
func FuzzParseRequest(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\nHost: a\n\n", "POST http://a.test/?x HTTP/1.1\nHost: b\nContent-Length: 3\nCookie: a=b; c\nCookie: d\n\nabc",
		"PUT /a%2F HTTP/1.0\nConnection: keep-alive\nX_a:\tb \n\n", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n0\n\n",
		"OPTIONS * HTTP/1.1\nHost: [::1]\nExpect: 100-continue\n\n", "\n\nGET / HTTP/1.1\nhost: a\nConnection: close, upgrade\n\n",
	} {
		f.Add(crlf(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		n := EndOfHead(in, 0)
		if n == 0 {
			return
		}
		h, refusal := ParseRequest(in[:n], nil, wide)
		if refusal != nil || h.Method == "CONNECT" {
			return
		}
		text := bytes.TrimLeft(in[:n], "\r\n")
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			if strings.Contains(err.Error(), "invalid URL") || strings.Contains(err.Error(), "parse ") || strings.Contains(err.Error(), "invalid URI") {
				return // routes refuse such a target
			}
			t.Fatalf("net/http refuses %q: %v", text, err)
		}
		if r.Method != h.Method || r.RequestURI != h.Target || r.ProtoAtLeast(1, 1) != (h.Minor == 1) {
			t.Fatalf("net/http reads %q as %s %s %s", text, r.Method, r.RequestURI, r.Proto)
		}
		if r.Host != h.Host {
			t.Fatalf("net/http finds the host %q in %q; want %q", r.Host, text, h.Host)
		}
		if length := r.ContentLength; length != h.Length {
			t.Fatalf("net/http finds a body of %d bytes in %q; want %d", length, text, h.Length)
		}
		if r.Close != h.Close {
			t.Fatalf("Close of net/http is %v for %q", r.Close, text)
		}
		want := make(http.Header)
		for _, f := range h.Fields {
			switch f.ID {
			case header.Host, header.TransferEncoding:
			default:
				want.Add(f.Name, f.Value)
			}
		}
		for name, values := range want {
			if got := r.Header[name]; name != "Trailer" && name != "Pragma" && name != "Cache-Control" && !slices.Equal(got, values) {
				t.Fatalf("net/http reads %s of %q as %q; want %q", name, text, got, values)
			}
		}
	})
}

func TestParseRequestAllocates(t *testing.T) {
	fields := make(header.Fields, 0, 32)
	if n := testing.AllocsPerRun(100, func() { ParseRequest(browserHead, fields, wide) }); n > 1 {
		t.Errorf("ParseRequest allocates %v times; want 1", n)
	}
}

var browserHead = crlf("GET /assets/app.js?v=3 HTTP/1.1\nHost: www.example.com\nConnection: keep-alive\nsec-ch-ua: \"Chromium\";v=\"120\"\n" +
	"sec-ch-ua-mobile: ?0\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\nsec-ch-ua-platform: \"Linux\"\nAccept: */*\n" +
	"Sec-Fetch-Site: same-origin\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: script\nReferer: https://www.example.com/\n" +
	"Accept-Encoding: gzip, deflate, br\nAccept-Language: en-US,en;q=0.9\nCookie: session=0123456789abcdef\n\n")

func BenchmarkParseRequest(b *testing.B) {
	fields := make(header.Fields, 0, 32)
	for name, head := range map[string][]byte{"browser": browserHead, "small": crlf("GET / HTTP/1.1\nHost: a.test\n\n")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if n := EndOfHead(head, 0); n != len(head) {
					b.Fatal(n)
				}
				if _, refusal := ParseRequest(head, fields, wide); refusal != nil {
					b.Fatal(refusal)
				}
			}
		})
	}
}

// A head that is too large is refused for the same reason, however much of it has come.
func TestTooLargeIsRefusedTheSame(t *testing.T) {
	limits := Limits{Size: 64, Fields: 10}
	fields := strings.Repeat("X: y\r\n", 20) + "\r\n"
	for _, head := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n" + fields,
		"GET / HTTP/1.1\r\nHost: a\r\nbad name: b\r\n" + fields,
		"nonsense\n" + fields,
		"nonsense\r\n" + fields,
		"G@T / HTTP/1.1\r\n" + fields,
		"GET / HTTP/2.0\r\n" + fields,
		"\r\nGET / HTTP/1.1\r\n" + fields,
		"GET /" + strings.Repeat("x", 65) + " HTTP/1.1\r\n" + fields,
	} {
		_, want := ParseRequest([]byte(head), nil, limits)
		for n := limits.Size + 1; n <= len(head); n++ {
			if n < 90 && strings.Contains(head, "xxx") { // the target has not ended
				continue
			}
			if got := TooLarge([]byte(head[:n]), limits); got != want {
				t.Errorf("%q: %v; whole: %v", head[:n], got, want)
			}
		}
	}
	if got := TooLarge([]byte("GET /"+strings.Repeat("x", 60)), limits); got != errTargetSize {
		t.Errorf("a target without an end: %v", got)
	}
}
