package upgrade

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/header"
	"sluice/internal/wstest"
)

// offered returns the handshake that these tests offer.
func offered() *Request {
	return &Request{
		Host: "example.com", Path: "/chat", Protocols: []string{"v1", "v2"},
		Extensions: "permessage-deflate; client_max_window_bits", Header: header.FromHTTP(http.Header{"Cookie": {"a=1"}}),
	}
}

// script is a backend that reads the handshake and writes pieces, one segment
// each. It replaces ACCEPT in a piece by the value that fits the key.
func script(t testing.TB, c net.Conn, pieces ...string) {
	defer c.Close()
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		t.Errorf("the backend cannot read the handshake: %v", err)
		return
	}
	for _, p := range pieces {
		p = strings.ReplaceAll(p, "ACCEPT", acceptKey(r.Header.Get("Sec-WebSocket-Key")))
		if _, err := io.WriteString(c, p); err != nil {
			return
		}
	}
}

// offerTo starts a scripted backend and offers it the handshake. It returns the
// gateway's end of the connection, which is closed when the test ends.
func offerTo(t testing.TB, pieces ...string) (*Answer, net.Conn, error) {
	t.Helper()
	c, s := wstest.Sockets(t, "tcp")
	var backend sync.WaitGroup
	backend.Go(func() { script(t, s, pieces...) })
	t.Cleanup(func() { c.Close(); backend.Wait() })
	a, err := offered().offerHTTP1(t.Context(), c)
	return a, c, err
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n"

func TestOfferAccepted(t *testing.T) {
	tests := []struct {
		name     string
		pieces   []string
		protocol string
		agreed   string
		header   http.Header
		stream   string // what can be read after the 101, early bytes first
	}{
		{name: "plain", pieces: []string{switching + "\r\n"}},
		{name: "any reason, lower case names", pieces: []string{"HTTP/1.1 101 x\r\nupgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\nsec-websocket-accept: ACCEPT\r\n\r\n"}},
		{name: "HTTP/1.2", pieces: []string{strings.Replace(switching, "1.1", "1.2", 1) + "\r\n"}},
		{name: "Connection in two lines", pieces: []string{strings.Replace(switching, "Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade", 1) + "\r\n"}},
		{name: "bare line feeds", pieces: []string{strings.ReplaceAll(switching, "\r\n", "\n") + "\n"}},
		{name: "folded", pieces: []string{strings.Replace(switching, "Accept: ", "Accept:\r\n ", 1) + "\r\n"}},
		{name: "byte by byte", pieces: append(strings.Split(strings.TrimSuffix(switching, "ACCEPT\r\n"), ""), "ACCEPT", "\r", "\n", "\r", "\n", "a", "b"), stream: "ab"},
		{name: "subprotocol", pieces: []string{switching + "Sec-WebSocket-Protocol: v2\r\n\r\n"}, protocol: "v2"},
		{name: "empty subprotocol is none", pieces: []string{switching + "Sec-WebSocket-Protocol: \r\n\r\n"}},
		{name: "extension, canonical", pieces: []string{switching + "Sec-WebSocket-Extensions: permessage-deflate;client_max_window_bits=\"10\"\r\n\r\n"}, agreed: "permessage-deflate; client_max_window_bits=10"},
		{name: "empty extensions are none", pieces: []string{switching + "Sec-WebSocket-Extensions: \r\n\r\n"}},
		{name: "end-to-end headers", pieces: []string{switching + "Set-Cookie: a\r\nSet-Cookie: b\r\nKeep-Alive: 5\r\nContent-Length: 0\r\n\r\n"}, header: http.Header{"Set-Cookie": {"a", "b"}}},
		{name: "a length is meaningless", pieces: []string{switching + "Content-Length: 3\r\n\r\nabc"}, stream: "abc"},
		{name: "chunks are meaningless", pieces: []string{switching + "Transfer-Encoding: chunked\r\n\r\nabc"}, stream: "abc"},
		{name: "103 first", pieces: []string{"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", switching + "\r\n"}},
		{name: "100 and 102 in one segment", pieces: []string{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + switching + "\r\n"}},
		{name: "bytes in the same segment", pieces: []string{switching + "\r\n\x81\x02hi"}, stream: "\x81\x02hi"},
		{name: "bytes in the next segment", pieces: []string{switching + "\r\n", "\x81\x02hi"}, stream: "\x81\x02hi"},
		{name: "bytes in both", pieces: []string{switching + "\r\n\x81", "\x02hi"}, stream: "\x81\x02hi"},
		{name: "a flood in the same segment", pieces: []string{switching + "\r\n" + strings.Repeat("x", 200<<10)}, stream: strings.Repeat("x", 200<<10)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, c, err := offerTo(t, tt.pieces...)
			if err != nil {
				t.Fatal(err)
			}
			if a.Status != 101 || a.Protocol != tt.protocol || a.Extensions != tt.agreed || a.Deflate() != (tt.agreed != "") || a.Body != nil {
				t.Errorf("Offer = %+v; want protocol %q, extensions %q", a, tt.protocol, tt.agreed)
			}
			if !maps.EqualFunc(a.Header.HTTP(), tt.header, slices.Equal) {
				t.Errorf("Offer = header %v; want %v", a.Header, tt.header)
			}
			rest, err := io.ReadAll(c)
			if got := string(a.Early) + string(rest); got != tt.stream || err != nil {
				t.Errorf("after the 101 came %d bytes %.20q, %v; want %d bytes %.20q", len(got), got, err, len(tt.stream), tt.stream)
			}
		})
	}
}

