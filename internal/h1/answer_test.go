package h1

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"testing"
)

func TestParseAnswer(t *testing.T) {
	tests := []struct {
		name, in, method string
		want             Head // without Fields and Size
	}{
		{"200", "HTTP/1.1 200 OK\nContent-Length: 3\n\n", "GET", Head{Status: 200, Reason: "OK", Minor: 1, Length: 3}},
		{"no reason", "HTTP/1.1 200 \nContent-Length: 0\n\n", "GET", Head{Status: 200, Minor: 1}},
		{"no space", "HTTP/1.1 200\nContent-Length: 0\n\n", "GET", Head{Status: 200, Minor: 1}},
		{"a reason of several words", "HTTP/1.1 404 Not  here\xe4\nContent-Length: 0\n\n", "GET", Head{Status: 404, Reason: "Not  here\xe4", Minor: 1}},
		{"until the end", "HTTP/1.1 200 OK\n\n", "GET", Head{Status: 200, Reason: "OK", Minor: 1, Length: UntilEnd, Close: true}},
		{"chunks", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", "GET", Head{Status: 200, Reason: "OK", Minor: 1, Length: Chunks}},
		{"HTTP/1.0", "HTTP/1.0 200 OK\nContent-Length: 1\n\n", "GET", Head{Status: 200, Reason: "OK", Length: 1, Close: true}},
		{"HTTP/1.0 that stays", "HTTP/1.0 200 OK\nContent-Length: 1\nConnection: keep-alive\n\n", "GET", Head{Status: 200, Reason: "OK", Length: 1}},
		{"HEAD", "HTTP/1.1 200 OK\nContent-Length: 3\n\n", "HEAD", Head{Status: 200, Reason: "OK", Minor: 1}},
		{"204", "HTTP/1.1 204 No Content\n\n", "GET", Head{Status: 204, Reason: "No Content", Minor: 1}},
		{"304", "HTTP/1.1 304 Not Modified\nContent-Length: 9\n\n", "GET", Head{Status: 304, Reason: "Not Modified", Minor: 1}},
		{"103", "HTTP/1.1 103 Early Hints\n\n", "GET", Head{Status: 103, Reason: "Early Hints", Minor: 1}},
		{"101", "HTTP/1.1 101 Switching\nConnection: Upgrade\n\n", "GET", Head{Status: 101, Reason: "Switching", Minor: 1, Upgrades: true}},
	}
	for _, tt := range tests {
		for _, in := range [][]byte{crlf(tt.in), []byte(tt.in)} {
			n := EndOfAnswerHead(in, 0)
			h, refusal := ParseAnswer(in, nil, tt.method, wide)
			if refusal != nil || n != len(in) || h.Size != len(in) {
				t.Fatalf("%s: ParseAnswer = %v; the end is at %d of %d, Size %d", tt.name, refusal, n, len(in), h.Size)
			}
			h.Fields, h.Size = nil, 0
			if got, want := fmt.Sprintf("%+v", h), fmt.Sprintf("%+v", tt.want); got != want {
				t.Errorf("%s: ParseAnswer = %s; want %s", tt.name, got, want)
			}
		}
	}
}

func TestParseAnswerRefuses(t *testing.T) {
	for in, want := range map[string]*Refusal{
		"HTTP/1.1 20 OK\n\n":                                                          errStatusLine,
		"HTTP/1.1 2000 OK\n\n":                                                        errStatusLine,
		"HTTP/1.1 099 OK\n\n":                                                         errStatusLine,
		"HTTP/1.1 +20 OK\n\n":                                                         errStatusLine,
		"HTTP/2.0 200 OK\n\n":                                                         errStatusLine,
		"HTTP/1.1  200 OK\n\n":                                                        errStatusLine,
		"HTTP/1.1 200 a\x00\n\n":                                                      errStatusLine,
		"ICY 200 OK\n\n":                                                              errStatusLine,
		"HTTP/1.1 200 OK\nA : b\n\n":                                                  errAnswerHead,
		"HTTP/1.1 200 OK\nA: b\n c\n\n":                                               errAnswerHead,
		"HTTP/1.1 200 OK\nA: b\rc\n\n":                                                errAnswerHead,
		"HTTP/1.1 200 OK\nContent-Length: x\n\n":                                      errAnswerLength,
		"HTTP/1.1 200 OK\nTransfer-Encoding: x\n\n":                                   errAnswerTE,
		"HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n":                             errAnswerTE,
		"HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 1\n\n":                   errAnswerLength,
		"HTTP/1.1 200 OK\nContent-Length: 1\nTransfer-Encoding: chunked\n\n":          errAnswerFraming,
		"HTTP/1.1 204 No\nContent-Length: 1\nTransfer-Encoding: chunked\n\n":          errAnswerFraming,
		"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n": errAnswerTE,
	} {
		if h, refusal := ParseAnswer(crlf(in), nil, "GET", wide); refusal != want {
			t.Errorf("%q: ParseAnswer = %+v, %v; want %v", in, h, refusal, want)
		}
	}
	in := crlf("HTTP/1.1 200 OK\n\n")
	if _, refusal := ParseAnswer(in, nil, "GET", Limits{Size: len(in) - 1, Fields: 9}); refusal != errAnswerSize {
		t.Errorf("a head of %d bytes: %v; want %v", len(in), refusal, errAnswerSize)
	}
}

// What ParseAnswer accepts, net/http reads as the same answer.
func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\nContent-Length: 3\nSet-Cookie: a\nset-cookie: b\n\nabc"), false)
	f.Add(crlf("HTTP/1.0 404 No\nConnection: keep-alive\n\n"), true)
	f.Add(crlf("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nX_y: \n\n0\n\n"), false)
	f.Fuzz(func(t *testing.T, in []byte, head bool) {
		method := map[bool]string{true: "HEAD", false: "GET"}[head]
		n := EndOfAnswerHead(in, 0)
		if n == 0 {
			return
		}
		h, refusal := ParseAnswer(in[:n], nil, method, wide)
		if refusal != nil {
			return
		}
		r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(in[:n])), &http.Request{Method: method})
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", in[:n], err)
		}
		want := h.Length
		if want == UntilEnd {
			want = -1
		}
		if got := r.ContentLength; r.StatusCode != h.Status || !head && got != want && h.Status >= 200 {
			t.Fatalf("net/http reads %q as %d with %d bytes; want %d with %d", in[:n], r.StatusCode, got, h.Status, want)
		}
		values := make(http.Header)
		for _, f := range h.Fields {
			values.Add(f.Name, f.Value)
		}
		for name, want := range values {
			switch name {
			case "Transfer-Encoding", "Trailer", "Pragma", "Cache-Control", "Connection", "Content-Length":
			default:
				if got := r.Header[name]; !slices.Equal(got, want) {
					t.Fatalf("net/http reads %s of %q as %q; want %q", name, in[:n], got, want)
				}
			}
		}
	})
}
