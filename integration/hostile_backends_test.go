package integration

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sluice/internal/wstest"
)

// serving calls answer for one request after another of a connection, until it returns false.
// Bodies are read before.
func serving(answer func(c *wstest.Conn, method, target string) bool) wstest.Behaviour {
	return func(c *wstest.Conn) {
		in := bufio.NewReader(c)
		for head := c.Head; ; {
			parts := strings.Split(head.Start, " ")
			length, _ := strconv.ParseInt(head.Get("Content-Length"), 10, 64)
			if _, err := readBody(in, length); err != nil || !answer(c, parts[0], parts[1]) {
				return
			}
			var err error
			if head.Start, err = strictLine(in); err != nil {
				return
			}
			if head.Lines, err = strictHeaders(in); err != nil {
				return
			}
		}
	}
}

// answered is a whole answer that repeats what was asked for.
func answered(c *wstest.Conn, method, target string) bool {
	body := target
	if method == http.MethodHead {
		body = ""
	}
	_, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Target: %[2]s\r\n\r\n%[3]s", len(target), target, body)
	return err == nil
}

// A backend's answer reaches the client as one answer of the same meaning, or the client gets
// a 502, or the answer is cut where it was cut; and no other client gets anything of it.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	ok := func(lines ...string) string { return head(append([]string{"HTTP/1.1 200 OK"}, lines...)...) }
	const length = "Content-Length: 5"
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	type test struct {
		name, answer string
		method       string // GET when ""
		ends         bool   // the backend closes behind it
		status       int    // 502 when 0
		either       bool   // 502 is as good
		cut          bool   // the client must not take it for whole; 502 is as good
		body         string
		headers      map[string]string
		inform       []int
	}
	tests := []test{
		{name: "a length", answer: ok(length) + "hello", status: 200, body: "hello"},
		{name: "chunks", answer: ok("Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n", status: 200, body: "hello"},
		{name: "until the end", answer: ok() + "hello", ends: true, status: 200, body: "hello"},
		{name: "HTTP/1.0", answer: "HTTP/1.0 200 OK\r\n\r\nhello", ends: true, status: 200, body: "hello"},

		{name: "two lengths that differ", answer: ok(length, "Content-Length: 6") + "hello"},
		{name: "two lengths that agree", answer: ok(length, length) + "hello", status: 200, body: "hello", either: true},
		{name: "lengths in a list", answer: ok("Content-Length: 5, 5") + "hello", status: 200, body: "hello", either: true},
		{name: "lengths in a list that differ", answer: ok("Content-Length: 5, 6") + "hello"},
		{name: "a length with a sign", answer: ok("Content-Length: +5") + "hello"},
		{name: "a negative length", answer: ok("Content-Length: -5") + "hello"},
		{name: "a hexadecimal length", answer: ok("Content-Length: 0x5") + "hello"},
		{name: "a length beyond 64 bits", answer: ok("Content-Length: 99999999999999999999") + "hello"},
		{name: "length and chunks", answer: ok("Content-Length: 6", "Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n", status: 200, body: "hello", either: true},
		{name: "an unknown coding", answer: ok("Transfer-Encoding: xchunked") + "5\r\nhello\r\n0\r\n\r\n"},
		{name: "gzip, chunked as the coding", answer: ok("Transfer-Encoding: gzip, chunked") + "5\r\nhello\r\n0\r\n\r\n"},
		{name: "chunked twice", answer: ok("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n"},

		{name: "no status", answer: "HTTP/1.1\r\n" + length + "\r\n\r\nhello"},
		{name: "a status of two digits", answer: head("HTTP/1.1 99 Low", length) + "hello"},
		{name: "status 099", answer: head("HTTP/1.1 099 Low", length) + "hello"},
		{name: "status 000", answer: head("HTTP/1.1 000 Zero", length) + "hello"},
		{name: "a status of four digits", answer: head("HTTP/1.1 1000 High", length) + "hello"},
		{name: "a status of letters", answer: head("HTTP/1.1 abc Letters", length) + "hello"},
		{name: "a status with a sign", answer: head("HTTP/1.1 +20 Sign", length) + "hello"},
		{name: "a negative status", answer: head("HTTP/1.1 -20 Sign", length) + "hello"},
		{name: "status 600", answer: head("HTTP/1.1 600 High", length) + "hello", either: true, status: 600, body: "hello"},
		{name: "status 999", answer: head("HTTP/1.1 999 High", length) + "hello", either: true, status: 999, body: "hello"},
		{name: "no reason phrase", answer: head("HTTP/1.1 200", length) + "hello", status: 200, body: "hello"},
		{name: "another protocol", answer: head("ICY 200 OK", length) + "hello"},
		{name: "HTTP/2.0", answer: head("HTTP/2.0 200 OK", length) + "hello", either: true, status: 200, body: "hello"},
		{name: "small letters", answer: head("http/1.1 200 OK", length) + "hello"},
		{name: "garbage", answer: "\x16\x03\x01\x02\x00 this is not HTTP\r\n\r\n"},
		{name: "nothing", answer: "", ends: true},
		{name: "half a head", answer: "HTTP/1.1 200 OK\r\nContent-Le", ends: true},
		{name: "an answer of HTTP/0.9", answer: "<html>hello</html>\r\n", ends: true},

		{name: "endless headers", answer: "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Endless: "+strings.Repeat("x", 1000)+"\r\n", 1000)},
		{name: "an endless line", answer: "HTTP/1.1 200 OK\r\nX-Endless: " + strings.Repeat("x", 1<<20)},
		{name: "an endless status line", answer: "HTTP/1.1 200 " + strings.Repeat("x", 1<<20)},
		{name: "endless informational answers", answer: strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 50_000)},
		{name: "a 100 nobody asked for", answer: head("HTTP/1.1 100 Continue") + ok(length) + "hello", status: 200, body: "hello"},
		{name: "a 102", answer: head("HTTP/1.1 102 Processing") + ok(length) + "hello", status: 200, body: "hello", inform: []int{102}},
		{name: "a 103", answer: head("HTTP/1.1 103 Early Hints", "Link: </a.css>") + ok(length) + "hello", status: 200, body: "hello", inform: []int{103}, headers: map[string]string{"Link": ""}},
		{name: "a 101 nobody asked for", answer: head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket") + "\x81\x05hello"},
		{name: "a 101 without anything", answer: head("HTTP/1.1 101 Switching Protocols") + ok(length) + "hello"},

		{name: "a NUL in a value", answer: ok(length, "X: a\x00b") + "hello"},
		{name: "a bare CR in a value", answer: ok(length, "X: a\rX-Evil: b") + "hello"},
		{name: "an escape in a value", answer: ok(length, "X: \x1b[2J") + "hello"},
		{name: "a space in a name", answer: ok(length, "X Y: z") + "hello", either: true, status: 200, body: "hello"},
		{name: "a space before the colon", answer: ok(length, "X : z") + "hello", either: true, status: 200, body: "hello"},
		{name: "a length with a space before the colon", answer: ok("Content-Length : 5") + "hello", ends: true, either: true, status: 200, body: "hello"},
		{name: "a line without a colon", answer: ok(length, "garbage") + "hello"},
		{name: "an empty name", answer: ok(length, ": z") + "hello"},
		{name: "a NUL in a name", answer: ok(length, "X\x00: z") + "hello"},
		{name: "a high byte in a name", answer: ok(length, "X\xe9: z") + "hello", either: true, status: 200, body: "hello"},
		{name: "a folded line", answer: ok(length, "X: a", " b") + "hello", either: true, status: 200, body: "hello", headers: map[string]string{"X": "a b"}},
		{name: "a first line that starts with a space", answer: "HTTP/1.1 200 OK\r\n X: y\r\n" + length + "\r\n\r\nhello"},
		{name: "bare LFs", answer: "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", either: true, status: 200, body: "hello"},
		{name: "headers of the connection", answer: ok(length, "Connection: X-Secret, keep-alive", "X-Secret: 1", "Keep-Alive: timeout=5", "Proxy-Authenticate: Basic", "Upgrade: h2c", "X-Kept: 1") + "hello",
			status: 200, body: "hello", headers: map[string]string{"X-Secret": "", "Keep-Alive": "", "Upgrade": "", "X-Kept": "1"}},
		{name: "Connection: Content-Length", answer: ok(length, "Connection: Content-Length") + "hello", status: 200, body: "hello"},

		{name: "chunks of garbage", answer: ok("Transfer-Encoding: chunked") + "zz\r\nhello\r\n0\r\n\r\n", cut: true},
		{name: "a negative chunk", answer: ok("Transfer-Encoding: chunked") + "-5\r\nhello\r\n0\r\n\r\n", cut: true},
		{name: "a chunk without its end", answer: ok("Transfer-Encoding: chunked") + "5\r\nhelloXX0\r\n\r\n", cut: true},
		{name: "a huge chunk", answer: ok("Transfer-Encoding: chunked") + "fffffffffffffffff\r\nhello\r\n", cut: true},
		{name: "chunks that stop", answer: ok("Transfer-Encoding: chunked") + "5\r\nhello\r\n", ends: true, cut: true},
		{name: "chunks without the last line", answer: ok("Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n", ends: true, cut: true},
		{name: "less than the length", answer: ok("Content-Length: 100") + "hello", ends: true, cut: true},
		{name: "more than the length", answer: ok(length) + "hello, there is more", status: 200, body: "hello"},
		{name: "an answer behind the answer", answer: ok(length) + "hello" + poison, status: 200, body: "hello"},
		{name: "an answer behind chunks", answer: ok("Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n" + poison, status: 200, body: "hello"},
		{name: "an answer behind an answer without a body", answer: head("HTTP/1.1 204 No Content") + poison, status: 204},
		{name: "a 204 with a body", answer: head("HTTP/1.1 204 No Content", length) + "hello", status: 204},
		{name: "a 204 with chunks", answer: head("HTTP/1.1 204 No Content", "Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n", status: 204, either: true},
		{name: "a 304 with a body", answer: head("HTTP/1.1 304 Not Modified", length) + "hello", status: 304},
		{name: "a HEAD with a body", method: "HEAD", answer: ok(length) + "hello", status: 200, headers: map[string]string{"Content-Length": "5"}},
		{name: "a HEAD with an answer behind", method: "HEAD", answer: ok(length) + poison, status: 200},
		{name: "trailers of the connection", answer: ok("Transfer-Encoding: chunked", "Trailer: X-Sum") + "5\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Length: 3\r\nTransfer-Encoding: x\r\nSet-Cookie: a=b\r\n\r\n", status: 200, body: "hello", either: true},
	}
	b := wstest.NewBackend(t, serving(func(c *wstest.Conn, method, target string) bool {
		path, _ := strings.CutPrefix(target, "/case/")
		i, err := strconv.Atoi(path)
		if err != nil {
			return answered(c, method, target)
		}
		_, err = io.WriteString(c, tests[i].answer)
		return err == nil && !tests[i].ends
	}))
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s, timeouts: { response: 3s } }]", b.Address))
	for i, tt := range tests {
		for scheme, target := range g.schemes() {
			t.Run(scheme+"/"+tt.name, func(t *testing.T) {
				method := tt.method
				if method == "" {
					method = http.MethodGet
				}
				want := tt.status
				if want == 0 {
					want = http.StatusBadGateway
				}
				p := wstest.Dial(t, target)
				defer p.Close()
				p.WriteString(fmt.Sprintf("%s /case/%d HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n", method, i))
				replies, err := readReplies(bufio.NewReader(wstest.Guarded(p.Conn.Conn)), method+" ")
				if len(replies) != 1 {
					if tt.cut && len(replies) == 0 {
						return
					}
					t.Fatalf("%d answers, %v", len(replies), err)
				}
				r := replies[0]
				if len(r.informed) > 100 {
					t.Errorf("%d informational answers reached the client", len(r.informed))
				}
				bad := (r.StatusCode == http.StatusBadGateway || r.StatusCode == http.StatusGatewayTimeout) && (tt.either || tt.cut || want == http.StatusBadGateway)
				switch {
				case tt.cut && !bad && err == nil:
					t.Errorf("got a whole answer with status %d, body %q", r.StatusCode, r.body)
				case !tt.cut && err != nil:
					t.Error(err)
				case !tt.cut && !bad && (r.StatusCode != want || r.body != tt.body):
					t.Errorf("status %d, body %q; want %d, %q", r.StatusCode, r.body, want, tt.body)
				case strings.Contains(r.body, b.Address):
					t.Errorf("the backend's address is in the body %q", r.body)
				}
				if !bad && !slices.Equal(r.informed, tt.inform) {
					t.Errorf("informational answers %v, want %v", r.informed, tt.inform)
				}
				for name, value := range tt.headers {
					if got := r.Header.Get(name); got != value && !bad {
						t.Errorf("%s = %q, want %q", name, got, value)
					}
				}
				for name, values := range r.Header {
					if strings.ContainsFunc(strings.Join(values, ""), control) {
						t.Errorf("%s = %q", name, values)
					}
				}
				for n := range 3 {
					marker := fmt.Sprintf("/marker/%s/%d/%d", scheme, i, n)
					if r, body := wstest.Ask(t, target, get(marker)); r.StatusCode != 200 || body != marker {
						t.Errorf("the request behind it got status %d, body %q", r.StatusCode, body)
					}
				}
			})
		}
	}
}

// A backend that sends more than it was asked for spoils no answer to another client, even if
// the next request is there before the gateway has seen it.
func TestAnswersNeverReachOthers(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, serving(func(c *wstest.Conn, method, target string) bool {
		_, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", len(target), target)
		return err == nil
	}))
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	client := g.client(t)
	var running sync.WaitGroup
	for i := range 16 {
		running.Go(func() {
			for n := range 150 {
				path := fmt.Sprintf("/client/%d/%d", i, n)
				r, err := client.Get(g.https.URL(path))
				if err != nil {
					t.Errorf("GET %s: %v", path, err)
					return
				}
				body, err := io.ReadAll(r.Body)
				r.Body.Close()
				if string(body) != path && r.StatusCode == http.StatusOK || err != nil || r.StatusCode != http.StatusOK && r.StatusCode != http.StatusBadGateway {
					t.Errorf("GET %s: status %d, body %q, %v", path, r.StatusCode, body, err)
					return
				}
			}
		})
	}
	running.Wait()
}

// If the backend closes a kept connection under a request, the request is repeated where that
// is safe, and fails where it is not.
func TestReuseRaces(t *testing.T) {
	t.Parallel()
	var posts atomic.Int32
	b := wstest.NewBackend(t, func(c *wstest.Conn) {
		first := true
		serving(func(c *wstest.Conn, method, target string) bool {
			if method == http.MethodPost {
				posts.Add(1)
			}
			defer func() { first = false }()
			return first && answered(c, method, target)
		})(c)
	})
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	for n := range 20 {
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			request := strings.Replace(get(fmt.Sprintf("/%s/%d", method, n)), "GET", method, 1)
			if r, body := wstest.Ask(t, g.http, request); r.StatusCode != http.StatusOK {
				t.Errorf("%s %d: status %d, body %q; want 200", method, n, r.StatusCode, body)
			}
		}
	}
	const sent = 20
	for n := range sent {
		wstest.Ask(t, g.http, get("/warm")) // leaves a connection that will fail
		r, body := wstest.Ask(t, g.http, fmt.Sprintf("POST /post/%d HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", n))
		if r.StatusCode != http.StatusOK && r.StatusCode != http.StatusBadGateway {
			t.Errorf("POST %d: status %d, body %q; want 200 or 502", n, r.StatusCode, body)
		}
	}
	if got := posts.Load(); got > sent {
		t.Errorf("%d POSTs reached the backend of %d that were sent", got, sent)
	}
}

