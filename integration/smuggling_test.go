package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// hostile is a request as an attacker writes it. "/@/" in its texts stands for a path of its
// own. It is either refused, or reaches the backend as want.
type hostile struct {
	name   string
	send   string
	refuse int    // the status
	want   string // as recorded.canonical writes it
	closes bool   // the connection must end with the answer
	kept   bool   // the connection must live on
	either bool   // 400 in place of want is as good
	cut    bool   // the client ends its side behind it: no answer is needed, and none may be good
	inform []int  // informational answers before the first one
}

// head joins lines to a request head.
func head(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

// post is a POST with further lines and whatever stands behind its head.
func post(behind string, lines ...string) string {
	return head(append([]string{"POST /@/outer HTTP/1.1", "Host: gateway.test"}, lines...)...) + behind
}

// ask is a GET with further lines.
func ask(lines ...string) string {
	return head(append([]string{"GET /@/outer HTTP/1.1", "Host: gateway.test"}, lines...)...)
}

// asked is what the backend gets of ask with lines.
func asked(lines ...string) string {
	return canonical("GET /@/outer HTTP/1.1", append(lines, "Host: gateway.test"), "", nil)
}

// posted is what the backend gets of post with a length.
func posted(body string, lines ...string) string {
	return canonical("POST /@/outer HTTP/1.1", append(lines, "Host: gateway.test", fmt.Sprintf("Content-Length: %d", len(body))), body, nil)
}

// chunked is what the backend gets of post with chunks.
func chunked(body string, trailers ...string) string {
	return canonical("POST /@/outer HTTP/1.1", []string{"Host: gateway.test", "Transfer-Encoding: chunked"}, body, trailers)
}

// summed is chunked with an announced X-Sum.
func summed(trailers ...string) string {
	return canonical("POST /@/outer HTTP/1.1", []string{"Host: gateway.test", "Trailer: X-Sum", "Transfer-Encoding: chunked"}, "hello", trailers)
}

// inner is a request that must never reach the backend.
const inner = "GET /@/smuggled HTTP/1.1\r\nHost: gateway.test\r\n\r\n"

// framing is every case in which two servers may see another end of a request. Behind chunks,
// and behind HTTP/1.0, the connection always ends (docs/adr/0008-one-canonical-request.md), but
// for good chunks that the loops have read: they read them more strictly than net/http.
func framing() []hostile {
	const te = "Transfer-Encoding: chunked"
	const end = "0\r\n\r\n"
	refused := func(name, send string) hostile { return hostile{name: name, send: send, refuse: 400, closes: true} }
	cases := []hostile{
		{name: "a length", send: post("hello", "Content-Length: 5"), want: posted("hello"), kept: true},
		{name: "chunks", send: post("5\r\nhello\r\n6\r\n world\r\n"+end, te), want: chunked("hello world"), closes: true},
		{name: "no length at all", send: post(""), want: posted(""), kept: true},
		{name: "length and chunks", send: post(end, "Content-Length: 5", te), want: chunked(""), closes: true, either: true},
		{name: "chunks and length", send: post(end, te, "Content-Length: 5"), want: chunked(""), closes: true, either: true},
		{name: "length and chunks with a body", send: post("3\r\nabc\r\n"+end, "Content-Length: 6", te), want: chunked("abc"), closes: true, either: true},
		refused("a bad length and chunks", post(end, "Content-Length: x", te)),
		refused("two lengths that differ", post("hello"+inner, "Content-Length: 5", "Content-Length: 53")),
		{name: "two lengths that agree", send: post("hello", "Content-Length: 5", "Content-Length: 5"), want: posted("hello"), either: true},
		refused("two lengths in a list that differ", post("hello", "Content-Length: 5, 6")),
		refused("two lengths in a list that agree", post("hello", "Content-Length: 5, 5")),
		refused("a length with a plus", post("hello", "Content-Length: +5")),
		refused("a negative length", post("hello", "Content-Length: -5")),
		refused("a length with a space in it", post("hello", "Content-Length: 5 0")),
		refused("a hexadecimal length", post("hello", "Content-Length: 0x5")),
		refused("a length with a fraction", post("hello", "Content-Length: 5.0")),
		refused("a length with an underscore", post("hello", "Content-Length: 1_0")),
		refused("an empty length", post("hello", "Content-Length:")),
		refused("a length in other digits", post("hello", "Content-Length: ５")),
		refused("a length beyond 63 bits", post("hello", "Content-Length: 9223372036854775808")),
		refused("a length beyond 64 bits", post("hello", "Content-Length: 18446744073709551621")),
		{name: "a length with zeros in front", send: post("hello", "Content-Length: 0005"), want: posted("hello")},
		{name: "a length with spaces around it", send: post("hello", "Content-Length: \t 5 "), want: posted("hello")},
		{name: "another spelling of the name", send: post("hello", "cOnTeNt-LeNgTh: 5"), want: posted("hello")},
		{name: "a length of something else", send: post("", "Content_Length: 5", "Content-Length-: 5", "X-Content-Length: 5"),
			want: posted("", "Content_length: 5", "Content-Length-: 5", "X-Content-Length: 5")},

		{name: "chunks in capitals", send: post("5\r\nhello\r\n"+end, "Transfer-Encoding: CHUNKED"), want: chunked("hello")},
		{name: "chunks with spaces", send: post("5\r\nhello\r\n"+end, "Transfer-Encoding: \t chunked \t"), want: chunked("hello")},
		{name: "a GET with a body", send: strings.Replace(post("hello", "Content-Length: 5"), "POST", "GET", 1), want: strings.Replace(posted("hello"), "POST", "GET", 1), kept: true},
		{name: "a GET with chunks", send: strings.Replace(post("5\r\nhello\r\n"+end, te), "POST", "GET", 1), want: strings.Replace(chunked("hello"), "POST", "GET", 1), closes: true},
		{name: "a HEAD with a body", send: strings.Replace(post("hello", "Content-Length: 5"), "POST", "HEAD", 1), want: strings.Replace(posted("hello"), "POST", "HEAD", 1)},
		{name: "a DELETE with a body", send: strings.Replace(post("hello", "Content-Length: 5"), "POST", "DELETE", 1), want: strings.Replace(posted("hello"), "POST", "DELETE", 1), kept: true},
		{name: "a DELETE without one", send: strings.Replace(post(""), "POST", "DELETE", 1), want: canonical("DELETE /@/outer HTTP/1.1", []string{"Host: gateway.test"}, "", nil), kept: true},
		{name: "chunks in HTTP/1.0", send: strings.Replace(post(end+inner, te), "HTTP/1.1", "HTTP/1.0", 1), want: posted(""), either: true, closes: true},
		{name: "length and chunks in HTTP/1.0", send: strings.Replace(post(end, te, "Content-Length: 5"), "HTTP/1.1", "HTTP/1.0", 1), want: posted("0\r\n\r\n"), either: true, closes: true},
		{name: "a length in HTTP/1.0", send: strings.Replace(post("hello", "Content-Length: 5"), "HTTP/1.1", "HTTP/1.0", 1), want: posted("hello"), closes: true},
		{name: "HTTP/1.0 that asks to be kept", send: strings.Replace(post("hello", "Content-Length: 5", "Connection: keep-alive"), "HTTP/1.1", "HTTP/1.0", 1), want: posted("hello"), closes: true},

		{name: "a chunk extension", send: post("5;name=\"value\"\r\nhello\r\n0;last\r\n\r\n", te), want: chunked("hello"), closes: true},
		{name: "zeros in front of a chunk size", send: post("0005\r\nhello\r\n000\r\n\r\n", te), want: chunked("hello"), closes: true},
		{name: "trailers", send: post("5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n", te, "Trailer: X-Sum"), want: summed("X-Sum: 42")},
	}
	for name, value := range map[string]string{
		"chunked twice": "chunked, chunked", "chunked then identity": "chunked, identity", "identity then chunked": "identity, chunked",
		"identity": "identity", "gzip then chunked": "gzip, chunked", "gzip": "gzip", "xchunked": "xchunked", "chunkedx": "chunkedx",
		"chunked with a parameter": "chunked;q=1", "quoted": `"chunked"`, "an empty element": ",chunked", "empty": "",
		"vertical tab": "\vchunked", "vertical tab behind": "chunked\v", "form feed": "\fchunked", "NUL": "chunked\x00",
		"no-break space": "\u00a0chunked", "a bare CR": "chunked\r", "a letter that folds to k": "chun\u212aed",
	} {
		send := post(end+inner, "Transfer-Encoding: "+value)
		c := refused("Transfer-Encoding: "+name, send)
		if !strings.ContainsAny(value, "\v\f\x00\r") {
			c.refuse = 501 // RFC 9112, section 6.1: a coding it does not know
		}
		cases = append(cases, c)
	}
	cases = append(cases,
		hostile{name: "Transfer-Encoding twice", send: post(end+inner, te, te), refuse: 501, closes: true},
		hostile{name: "Transfer-Encoding twice, the second identity", send: post(end+inner, te, "Transfer-Encoding: identity"), refuse: 501, closes: true},
		hostile{name: "Transfer-Encoding with a space before the colon", send: post(end+inner, "Transfer-Encoding : chunked"), refuse: 400, closes: true},
		hostile{name: "Transfer-Encoding with a tab before the colon", send: post(end+inner, "Transfer-Encoding\t: chunked"), refuse: 400, closes: true},
		hostile{name: "Transfer_Encoding", send: post("", "Transfer_Encoding: chunked"), want: posted("", "Transfer_encoding: chunked")},
	)
	for name, size := range map[string]string{
		"negative": "-5", "0x": "0x5", "plus": "+5", "empty": "", "a space before": " 5", "letters": "g", "a space inside": "5 0", "a NUL": "5\x00",
		"beyond 64 bits": "10000000000000005", "many zeros": strings.Repeat("0", 5000) + "5",
		"underscore": "1_0", "an extension that never ends": "5;" + strings.Repeat("x", 10_000),
		"an extension with a bare CR": "5;a\rb", "a bare CR": "5\r",
	} {
		cases = append(cases, hostile{name: "chunk size: " + name, send: post(size+"\r\nhello\r\n"+end+inner, te), refuse: 400, closes: true})
	}
	for _, size := range []string{"8000000000000000", "ffffffffffffffff"} {
		cases = append(cases, hostile{name: "chunk size: " + size, send: post(size+"\r\nhello\r\n"+end+inner, te), cut: true})
	}
	for name, body := range map[string]string{
		"a chunk that ends in LF":                 "5\r\nhello\n" + end,
		"a chunk that is longer than it says":     "5\r\nhello!\r\n" + end,
		"a chunk that ends in CR alone":           "5\r\nhello\rX" + end,
		"a chunk size that ends in LF":            "5\nhello\r\n" + end,
		"an extension that ends in LF":            "5;a\nhello\r\n" + end,
		"a last chunk that ends in LF":            "5\r\nhello\r\n0\n\r\n",
		"many extensions":                         strings.Repeat("1;"+strings.Repeat("e", 3000)+"\r\nx\r\n", 100) + end,
		"a control byte in a trailer":             "5\r\nhello\r\n0\r\nX-Sum: a\x01b\r\n\r\n",
		"trailers without end":                    "5\r\nhello\r\n0\r\n" + strings.Repeat("X-Sum: "+strings.Repeat("1", 1000)+"\r\n", 300) + "\r\n",
		"a trailer section that is no trailer":    "5\r\nhello\r\n0\r\nGET /@/smuggled HTTP/1.1\r\n\r\n",
		"a trailer that names another connection": "5\r\nhello\r\n0\r\n: x\r\n\r\n",
	} {
		cases = append(cases, hostile{name: name, send: post(body, te, "Trailer: X-Sum"), refuse: 400, closes: true})
	}
	for name, trailer := range map[string][2]string{ // what is sent, what may arrive
		"a folded trailer":                      {"X-Sum: 1\r\n Content-Length: 5\r\n", "X-Sum: 1 Content-Length: 5"},
		"a trailer that ends in LF":             {"X-Sum: 1\n", "X-Sum: 1"},
		"a space before the colon in a trailer": {"X-Sum : 1\r\n", ""},
	} {
		c := hostile{name: name, send: post("5\r\nhello\r\n0\r\n"+trailer[0]+"\r\n", te, "Trailer: X-Sum"), want: summed(), either: true}
		if trailer[1] != "" {
			c.want = summed(trailer[1])
		}
		cases = append(cases, c)
	}
	// What frames, routes or authorises a request is no trailer (RFC 9110, section 6.5.1).
	for _, field := range []string{
		"Host: evil.test", "Authorization: Basic eA==", "X-Forwarded-For: 6.6.6.6", "Connection: close", "Cookie: a=b",
		"Content-Length: 100", "Transfer-Encoding: chunked", "Trailer: X",
	} {
		name, _, _ := strings.Cut(field, ":")
		body := "5\r\nhello\r\n0\r\n" + field + "\r\n\r\n"
		cases = append(cases,
			hostile{name: "an unannounced trailer " + field, send: post(body, te), want: chunked("hello"), either: true},
			hostile{name: "an announced trailer " + field, send: post(body, te, "Trailer: "+name), want: chunked("hello"), either: true},
			hostile{name: "a trailer in place of the announced one " + field, send: post(body, te, "Trailer: X-Sum"), want: summed(), either: true},
		)
	}
	return cases
}

// heads is every case in which two servers may read a head in different ways.
func heads() []hostile {
	refused := func(name, send string) hostile { return hostile{name: name, send: send, refuse: 400} }
	line := func(start string, lines ...string) string {
		return head(append([]string{start, "Host: gateway.test"}, lines...)...)
	}
	cases := []hostile{
		{name: "headers as they come", send: ask("X-One: 1", "x-TWO:2", "X-Three:\t 3 \t"), want: asked("X-One: 1", "X-Two: 2", "X-Three: 3"), kept: true},
		{name: "an empty value", send: ask("X-Empty:"), want: asked("X-Empty: "), kept: true},
		{name: "a value of high bytes", send: ask("X-High: \xff\xfe caf\u00e9"), want: asked("X-High: \xff\xfe caf\u00e9"), kept: true},
		{name: "a header twice", send: ask("X-A: 1", "X-A: 2"), want: asked("X-A: 1", "X-A: 2"), kept: true},
		{name: "a bare LF behind the request line", send: "GET /@/outer HTTP/1.1\nHost: gateway.test\r\n\r\n", want: asked(), either: true},
		{name: "a bare LF behind a header", send: "GET /@/outer HTTP/1.1\r\nHost: gateway.test\nX: y\r\n\r\n", want: asked("X: y"), either: true},
		{name: "a bare LF as the empty line", send: "GET /@/outer HTTP/1.1\r\nHost: gateway.test\r\n\n", want: asked(), either: true},
		{name: "bare LFs alone", send: "GET /@/outer HTTP/1.1\nHost: gateway.test\n\n", want: asked(), either: true},
		refused("a bare CR in a value", ask("X: a\rb")),
		refused("a bare CR that hides a header", ask("X: a\rContent-Length: 5")),
		refused("a bare CR behind the request line", "GET /@/outer HTTP/1.1\rHost: gateway.test\r\n\r\n"),
		refused("CR CR LF", "GET /@/outer HTTP/1.1\r\r\nHost: gateway.test\r\n\r\n"),
		{name: "a folded line", send: ask("X: a", " b"), want: asked("X: a b"), either: true},
		{name: "a folded line that hides a length", send: post("", "X: a", "\tContent-Length: 5"), want: posted("", "X: a Content-Length: 5"), either: true},
		{name: "a folded Host", send: head("GET /@/outer HTTP/1.1", "Host:", " gateway.test"), want: asked(), either: true},
		{name: "a folded coding", send: post("0\r\n\r\n", "Transfer-Encoding:", " chunked"), want: chunked(""), either: true},
		refused("a first line that starts with a space", head("GET /@/outer HTTP/1.1", " Host: gateway.test")),
		refused("a first line that starts with a tab", head("GET /@/outer HTTP/1.1", "\tX: y", "Host: gateway.test")),
		refused("a space before the colon", ask("X : y")),
		refused("a tab before the colon", ask("X\t: y")),
		refused("a line without a colon", ask("garbage")),
		refused("an empty name", ask(": y")),
		refused("a name with a space", ask("X Y: z")),
		refused("a name in brackets", ask("X(Y): z")),
		refused("a name of high bytes", ask("X-\u00e9: z")),
		refused("a name with a NUL", ask("X\x00Y: z")),
		refused("a name with a control byte", ask("X\x01: z")),
		refused("a value with a NUL", ask("X: a\x00b")),
		refused("a value with DEL", ask("X: a\x7fb")),
		refused("a value with a bell", ask("X: a\x07b")),
		refused("a value with a vertical tab", ask("X: a\vb")),
		refused("a value with an escape", ask("X: \x1b[2J")),

		refused("no Host", head("GET /@/outer HTTP/1.1")),
		refused("no Host, a body", head("POST /@/outer HTTP/1.1", "Content-Length: 5")+"hello"),
		refused("two Hosts", ask("Host: evil.test")),
		refused("two Hosts that agree", ask("Host: gateway.test")),
		refused("an empty Host", head("GET /@/outer HTTP/1.1", "Host:")),
		{name: "HTTP/1.0 without a Host", send: head("GET /@/outer HTTP/1.0"), want: canonical("GET /@/outer HTTP/1.1", []string{"Host: @backend"}, "", nil), closes: true, either: true},
		{name: "a Host with a port", send: head("GET /@/outer HTTP/1.1", "Host: gateway.test:8443"), want: canonical("GET /@/outer HTTP/1.1", []string{"Host: gateway.test:8443"}, "", nil), kept: true},
		{name: "a Host that is an address", send: head("GET /@/outer HTTP/1.1", "Host: [::1]:80"), want: canonical("GET /@/outer HTTP/1.1", []string{"Host: [::1]:80"}, "", nil), kept: true},

		{name: "absolute form", send: line("GET http://gateway.test/@/outer?a=b HTTP/1.1"), want: canonical("GET /@/outer?a=b HTTP/1.1", []string{"Host: gateway.test"}, "", nil), kept: true},
		{name: "absolute form wins over Host", send: head("GET http://gateway.test/@/outer HTTP/1.1", "Host: evil.test"), want: asked()},
		{name: "absolute form with userinfo", send: line("GET http://user:secret@gateway.test/@/outer HTTP/1.1"), want: asked(), either: true},
		refused("absolute form without a host", line("GET http:///@/outer HTTP/1.1")),
		refused("absolute form with spaces", line("GET http://gateway.test /@/outer HTTP/1.1")),
		{name: "absolute form of another scheme", send: line("GET ftp://gateway.test/@/outer HTTP/1.1"), want: asked(), either: true},
		refused("absolute form of a file", line("GET file:///@/outer HTTP/1.1")),
		refused("an opaque target", line("GET mailto:a HTTP/1.1")),
		refused("a target without a slash", line("GET outer HTTP/1.1")),
		refused("a target that is a query", line("GET ?/@/outer HTTP/1.1")),
		refused("a target with a space", line("GET /@/out er HTTP/1.1")),
		refused("a target with a tab", line("GET /@/out\ter HTTP/1.1")),
		refused("a target with a NUL", line("GET /@/out\x00er HTTP/1.1")),
		refused("a target with DEL", line("GET /@/out\x7fer HTTP/1.1")),
		refused("a target with a control byte", line("GET /@/out\x01er HTTP/1.1")),
		refused("a query with a control byte", line("GET /@/outer?a=\x01 HTTP/1.1")),
		{name: "a target with a fragment", send: line("GET /@/outer#frag HTTP/1.1"), want: canonical("GET /@/outer%23frag HTTP/1.1", []string{"Host: gateway.test"}, "", nil), either: true},
		refused("a target with a bad escape", line("GET /@/out%zzer HTTP/1.1")),
		refused("a target with an escaped NUL", line("GET /@/out%00er HTTP/1.1")),
		{name: "a target of high bytes", send: line("GET /@/out\xe9er HTTP/1.1"), want: canonical("GET /@/out%E9er HTTP/1.1", []string{"Host: gateway.test"}, "", nil), either: true},
		{name: "a query of high bytes", send: line("GET /@/outer?\xe9 HTTP/1.1"), want: canonical("GET /@/outer?%E9 HTTP/1.1", []string{"Host: gateway.test"}, "", nil), either: true},
		{name: "escaped CR LF", send: line("GET /@/outer%0d%0aX:%20y HTTP/1.1"), want: canonical("GET /@/outer%0D%0AX:%20y HTTP/1.1", []string{"Host: gateway.test"}, "", nil)},
		refused("CONNECT", line("CONNECT gateway.test:443 HTTP/1.1")),
		refused("CONNECT with a path", line("CONNECT /@/outer HTTP/1.1")),
		refused("authority form of a GET", line("GET gateway.test:443 HTTP/1.1")),
		refused("asterisk form of a GET", line("GET * HTTP/1.1")),

		refused("no method", line("/@/outer HTTP/1.1")),
		refused("an empty method", line(" /@/outer HTTP/1.1")),
		refused("a method with a bracket", line("GE(T /@/outer HTTP/1.1")),
		refused("a method with a colon", line("GET: /@/outer HTTP/1.1")),
		refused("a method of high bytes", line("G\xc9T /@/outer HTTP/1.1")),
		refused("a method with a NUL", line("GE\x00T /@/outer HTTP/1.1")),
		{name: "a method nobody knows", send: line("FROB /@/outer HTTP/1.1"), want: canonical("FROB /@/outer HTTP/1.1", []string{"Host: gateway.test"}, "", nil), kept: true},
		{name: "a method in small letters", send: line("get /@/outer HTTP/1.1"), want: canonical("get /@/outer HTTP/1.1", []string{"Host: gateway.test"}, "", nil), kept: true},
		refused("two spaces behind the method", line("GET  /@/outer HTTP/1.1")),
		refused("two spaces before the version", line("GET /@/outer  HTTP/1.1")),
		refused("tabs in the request line", line("GET\t/@/outer\tHTTP/1.1")),
		refused("a space behind the version", line("GET /@/outer HTTP/1.1 ")),
		refused("no version", line("GET /@/outer")),
		refused("HTTP/0.9", "GET /@/outer\r\n"),
		refused("small letters in the version", line("GET /@/outer http/1.1")),
		refused("another protocol", line("GET /@/outer ICY/1.1")),
		refused("a version with a sign", line("GET /@/outer HTTP/+1.1")),
		refused("a version of two digits", line("GET /@/outer HTTP/1.10")),
		refused("a version without a minor", line("GET /@/outer HTTP/1")),
		{name: "HTTP/1.2", send: line("GET /@/outer HTTP/1.2"), want: asked(), kept: true},
		{name: "HTTP/2.0", send: line("GET /@/outer HTTP/2.0"), refuse: 505, closes: true},
		{name: "HTTP/3.0", send: line("GET /@/outer HTTP/3.0"), refuse: 505, closes: true},
		{name: "HTTP/0.9 by number", send: line("GET /@/outer HTTP/0.9"), refuse: 505, closes: true},
		refused("garbage in front", "\x00\x01garbage\r\n"+ask()),
		refused("a TLS record", "\x16\x03\x01\x00\x05hello\r\n\r\n"),
		{
			name: "a long request line", send: line("GET /@/" + strings.Repeat("x", 30_000) + " HTTP/1.1"),
			want: canonical("GET /@/"+strings.Repeat("x", 30_000)+" HTTP/1.1", []string{"Host: gateway.test"}, "", nil),
		},
		{name: "a request line beyond the limit of a head", send: line("GET /@/" + strings.Repeat("x", 100_000) + " HTTP/1.1"), refuse: 414, closes: true},
		{name: "a long header", send: ask("X-Long: " + strings.Repeat("x", 100_000)), refuse: 431, closes: true},
		{name: "many headers", send: ask(slices.Repeat([]string{"X-Many: 12345678"}, 10_000)...), refuse: 431, closes: true},
		{name: "many small headers", send: ask(slices.Repeat([]string{"a:"}, 50_000)...), refuse: 431, closes: true},

		{name: "Expect: 100-continue", send: post("hello", "Content-Length: 5", "Expect: 100-continue"), want: posted("hello", "Expect: 100-continue"), inform: []int{100}},
		{name: "Expect in capitals", send: post("hello", "Content-Length: 5", "Expect: 100-CONTINUE"), want: posted("hello", "Expect: 100-CONTINUE"), inform: []int{100}},
		{name: "another expectation", send: post("hello", "Content-Length: 5", "Expect: the-unexpected"), refuse: 417, closes: true},
		{name: "Expect without a body", send: ask("Expect: 100-continue"), want: asked()},

		{name: "headers that Connection names", send: ask("Connection: X-Secret, x-other", "X-Secret: 1", "X-Other: 2", "X-Kept: 3"), want: asked("X-Kept: 3"), kept: true},
		{name: "Connection: close and a header", send: ask("Connection: close, X-Secret", "X-Secret: 1"), want: asked(), closes: true},
		{name: "Connection: Host", send: ask("Connection: Host"), want: asked()},
		{name: "Connection: Content-Length", send: post("hello", "Connection: Content-Length", "Content-Length: 5"), want: posted("hello")},
		{name: "Connection: Transfer-Encoding", send: post("5\r\nhello\r\n0\r\n\r\n", "Connection: Transfer-Encoding", "Transfer-Encoding: chunked"), want: chunked("hello")},
		{name: "Connection: X-Forwarded-For", send: ask("Connection: X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, Forwarded, X-Real-IP, X-Request-Id", "X-Forwarded-For: 6.6.6.6"), want: asked()},
		{name: "every hop-by-hop header", send: ask("Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic eA==",
			"Proxy-Authenticate: Basic", "TE: gzip", "Proxy: http://evil.test", "Upgrade: x/1", "HTTP2-Settings: AAMAAABkAAQAAP__"), want: asked(), kept: true},
		{name: "TE: trailers", send: ask("TE: gzip, trailers", "Connection: TE"), want: asked("Te: trailers"), kept: true},

		{name: "h2c", send: ask("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), want: asked(), kept: true},
		{name: "the preface of HTTP/2 on an HTTP/1.1 connection", send: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refuse: 400, closes: true},
		{name: "an upgrade to something else", send: ask("Connection: Upgrade", "Upgrade: irc/1"), want: asked(), kept: true},
	}
	for _, host := range []string{
		"user@gateway.test", "gateway.test/path", "gateway.test, evil.test", "gateway.test evil.test", "http://gateway.test", "gateway.test:80:80",
		"gateway.test:port", "gateway.test:99999999", "[::1", "::1", "gateway.test#x", "gateway.test?x", `gateway.test\evil.test`, "gateway\x00.test",
		"gateway.test:", ".", "..", "gate\xe9way.test", "<script>", "a'b", `"gateway.test"`, "%67ateway.test",
	} {
		c := refused(fmt.Sprintf("Host %q", host), head("GET /@/outer HTTP/1.1", "Host: "+host))
		if host == "gateway.test:" { // RFC 3986, section 3.2.3: an empty port is the default one
			c.refuse, c.want = 0, canonical("GET /@/outer HTTP/1.1", []string{"Host: gateway.test:"}, "", nil)
		}
		cases = append(cases, c)
	}
	return cases
}

// upgrades is what stands behind handshakes.
func upgrades() []hostile {
	hello := func(path string, lines ...string) string { return wstest.Handshake("/@/"+path, lines...) }
	asked := func(path string) string {
		return canonical("GET /@/"+path+" HTTP/1.1", []string{"Host: gateway.test", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"}, "", nil)
	}
	return []hostile{
		{name: "a request behind a handshake that the backend refuses", send: hello("refused"), refuse: 403, want: asked("refused")},
		{name: "a request behind a handshake that is accepted", send: hello("accepted"), want: asked("accepted"), closes: true},
		{name: "a handshake with a body", send: hello("accepted", "Content-Length: 5") + "hello", refuse: 400},
		{name: "a handshake with chunks", send: hello("accepted", "Transfer-Encoding: chunked") + "0\r\n\r\n", refuse: 400},
		{name: "a handshake by POST", send: strings.Replace(hello("accepted"), "GET", "POST", 1), refuse: 400},
		{name: "a handshake of another version", send: hello("accepted", "Sec-WebSocket-Version: 8"), refuse: 426},
		{name: "a handshake without a key", send: hello("accepted", "Sec-WebSocket-Key:"), refuse: 400},
	}
}

// Each request is refused, or is one canonical request at the backend; and what follows it is
// answered as itself, or the connection ends.
func TestSmugglingOverHTTP1(t *testing.T) {
	t.Parallel()
	b := newRecorder(t)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	groups := map[string][]hostile{"framing": framing(), "heads": heads(), "upgrades": upgrades()}
	for group, cases := range groups {
		for scheme, target := range g.schemes() {
			for i, c := range cases {
				id := fmt.Sprintf("/%s-%s-%d/", group, scheme, i)
				t.Run(fmt.Sprintf("%s/%s/%s", group, scheme, c.name), func(t *testing.T) {
					c.check(t, b, target, id)
				})
			}
		}
	}
	for _, q := range b.all() {
		if _, target := q.target(); strings.Contains(target, "smuggled") || !slices.ContainsFunc([]string{"framing", "heads", "upgrades"}, func(group string) bool { return strings.HasPrefix(target, "/"+group) }) {
			t.Errorf("this reached the backend:\n%s", q.canonical())
		}
		for _, name := range []string{"X-Forwarded-For", "X-Real-Ip"} {
			if got := q.Values(name); !slices.Equal(got, []string{"127.0.0.1"}) && !slices.Equal(got, []string{"::1"}) {
				t.Errorf("%s = %q in\n%s", name, got, q)
			}
		}
	}
}

func (c *hostile) check(t *testing.T, b *recorder, target wstest.Target, id string) {
	fill := func(text string) string { return strings.NewReplacer("/@/", id, "@backend", b.Address).Replace(text) }
	behind := marker
	if c.cut {
		behind = ""
	}
	replies := answers(t, target, fill(c.send+behind), c.cut)
	var statuses []int
	for _, r := range replies {
		statuses = append(statuses, r.StatusCode)
	}
	var got []string
	for _, q := range b.below(id) {
		if q.Get("Upgrade") != "" { // the key is sluice's own
			q.Lines = slices.DeleteFunc(q.Lines, func(line string) bool { return strings.HasPrefix(line, "Sec-WebSocket-Key:") })
		}
		got = append(got, q.canonical())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("sent %.300q\nanswers %v\nthe backend got %.600q", fill(c.send), statuses, got)
		}
	})
	var want []string
	if c.want != "" {
		want = append(want, fill(c.want))
	}
	if c.cut {
		if len(got) != 0 || slices.ContainsFunc(replies, func(r reply) bool { return r.StatusCode < 400 }) {
			t.Error("what was cut was taken for whole")
		}
		return
	}
	if len(replies) == 0 {
		t.Fatal("the connection ended without an answer")
	}
	if c.either && replies[0].StatusCode == http.StatusBadRequest {
		want, c.refuse = nil, http.StatusBadRequest
	}
	status := http.StatusOK
	switch {
	case c.refuse != 0:
		status = c.refuse
	case strings.HasSuffix(c.name, "is accepted"):
		status = http.StatusSwitchingProtocols
	}
	if replies[0].StatusCode != status {
		t.Errorf("answered with %d, want %d", replies[0].StatusCode, status)
	}
	if !slices.Equal(replies[0].informed, c.inform) {
		t.Errorf("informational answers %v, want %v", replies[0].informed, c.inform)
	}
	switch {
	case len(replies) > 2:
		t.Errorf("%d answers to two requests", len(replies))
	case len(replies) == 2 && c.closes && !(httpEngine() == "loops" && c.refuse == 0 && !c.either):
		t.Error("the connection lived on")
	case len(replies) == 2:
		want = append(want, canonical("GET "+id+"marker HTTP/1.1", []string{"Host: gateway.test"}, "", nil))
		if got := replies[1].Header.Get("X-Target"); got != id+"marker" {
			t.Errorf("the second request got the answer to %q", got)
		}
	case c.kept:
		t.Error("the second request got no answer")
	}
	if !slices.Equal(got, want) {
		t.Errorf("the backend got\n%.2000q, want\n%.2000q", got, want)
	}
}