func TestOfferBroken(t *testing.T) {
	without := func(name string) string {
		var kept strings.Builder
		for line := range strings.Lines(switching) {
			if !strings.HasPrefix(line, name+":") {
				kept.WriteString(line)
			}
		}
		return kept.String()
	}
	endless := func(piece string) []string { return slices.Repeat([]string{piece}, 100_000) }
	tests := []struct {
		name   string
		pieces []string
		err    string // part of the error
	}{
		{"no accept", []string{without("Sec-WebSocket-Accept") + "\r\n"}, "Sec-WebSocket-Accept"},
		{"wrong accept", []string{strings.Replace(switching, "ACCEPT", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 1) + "\r\n"}, "Sec-WebSocket-Accept"},
		{"accept in lower case", []string{strings.Replace(switching, "ACCEPT", "accept", 1) + "\r\n"}, "Sec-WebSocket-Accept"},
		{"accept twice", []string{switching + "Sec-WebSocket-Accept: ACCEPT\r\n\r\n"}, "Sec-WebSocket-Accept"},
		{"no Upgrade", []string{without("Upgrade") + "\r\n"}, "Upgrade: websocket"},
		{"another Upgrade", []string{strings.Replace(switching, "websocket", "h2c", 1) + "\r\n"}, "Upgrade: websocket"},
		{"two Upgrades", []string{switching + "Upgrade: h2c\r\n\r\n"}, "Upgrade: websocket"},
		{"no Connection", []string{without("Connection") + "\r\n"}, "Connection: Upgrade"},
		{"Connection: close", []string{strings.Replace(switching, "Connection: Upgrade", "Connection: close", 1) + "\r\n"}, "Connection: Upgrade"},
		{"HTTP/1.0", []string{strings.Replace(switching, "1.1", "1.0", 1) + "\r\n"}, "HTTP/1.0"},
		{"HTTP/2.0", []string{strings.Replace(switching, "1.1", "2.0", 1) + "\r\n"}, "HTTP/2.0"},
		{"subprotocol not offered", []string{switching + "Sec-WebSocket-Protocol: v3\r\n\r\n"}, `"v3"`},
		{"subprotocol in another case", []string{switching + "Sec-WebSocket-Protocol: V1\r\n\r\n"}, `"V1"`},
		{"two subprotocols", []string{switching + "Sec-WebSocket-Protocol: v1, v2\r\n\r\n"}, `"v1, v2"`},
		{"subprotocol twice", []string{switching + "Sec-WebSocket-Protocol: v1\r\nSec-WebSocket-Protocol: v2\r\n\r\n"}, "subprotocol"},
		{"extension not offered", []string{switching + "Sec-WebSocket-Extensions: foo\r\n\r\n"}, `"foo"`},
		{"endless 1xx", endless("HTTP/1.1 103 Early Hints\r\n\r\n"), "informational"},
		{"endless headers", append([]string{"HTTP/1.1 101 x\r\n"}, endless(strings.Repeat("A: b\r\n", 100))...), "64 KiB"},
		{"endless line", endless("HTTP/1.1 101 " + strings.Repeat("x", 100)), "64 KiB"},
		{"endless 1xx headers", endless("HTTP/1.1 103 Early Hints\r\nA: " + strings.Repeat("x", 30<<10) + "\r\n\r\n"), "64 KiB"},
		{"garbage", []string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"}, "not HTTP"},
		{"SSH", []string{"SSH-2.0-OpenSSH_9.9\r\n"}, "not HTTP"},
		{"status of letters", []string{"HTTP/1.1 abc x\r\n\r\n"}, "not HTTP"},
		{"status 0", []string{"HTTP/1.1 000 x\r\n\r\n"}, "status 0"},
		{"status 99", []string{"HTTP/1.1 099 x\r\n\r\n"}, "status 99"},
		{"bad header", []string{"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"}, "not HTTP"},
		{"two lengths", []string{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"}, "not HTTP"},
		{"nothing", nil, "closed the connection"},
		{"half a head", []string{switching}, "closed the connection"},
		{"1xx and nothing", []string{"HTTP/1.1 100 Continue\r\n\r\n"}, "closed the connection"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, _, err := offerTo(t, tt.pieces...)
			var broken *backendError
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("Offer = %+v, %v; want an error with %q", a, err, tt.err)
			}
			if protocol := !strings.Contains(tt.err, "closed"); errors.As(err, &broken) != protocol {
				t.Errorf("Offer = %T; want a *backendError: %v", err, protocol)
			}
		})
	}
}

func TestOfferRefused(t *testing.T) {
	tests := []struct {
		name   string
		pieces []string
		status int
		header http.Header
		body   string
	}{
		{name: "200", pieces: []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain"}, status: 200, header: http.Header{"Content-Length": {"5"}}, body: "plain"},
		{name: "401 with a streamed body", pieces: []string{"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nwho\r\n", "5\r\n goes\r\n", "0\r\n\r\n"},
			status: 401, header: http.Header{"Www-Authenticate": {"Basic"}}, body: "who goes"},
		{name: "body without a length", pieces: []string{"HTTP/1.1 403 No\r\n\r\n", "go ", "away"}, status: 403, body: "go away"},
		{name: "302", pieces: []string{"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\nSet-Cookie: s=1\r\n\r\n"},
			status: 302, header: http.Header{"Location": {"/login"}, "Content-Length": {"0"}, "Set-Cookie": {"s=1"}}},
		{name: "404 from HTTP/1.0", pieces: []string{"HTTP/1.0 404 Not Found\r\nConnection: close\r\n\r\ngone"}, status: 404, body: "gone"},
		{name: "426 names its version", pieces: []string{"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Accept: x\r\nContent-Length: 0\r\n\r\n"},
			status: 426, header: http.Header{"Sec-WebSocket-Version": {"8"}, "Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Content-Length": {"0"}}},
		{name: "hop by hop headers", pieces: []string{"HTTP/1.1 400 Bad\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n"}, status: 400, header: http.Header{"Content-Length": {"0"}}},
		{name: "103 first", pieces: []string{"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"}, status: 503, header: http.Header{"Content-Length": {"0"}}},
		{name: "a body longer than a head may be", pieces: []string{"HTTP/1.1 500 x\r\n\r\n", strings.Repeat("x", 200<<10)}, status: 500, body: strings.Repeat("x", 200<<10)},
		{name: "204", pieces: []string{"HTTP/1.1 204 No Content\r\n\r\n"}, status: 204, header: http.Header{"Content-Length": {"0"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, c, err := offerTo(t, tt.pieces...)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(a.Body)
			if a.Status != tt.status || string(body) != tt.body || err != nil {
				t.Errorf("Offer = status %d, body of %d bytes %.20q, %v; want %d, %d bytes %.20q", a.Status, len(body), body, err, tt.status, len(tt.body), tt.body)
			}
			if !maps.EqualFunc(a.Header.HTTP(), tt.header, slices.Equal) {
				t.Errorf("header = %v; want %v", a.Header, tt.header)
			}
			if err := a.Body.Close(); err != nil {
				t.Error(err)
			}
			if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Write after the body was closed = %v; want net.ErrClosed", err)
			}
		})
	}
}

// A refusal that is cut off does not look complete.
func TestOfferRefusalCutOff(t *testing.T) {
	for _, head := range []string{"Content-Length: 100\r\n\r\nshort", "Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"} {
		a, _, err := offerTo(t, "HTTP/1.1 401 Unauthorized\r\n"+head)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(a.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(body) != "short" {
			t.Errorf("body after %q = %q, %v; want an unexpected EOF", head, body, err)
		}
	}
}

func TestOfferEndsWithItsContext(t *testing.T) {
	tests := []struct {
		name  string
		reads bool // the backend reads the handshake
		said  string
	}{
		{name: "a backend that reads nothing"},
		{name: "a backend that answers nothing", reads: true},
		{name: "a backend that stops inside its head", reads: true, said: "HTTP/1.1 101 Swit"},
		{name: "a backend that stops after a 100", reads: true, said: "HTTP/1.1 100 Continue\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := net.Pipe()
				defer c.Close()
				defer s.Close()
				go func() {
					if tt.reads {
						http.ReadRequest(bufio.NewReader(s))
						io.WriteString(s, tt.said)
					}
				}()
				slow := errors.New("too slow")
				ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, slow)
				defer cancel()
				if a, err := offered().offerHTTP1(ctx, c); !errors.Is(err, slow) {
					t.Errorf("Offer = %+v, %v; want the cause of the context", a, err)
				}
			})
		})
	}
	t.Run("a context that has ended", func(t *testing.T) {
		c, s := net.Pipe()
		defer c.Close()
		defer s.Close()
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(gone)
		if a, err := offered().offerHTTP1(ctx, c); !errors.Is(err, gone) {
			t.Errorf("Offer = %+v, %v; want the cause of the context", a, err)
		}
	})
}