// An answer that comes before the request is done reaches the client at once.
func TestAnswerBeforeTheRequestIsDone(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, func(c *wstest.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		_, _ = io.Copy(io.Discard, c)
	})
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	for scheme, target := range g.schemes() {
		t.Run(scheme, func(t *testing.T) {
			p := wstest.Dial(t, target)
			p.WriteString("POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1000))
			if r, body := p.Answer("POST "); r.StatusCode != http.StatusForbidden || body != "no" {
				t.Errorf("status %d, body %q; want 403, no", r.StatusCode, body)
			}
		})
	}
}

// What a backend has sent before it does not keep to HTTP any more reaches the client, however it
// comes.
func TestAnswersAreCutBehindWhatIsGood(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, func(c *wstest.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n")
		io.Copy(io.Discard, c)
	})
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	for scheme, target := range g.schemes() {
		p := wstest.Dial(t, target)
		p.WriteString(get("/"))
		r, err := http.ReadResponse(bufio.NewReader(p), nil)
		if err != nil {
			t.Errorf("%s: %v", scheme, err)
			continue
		}
		if body, err := io.ReadAll(r.Body); string(body) != "hello" || err == nil {
			t.Errorf("%s: %q, %v; want it, and a cut", scheme, body, err)
		}
	}
}
