package h1

import (
	"bytes"
	"fmt"
	"testing"
)

// mustEnd returns text, a head that was written anew. The next message must begin behind it.
func mustEnd(t *testing.T, text []byte, end func(in []byte, seen int) int) []byte {
	t.Helper()
	if n := end(text, 0); n != len(text) {
		t.Fatalf("the head %q ends at %d of %d", text, n, len(text))
	}
	return text
}

// describe returns all of a head but its size, which is that of another spelling.
func describe(h Head) string {
	h.Size = 0
	return fmt.Sprintf("%+q", fmt.Sprintf("%+v", h))
}

// The head of a request that parses survives a round trip.
func FuzzRequestRoundTrip(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\nHost: a\n\n", "POST http://a.test/?x HTTP/1.1\nHost: b\nContent-Length: 003\nCookie: a=b; c\nCookie: d\n\n",
		"\n\nPUT /a%2F\xff HTTP/1.0\nConnection: keep-alive, Upgrade\nX_a:\tb \n\n", "POST / HTTP/1.7\nHost: a\nExpect: 100-Continue\nTransfer-Encoding:chunked \n\n",
		"OPTIONS * HTTP/1.1\nHost: [::1]\nX:\n\n", "CONNECT a:1 HTTP/1.1\nhost: a:1\nconnection: CLOSE\n\n",
	} {
		f.Add(crlf(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		h, refusal := ParseRequest(in, nil, wide)
		if refusal != nil {
			return
		}
		text := fmt.Appendf(nil, "%s %s HTTP/1.%d\r\n", h.Method, h.Target, h.Minor)
		text = mustEnd(t, append(h.Fields.Append(text), "\r\n"...), EndOfHead)
		got, refusal := ParseRequest(text, nil, wide)
		if refusal != nil || describe(got) != describe(h) {
			t.Fatalf("%q is %s; written as %q it is %s, %v", in, describe(h), text, describe(got), refusal)
		}
	})
}

// The head of an answer that parses survives a round trip.
func FuzzAnswerRoundTrip(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\nContent-Length: 3\nSet-Cookie: a\nset-cookie: b\n\n", "HTTP/1.0 404\nConnection: keep-alive\n\n", "HTTP/1.1 101 \nConnection: upgrade\n\n",
		"HTTP/1.1 200 Not  so\xff\nTransfer-Encoding: chunked\nX_y: \n\n",
	} {
		f.Add([]byte(seed), "GET")
		f.Add(crlf(seed), "HEAD")
	}
	f.Fuzz(func(t *testing.T, in []byte, method string) {
		n := EndOfAnswerHead(in, 0)
		h, refusal := ParseAnswer(in[:n], nil, method, wide)
		if refusal != nil {
			return
		}
		text := fmt.Appendf(nil, "HTTP/1.%d %d %s\r\n", h.Minor, h.Status, h.Reason)
		text = mustEnd(t, append(h.Fields.Append(text), "\r\n"...), EndOfAnswerHead)
		got, refusal := ParseAnswer(text, nil, method, wide)
		if refusal != nil || describe(got) != describe(h) {
			t.Fatalf("%q is %s; written as %q it is %s, %v", in, describe(h), text, describe(got), refusal)
		}
	})
}

// A head ends at the same byte in whatever pieces it comes.
func FuzzEndOfHead(f *testing.F) {
	for _, seed := range []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", "HTTP/1.1 200 OK\n\r\n", "a\r\n\n", "a\r\r\n\r\r\n\r\n\r", "\n\n", "\r\n\r\n"} {
		f.Add([]byte(seed), []byte{0})
		f.Add([]byte(seed), []byte{1, 2, 4})
	}
	f.Fuzz(func(t *testing.T, in, steps []byte) {
		for name, end := range map[string]func([]byte, int) int{"EndOfHead": EndOfHead, "EndOfAnswerHead": EndOfAnswerHead} {
			got, seen := 0, 0
			for have := range pieces(in, steps) {
				if got = end(in[:have], seen); got > 0 {
					break
				}
				seen = have
			}
			if want := end(in, 0); got != want {
				t.Fatalf("%s of %q in pieces of %d is %d; want %d", name, in, steps, got, want)
			}
		}
	})
}

// The data and the trailer section of a body survive being written in other chunks, and are the
// same in whatever pieces they come.
func FuzzBodyRoundTrip(f *testing.F) {
	for _, seed := range []string{"3\nabc\n0\n\nGET", "A;x=\"\"\n0123456789\n0\nX: y\nexpires:\tz \n\n", "00 ;a\n\n", "1\na\n0002\nbc\n0\n\n"} {
		f.Add(crlf(seed), []byte{3}, []byte{1})
		f.Add(crlf(seed), []byte{0, 7}, []byte{1, 0, 2})
	}
	f.Fuzz(func(t *testing.T, in, steps, others []byte) {
		var one, two Body
		one.Start(Chunks)
		data, _, refusal := read(&one, in, steps)
		if refusal != nil || !one.Done() {
			return
		}
		var text []byte
		from := 0
		for to := range pieces(data, steps) {
			text = fmt.Appendf(text, "%x\r\n%s\r\n", to-from, data[from:to])
			from = to
		}
		text = append(one.Trailer.Append(append(text, "0\r\n"...)), "\r\nGET"...)
		two.Start(Chunks)
		got, n, refusal := read(&two, text, others)
		if refusal != nil || !two.Done() || !bytes.Equal(got, data) || string(text[n:]) != "GET" || fmt.Sprint(two.Trailer) != fmt.Sprint(one.Trailer) {
			t.Fatalf("%q is %q, %q; written as %q, in pieces of %d, it is %q, %q behind %d bytes, %v", in, data, one.Trailer, text, others, got, two.Trailer, n, refusal)
		}
	})
}
