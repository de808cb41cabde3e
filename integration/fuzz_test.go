package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// silence is how long the other side may send nothing before the test takes it to wait for
// more. It is never part of an assertion.
const silence = 300 * time.Millisecond

// listen reads to the end of a connection, or until silence falls.
func listen(c net.Conn) (text []byte, over bool) {
	b := make([]byte, 64<<10)
	for {
		if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return text, true
		}
		n, err := c.Read(b)
		text = append(text, b[:n]...)
		if err != nil {
			return text, !errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}

// mutated returns n texts, each a seed with a few bytes changed, and always the same ones:
// each test run does a little of what the fuzzer does for long.
func mutated(n int, seeds []string) []string {
	random := rand.New(rand.NewPCG(1, 2))
	texts := make([]string, n)
	for i := range texts {
		texts[i] = mutate(random, seeds[random.IntN(len(seeds))])
	}
	return texts
}

// mutate returns text with a few bytes changed.
func mutate(random *rand.Rand, text string) string {
	pieces := []string{
		"\r\n", "\n", "\r", " ", "\t", "\x00", ":", ",", "0", "5", "-", "+", "\x0b", "\xff", "#", "%", "@", "HTTP/1.0",
		"Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Host: evil.test\r\n", "0\r\n\r\n", "\r\n\r\n", "Connection: close\r\n", " chunked", ";a=b",
	}
	b := []byte(text)
	for range 1 + random.IntN(3) {
		at := random.IntN(len(b) + 1)
		to := min(len(b), at+random.IntN(4))
		switch random.IntN(4) {
		case 0: // something else in place of a little
			b = slices.Concat(b[:at], []byte(pieces[random.IntN(len(pieces))]), b[to:])
		case 1: // something more
			b = slices.Insert(b, at, []byte(pieces[random.IntN(len(pieces))])...)
		case 2: // a little less
			b = slices.Delete(b, at, to)
		case 3: // a line twice
			lines := bytes.SplitAfter(b, []byte("\n"))
			j := random.IntN(len(lines))
			b = bytes.Join(slices.Insert(lines, j, slices.Clone(lines[j])), nil)
		}
	}
	return string(b)
}

// hostileTexts returns what the tables of hostile requests send, but for the long ones, always
// in the same order.
func hostileTexts() []string {
	var texts []string
	for _, c := range slices.Concat(framing(), heads()) {
		if len(c.send) < 2000 {
			texts = append(texts, c.send)
		}
	}
	slices.Sort(texts) // maps are in them
	return texts
}

var target = regexp.MustCompile(`(?i)\r\nX-Target: (\S*)\r\n`)

// Whatever bytes a client sends: a request that is answered with 200 was one canonical request
// at the backend, in the same order; and the request behind it is answered as itself, or not
// at all because the connection ended.
func FuzzRequestHeads(f *testing.F) {
	b := newRecorder(f)
	g := start(f, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	seeds := hostileTexts()
	for _, text := range append(mutated(500, seeds), seeds[0]) {
		f.Add([]byte(text))
	}
	var count atomic.Int64
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 16<<10 || bytes.Contains(bytes.ToLower(text), []byte("upgrade")) {
			return // sessions are for others to test
		}
		id := fmt.Sprintf("/fuzz-%d/", count.Add(1))
		before := len(b.all())
		p := wstest.Dial(t, g.http)
		defer p.Close()
		// Writing fails if the gateway has closed the connection already.
		_, _ = io.WriteString(p.Conn, strings.ReplaceAll(string(text)+marker, "/@/", id))
		answer, over := listen(p.Conn.Conn)
		if !over {
			_ = p.CloseWrite() // it waits for the rest of a body
			rest, over := listen(p.Conn.Conn)
			if answer = append(answer, rest...); !over {
				p.Close()
			}
		}
		requests := b.all()[before:]
		next := 0
		for _, m := range target.FindAllSubmatch(answer, -1) {
			i := slices.IndexFunc(requests[next:], func(q recorded) bool { _, got := q.target(); return got == string(m[1]) })
			if i < 0 {
				t.Fatalf("%q was answered with\n%q, but of it the backend got only %v", text, answer, requests)
			}
			next += i + 1
		}
		for _, q := range requests {
			if _, got := q.target(); got != id+"marker" {
				continue
			}
			// Its method may be longer or shorter: bytes that were no body, or of a longer one.
			_, got, _ := strings.Cut(q.canonical(), " ")
			if want := id + "marker HTTP/1.1\nHost: gateway.test\n\n"; got != want {
				t.Fatalf("behind %q the backend got\n%q, want\n%q", text, got, want)
			}
		}
		b.mu.Lock()
		faults := b.faults
		b.faults = nil
		b.mu.Unlock()
		if len(faults) > 0 {
			t.Fatalf("%q arrived at the backend as: %s", text, faults)
		}
	})
}

