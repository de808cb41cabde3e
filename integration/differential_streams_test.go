package integration

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
)

// mark finds what makes a request unique, in its target.
var mark = regexp.MustCompile(`mk\d+-\d`)

// stream is what one client sends: some pipelined requests, each with a mark of its own. The
// last one asks to close the connection.
type stream struct {
	number uint64
	text   string
	pieces []string  // of the text, each written by itself
	sure   []genuine // the requests that it begins with, as far as their meaning is certain
	whole  bool      // that is all of them
}

// genuine is a request that must be accepted, and reach the backend as this.
type genuine struct{ method, mark, body, sent string }

// newStream returns the stream of that number, which follows from the seed.
func newStream(seed, number uint64, hostile []string) stream {
	random := rand.New(rand.NewPCG(seed, number))
	s := stream{number: number, whole: true}
	for k := range 1 + random.IntN(3) {
		id := fmt.Sprintf("mk%d-%d", number, k)
		var text string
		switch kind := random.IntN(100); {
		case kind < 60:
			var g genuine
			if text, g = newGenuine(random, id); s.whole {
				s.sure = append(s.sure, g)
			}
		case kind < 75:
			text = strings.ReplaceAll(hostile[random.IntN(len(hostile))], "/@/", "/"+id+"/")
			s.whole = false
		default:
			text, _ = newGenuine(random, id)
			if strings.HasPrefix(text, "HEAD") { // whether a refusal of it has a body must be certain
				text = "GET" + text[4:]
			}
			text = mutate(random, spoil(random, text))
			s.whole = false
		}
		s.text += text
	}
	last := genuine{method: "GET", mark: fmt.Sprintf("mk%d-9", number)}
	s.text += head("GET /"+last.mark+" HTTP/1.1", "Host: gateway.test", "Connection: close")
	if s.whole {
		s.sure = append(s.sure, last)
	}
	s.pieces = inPieces(random, s.text)
	return s
}

// inPieces cuts a text at random places.
func inPieces(random *rand.Rand, text string) (pieces []string) {
	var places []int
	if n := random.IntN(8); n < 6 {
		for range n {
			places = append(places, random.IntN(len(text)))
		}
	} else { // closer together
		for at := 0; at < len(text); at += 1 + random.IntN(n*len(text)/100+2) {
			places = append(places, at)
		}
	}
	slices.Sort(places)
	from := 0
	for _, to := range append(places, len(text)) {
		if to > from {
			pieces = append(pieces, text[from:to])
			from = to
		}
	}
	return pieces
}

func pick(random *rand.Rand, from ...string) string { return from[random.IntN(len(from))] }