// The context bounds only the handshake: the session gets the connection without
// a deadline.
func TestOfferLeavesTheConnectionToTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := net.Pipe()
		defer c.Close()
		answered := make(chan struct{})
		go func() {
			defer s.Close()
			r, _ := http.ReadRequest(bufio.NewReader(s))
			fmt.Fprint(s, strings.Replace(switching, "ACCEPT", acceptKey(r.Header.Get("Sec-WebSocket-Key")), 1)+"\r\n")
			<-answered
			<-time.After(time.Hour)
			io.WriteString(s, "late")
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if _, err := offered().offerHTTP1(ctx, c); err != nil {
			t.Fatal(err)
		}
		cancel()
		close(answered)
		if got, err := io.ReadAll(c); string(got) != "late" || err != nil {
			t.Errorf("an hour later the connection has %q, %v; want late", got, err)
		}
	})
}

func TestOfferRefusalTakesBoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := net.Pipe()
		defer s.Close()
		go func() {
			http.ReadRequest(bufio.NewReader(s))
			io.WriteString(s, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 10\r\n\r\nhalf")
		}()
		a, err := offered().offerHTTP1(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		var timeout net.Error
		if body, err := io.ReadAll(a.Body); string(body) != "half" || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("body = %q, %v; want a timeout", body, err)
		}
	})
}

