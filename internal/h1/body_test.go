package h1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// pieces returns how much of in there is after each of its pieces, which are one byte longer
// than steps say, one after the other and again. No steps are one piece.
func pieces(in, steps []byte) iter.Seq[int] {
	return func(yield func(int) bool) {
		for have, i := 0, 0; have < len(in); i++ {
			if len(steps) == 0 {
				have = len(in)
			} else {
				have = min(have+1+int(steps[i%len(steps)]), len(in))
			}
			if !yield(have) {
				return
			}
		}
	}
}

// read feeds b with pieces of in, and returns the data and how many bytes of in are of the
// body.
func read(b *Body, in, steps []byte) (data []byte, n int, refusal *Refusal) {
	for have := range pieces(in, steps) {
		for !b.Done() {
			piece, used, refusal := b.Next(in[n:have])
			data = append(data, piece...)
			n += used
			if refusal != nil {
				return data, n, refusal
			}
			if used == 0 {
				break
			}
		}
	}
	return data, n, nil
}

func TestBody(t *testing.T) {
	tests := []struct {
		name     string
		length   int64
		in       string // with '\n' for CRLF
		data     string
		rest     string // what follows the body
		trailer  string
		complete bool
	}{
		{name: "none", in: "GET", rest: "GET", complete: true},
		{name: "a length", length: 3, in: "abcGET", data: "abc", rest: "GET", complete: true},
		{name: "cut", length: 4, in: "abc", data: "abc"},
		{name: "until the end", length: UntilEnd, in: "abc", data: "abc", complete: true},
		{name: "chunks", length: Chunks, in: "3\nabc\n0A\n0123456789\n0\n\nGET", data: "abc0123456789", rest: "GET", complete: true},
		{name: "no chunks", length: Chunks, in: "0\n\n", complete: true},
		{name: "many zeros", length: Chunks, in: "000\n\n", complete: true},
		{name: "extensions", length: Chunks, in: "3;a=\"b\"\nabc\n0 ;x\n\n", data: "abc", complete: true},
		{name: "a trailer", length: Chunks, in: "0\nExpires: x\nX-a:\ty \n\nGET", trailer: "Expires: x, X-a: y", rest: "GET", complete: true},
		{name: "cut in a size", length: Chunks, in: "3", rest: "3"},
		{name: "cut in a chunk", length: Chunks, in: "3\nab", data: "ab"},
		{name: "cut behind a chunk", length: Chunks, in: "2\nab", data: "ab"},
		{name: "cut in the end", length: Chunks, in: "0\nA: b\n", rest: "A: b\r\n"},
	}
	for _, tt := range tests {
		in := crlf(tt.in)
		for step := range len(in) {
			var b Body
			b.Start(tt.length)
			data, n, refusal := read(&b, in, []byte{byte(step)})
			var fields []string
			for _, f := range b.Trailer {
				fields = append(fields, f.Name+": "+f.Value)
			}
			if refusal != nil || string(data) != tt.data || string(in[n:]) != tt.rest || strings.Join(fields, ", ") != tt.trailer || b.Complete() != tt.complete {
				t.Fatalf("%s in pieces of %d: %q, rest %q, trailer %q, complete %v, %v", tt.name, step+1, data, in[n:], fields, b.Complete(), refusal)
			}
		}
	}
}

func TestBodyRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"no size":                   "\nabc",
		"a size with a sign":        "+3\nabc\n0\n\n",
		"a size with 0x":            "0x3\nabc\n0\n\n",
		"a size that is too large":  "10000000000000000\n",
		"a negative size":           "-1\n",
		"white space in front":      " 3\nabc\n0\n\n",
		"white space at the end":    "3 \nabc\n0\n\n",
		"an extension with NUL":     "3;\x00\nabc\n0\n\n",
		"more than its size":        "3\nabcd\n0\n\n",
		"CR alone behind the data":  "3\nabc\rx",
		"a bare CR in the size":     "3\rx\nabc\n0\n\n",
		"a long size line":          "3;" + strings.Repeat("a", maxChunkLine) + "\nabc\n",
		"a trailer with a bad name": "0\nA b: c\n\n",
		"a folded trailer":          "0\nA: b\n c\n\n",
		"a large trailer":           "0\nA: " + strings.Repeat("b", maxTrailer) + "\n\n",
		"many extensions":           strings.Repeat("1;"+strings.Repeat("a", 200)+"\nx\n", 100),
	} {
		b := new(Body)
		b.Start(Chunks)
		if data, n, refusal := read(b, crlf(in), nil); refusal == nil {
			t.Errorf("%s: %q and %d bytes; want a refusal", name, data, n)
		}
	}
	for _, in := range []string{"3\nabc\r\n0\r\n\r\n", "3\r\nabc\n0\r\n\r\n", "3\r\nabc\r\n0\n\r\n"} {
		b := new(Body)
		b.Start(Chunks)
		if _, _, refusal := read(b, []byte(in), nil); refusal == nil {
			t.Errorf("%q is accepted", in)
		}
	}
}

// spaced is a size with white space in front of its extension, which has to be taken (RFC 9112,
// section 7.1.1). Other parsers do not take it.
var spaced = regexp.MustCompile(`[0-9a-fA-F][ \t]+;`)

// A body in chunks that is accepted is the same to net/http, however it arrives, and the
// next message begins at the same byte.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{"3\nabc\n0\n\nGET", "3 ;x\nabc\n0\n\n", "A;x=\"\"\n0123456789\n0\nX: y\n\n", "00\n\n", "1\na\n1\nb\n"} {
		f.Add(crlf(seed), []byte{3, 0})
	}
	f.Fuzz(func(t *testing.T, in, steps []byte) {
		var one, many Body
		one.Start(Chunks)
		many.Start(Chunks)
		data, n, refusal := read(&one, in, nil)
		data2, n2, refusal2 := read(&many, in, steps)
		if (refusal == nil) != (refusal2 == nil) || refusal == nil && (n != n2 || !bytes.Equal(data, data2) || fmt.Sprint(one.Trailer) != fmt.Sprint(many.Trailer)) {
			t.Fatalf("%q in pieces: %q, %d, %v; whole: %q, %d, %v", in, data2, n2, refusal2, data, n, refusal)
		}
		if refusal != nil || !one.Done() || spaced.Match(in) {
			return
		}
		br := bufio.NewReader(io.MultiReader(strings.NewReader("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), bytes.NewReader(in)))
		r, err := http.ReadRequest(br)
		if err != nil {
			t.Fatal(err)
		}
		want, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(want, data) {
			t.Fatalf("net/http reads %q as %q, %v; want %q", in, want, err, data)
		}
		if rest, _ := io.ReadAll(br); len(rest) != len(in)-n {
			t.Fatalf("of %q net/http leaves %q; want %q", in, rest, in[n:])
		}
	})
}

func BenchmarkBody(b *testing.B) {
	in := []byte(strings.Repeat("1000\r\n"+strings.Repeat("x", 4096)+"\r\n", 16) + "0\r\n\r\n")
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	var body Body
	for b.Loop() {
		body.Start(Chunks)
		for n := 0; !body.Done(); {
			_, used, refusal := body.Next(in[n:])
			if refusal != nil {
				b.Fatal(refusal)
			}
			n += used
		}
	}
}