// newGenuine returns a request that has one meaning to everyone.
func newGenuine(random *rand.Rand, id string) (text string, g genuine) {
	g = genuine{mark: id, sent: pick(random, "1", "", "a  b\tc", "\xe9\xff", `"quoted, \" list"`, "a:b", strings.Repeat("long ", 300)+"x")}
	g.method = pick(random, "GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "M-SEARCH", "SOURCE")
	origin := pick(random, "", "", "http://gateway.test", "HTTP://Gateway.Test:81")
	target := origin + "/" + id + pick(random, "", "/a/b", "?a=b&c", "?", "/%41%2f%e9", "/;p=1,2", "?/../..", "/a.b~c!$&'()*+=:@-_")
	version := "HTTP/1.1"
	lines := []string{pick(random, "Host: ", "host:", "HOST: \t") + pick(random, "gateway.test", "gateway.test:8080", "[::1]:80"), pick(random, "X-Sent: ", "x-sENT:", "X-Sent:\t ") + g.sent + pick(random, "", " ", "\t ")}
	for range random.IntN(4) {
		lines = append(lines, pick(random,
			"Cookie: a=b", "Cookie: c=d; e", "Accept: */*", "Accept-Encoding: gzip, br", "X-Twice: 1", "X-Twice: 2", "x-twice: ,", "User-Agent: fuzz/1 (a)",
			"Connection: X-Hop, keep-alive", "X-Hop: 1", "TE: trailers", "Keep-Alive: timeout=5", "X_Under: 1", "If-None-Match: \"a\"", "Range: bytes=0-1",
			"Proxy-Connection: keep-alive", "Content-Type: text/plain", "X-Forwarded-For: 6.6.6.6", "Via: 1.0 a", "Date: now", "X-Empty:", "Transfer_Encoding: chunked",
			"Content_Length: 7", "Content-Encoding: gzip", "Upgrade-Insecure-Requests: 1", "Authorization: Basic eA==", "!#$%&'*+-.^_`|~: token"))
	}
	if random.IntN(12) == 0 {
		lines = append(lines, "Expect: 100-continue")
	}
	if random.IntN(15) == 0 {
		lines = append(lines, "Connection: close")
	}
	g.body = newBody(random, id)
	var body string
	switch random.IntN(5) {
	case 0, 1:
		g.body = ""
	case 2:
		body = g.body
		lines = append(lines, pick(random, "Content-Length: ", "content-length:", "Content-Length: 00")+fmt.Sprint(len(body)))
		if random.IntN(8) == 0 {
			version = "HTTP/1.0"
		}
	default:
		var trailers string
		if random.IntN(3) == 0 {
			trailers = pick(random, "X-Sum: 42\r\n", "X-Sum:\r\nx-other: \t1 \r\n", "X-Sum: 1\r\nX-Sum: 2\r\n")
			if random.IntN(2) == 0 {
				lines = append(lines, "Trailer: X-Sum")
			}
		}
		lines = append(lines, pick(random, "Transfer-Encoding: chunked", "transfer-encoding:Chunked", "Transfer-Encoding: \tCHUNKED "))
		body = chunks(random, g.body) + pick(random, "0", "000", "0;last", "0 ;a=\"b\"") + "\r\n" + trailers + "\r\n"
	}
	random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	return head(append([]string{g.method + " " + target + " " + version}, lines...)...) + body, g
}

// newBody returns bytes that look like the end of a body, or like another request.
func newBody(random *rand.Rand, id string) string {
	var b strings.Builder
	for range random.IntN(6) {
		b.WriteString(pick(random, "hello", "\r\n", "0\r\n\r\n", "\x00\xff\x80", "5\r\n", "\n\n", "\r\n\r\n", "Content-Length: 5\r\n",
			"GET /smuggled-"+id+" HTTP/1.1\r\nHost: gateway.test\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"))
	}
	if random.IntN(25) == 0 { // more than is read at once
		b.WriteString(strings.Repeat("0123456789abcde\n", 2000+random.IntN(3000)))
	}
	return b.String()
}

// chunks returns a body in chunks, without the last one.
func chunks(random *rand.Rand, body string) string {
	var b strings.Builder
	for _, piece := range inPieces(random, body+"|") { // of which none may be empty
		if piece = strings.TrimSuffix(piece, "|"); piece != "" {
			fmt.Fprintf(&b, pick(random, "%x", "%X", "00%x")+"%s\r\n%s\r\n", len(piece), pick(random, "", "", "", ";a", ";a=b;c=\"d e\"", " ;x"), piece)
		}
	}
	return b.String()
}

// spoil changes a request where two servers may read it in different ways.
func spoil(random *rand.Rand, text string) string {
	lines := strings.SplitAfter(text, "\r\n")
	end := max(slices.Index(lines, "\r\n"), 1) // of the head
	at := random.IntN(end)
	switch random.IntN(10) {
	case 0:
		lines[at] = strings.TrimSuffix(lines[at], "\r\n") + pick(random, "\n", "\r", "\r\r\n", "\x00\r\n", "\r\n ", "\r\n\t", " \r\n")
	case 1:
		lines[at] = strings.Replace(lines[at], ":", pick(random, " :", "\t:", "::", "", ": \r\n ", "\x00:"), 1)
	case 2:
		lines[0] = strings.Replace(lines[0], "HTTP/1.1", pick(random, "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", "HTTP/1.10", ""), 1)
	case 3:
		lines[0] = strings.Replace(lines[0], " ", pick(random, "  ", "\t", "", " /", "\x00 ", "\xe9 "), 1)
	case 4:
		method, rest, _ := strings.Cut(lines[0], " ")
		lines[0] = pick(random, "get", "FROB", "CONNECT", "TRACE", method+":", "\r\n"+method, "\n"+method, " "+method, method+"\x00") + " " + rest
	case 5:
		lines = slices.Insert(lines, end, pick(random, "Host: evil.test\r\n", "Content-Length: 3\r\n", "Content-Length: 0\r\n", "Content-Length: 5, 5\r\n", "Content-Length: +1\r\n",
			"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: identity\r\n", "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding:\vchunked\r\n",
			"Expect: 200-ok\r\n", "Connection: Content-Length\r\n", "Connection: Transfer-Encoding, Host\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n"))
	case 6: // an odd target
		method, rest, _ := strings.Cut(lines[0], " ")
		target, version, _ := strings.Cut(rest, " ")
		lines[0] = method + " " + pick(random, "*", "a"+target, target+"#x", target+"\xe9", target+"%zz", target+"\\", "//x"+target, "/.."+target, target+"?\x7f", "http://u@h"+target, "ftp://a"+target, target+"/%00", "http:"+target) + " " + version
	case 7: // another size, of chunks or of the body
		for i, line := range lines {
			if i < end && strings.HasPrefix(strings.ToLower(line), "content-length:") {
				lines[i] = strings.Replace(line, ":", pick(random, ": 1", ": -", ":  9", ": 0x"), 1)
			}
			if i > end && len(line) < 8 && random.IntN(3) == 0 {
				lines[i] = pick(random, "0x", "-", "+", " ", "1", "f", "\t", "10000000000000000", "_") + line
			}
		}
	case 8: // another end of a line, of chunks or within a body
		if end < len(lines)-1 {
			i := end + 1 + random.IntN(len(lines)-end-1)
			lines[i] = strings.TrimSuffix(lines[i], "\r\n") + pick(random, "\n", "\r", "\r\r\n", "!\r\n", "XX", "\r!", "", "\r\n\r\n", " \r\n", ";\r\n", ";a\x00\r\n")
		}
	default: // the framing goes
		i := slices.IndexFunc(lines, func(line string) bool {
			return strings.Contains(strings.ToLower(line), "-encoding:") || strings.Contains(strings.ToLower(line), "-length:")
		})
		if i > 0 && i < end {
			lines = slices.Delete(lines, i, i+1)
		}
	}
	return strings.Join(lines, "")
}