func TestOfferToAClosedConnection(t *testing.T) {
	c, s := net.Pipe()
	s.Close()
	defer c.Close()
	if _, err := offered().offerHTTP1(t.Context(), c); err == nil || !strings.HasPrefix(err.Error(), "send the handshake: ") {
		t.Errorf("Offer to a closed connection = %v; want that sending failed", err)
	}
}

// canned is a connection whose other end has sent everything in advance.
type canned struct {
	net.Conn
	said *strings.Reader
	sent bytes.Buffer
}

func (c *canned) Read(p []byte) (int, error)      { return c.said.Read(p) }
func (c *canned) Write(p []byte) (int, error)     { return c.sent.Write(p) }
func (c *canned) SetDeadline(time.Time) error     { return nil }
func (c *canned) SetReadDeadline(time.Time) error { return nil }
func (c *canned) Close() error                    { return nil }

// No answer makes the offer panic or hang. An accepted one has all that RFC 6455,
// section 4.1, requires, and no byte after it is lost.
func FuzzOffer(f *testing.F) {
	f.Add(switching + "\r\n\x81\x00")
	f.Add("HTTP/1.1 103 x\r\nA: b\r\n\r\n" + switching + "Sec-WebSocket-Protocol: v2\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=\"1\\0\"\r\n\r\nabc")
	f.Add("HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	f.Add("HTTP/1.1 099 x\r\n\r\n")
	f.Fuzz(func(t *testing.T, said string) {
		q := offered()
		// The key is random: ACCEPT stands for the value that fits it.
		key := NewKey()
		said = strings.ReplaceAll(said, "ACCEPT", acceptKey(key))
		c := &canned{said: strings.NewReader(said)}
		a, err := q.exchange(c, key)
		switch {
		case err != nil:
			if a != nil {
				t.Fatalf("exchange = %+v and %v; want no answer with an error", a, err)
			}
		case a.Status == 101:
			rest, _ := io.ReadAll(c)
			after := string(a.Early) + string(rest)
			head, ok := strings.CutSuffix(said, after)
			if !ok || !strings.HasSuffix(head, "\n") {
				t.Fatalf("of %q the session gets %q after the 101", said, after)
			}
			lower := strings.ToLower(head)
			for _, want := range []string{" 101", "websocket", "upgrade:", "connection:", "sec-websocket-accept:"} {
				if !strings.Contains(lower, want) {
					t.Fatalf("accepted without %q: %q", want, head)
				}
			}
			if !strings.Contains(head, acceptKey(key)) {
				t.Fatalf("accepted with a wrong key: %q", head)
			}
			if a.Protocol != "" && !slices.Contains(q.Protocols, a.Protocol) {
				t.Fatalf("accepted with the subprotocol %q", a.Protocol)
			}
			if rest, ok := strings.CutPrefix(a.Extensions, "permessage-deflate"); a.Deflate() != ok || strings.ContainsAny(rest, ",\"\r\n") {
				t.Fatalf("accepted with the extensions %q", a.Extensions)
			}
			fields := string(a.Header.Append(nil))
			for _, name := range []string{"connection:", "upgrade:", "content-length:", "transfer-encoding:", "sec-websocket-"} {
				if strings.HasPrefix(strings.ToLower(fields), name) || strings.Contains(strings.ToLower(fields), "\n"+name) {
					t.Fatalf("%q reaches the client in %q", name, fields)
				}
			}
		case a.Status < 200 || a.Status > 999:
			t.Fatalf("the status %d cannot be sent to the client", a.Status)
		default:
			if n, _ := io.Copy(io.Discard, a.Body); n > int64(len(said)) {
				t.Fatalf("the body has %d bytes of an answer of %d", n, len(said))
			}
		}
	})
}

func BenchmarkOffer(b *testing.B) {
	q, key := offered(), NewKey()
	said := strings.Replace(switching, "ACCEPT", acceptKey(key), 1) + "\r\n"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := q.exchange(&canned{said: strings.NewReader(said)}, key); err != nil {
			b.Fatal(err)
		}
	}
}