// Whatever bytes a backend answers: the client gets one well-formed answer or none, and the
// requests of other clients get their own answers.
func FuzzResponseHeads(f *testing.F) {
	var text atomic.Pointer[[]byte]
	b := wstest.NewBackend(f, serving(func(c *wstest.Conn, method, target string) bool {
		if !strings.HasSuffix(target, "/outer") {
			return answered(c, method, target)
		}
		_, err := c.Write(*text.Load())
		return err == nil
	}))
	g := start(f, fmt.Sprintf("routes: [{ path: /*, backend: %s, timeouts: { response: 200ms } }]", b.Address))
	seeds := []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: X\r\nX: y\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 703 Unknown\r\nContent-Length: 5\r\n\r\nhello",
	}
	for _, text := range append(mutated(150, seeds), seeds...) {
		f.Add([]byte(text))
	}
	var count atomic.Int64
	f.Fuzz(func(t *testing.T, answer []byte) {
		if len(answer) > 16<<10 {
			return
		}
		text.Store(&answer)
		id := fmt.Sprintf("/fuzz-%d/", count.Add(1))
		p := wstest.Dial(t, g.http)
		p.WriteString(get(id + "outer"))
		got, _ := listen(p.Conn.Conn)
		p.Close()
		for n := 0; len(got) > 0; n++ {
			end := bytes.Index(got, []byte("\r\n\r\n"))
			if end < 0 {
				t.Fatalf("%q reached the client as %q", answer, got)
			}
			lines := strings.Split(string(got[:end]), "\r\n")
			head := wstest.Head{Start: lines[0], Lines: lines[1:]}
			if !statusLine.MatchString(head.Start) || len(head.Values("Content-Length")) > 1 || head.Values("Content-Length") != nil && head.Values("Transfer-Encoding") != nil {
				t.Fatalf("%q reached the client as %q", answer, got)
			}
			for _, line := range head.Lines {
				name, value, ok := strings.Cut(line, ":")
				if !ok || !headerName.MatchString(name) || strings.ContainsFunc(value, control) {
					t.Fatalf("%q reached the client with the line %q", answer, line)
				}
			}
			if !strings.HasPrefix(head.Start, "HTTP/1.1 1") {
				break // what stands behind is the body
			}
			got = got[end+4:]
		}
		for n := range 2 {
			path := fmt.Sprintf("%smarker/%d", id, n)
			if r, body := wstest.Ask(t, g.http, get(path)); r.StatusCode != http.StatusOK || body != path {
				t.Fatalf("behind the answer %q another client got status %d, body %q", answer, r.StatusCode, body)
			}
		}
	})
}

// A status above 599 goes on as it is: which class it belongs to is for the client to say (RFC 9110, section 15).
var statusLine = regexp.MustCompile(`^HTTP/1\.1 [1-9][0-9][0-9] [\t -~\x80-\x{10ffff}]*$`)
