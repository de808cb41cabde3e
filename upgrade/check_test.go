package upgrade

import (
	"bufio"
	"bytes"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"sluice/internal/header"
	"sluice/internal/message"
)

const sampleKey = "dGhlIHNhbXBsZSBub25jZQ==" // from RFC 6455, section 1.3

// handshake returns a request as the server reads it. Each edit is a header line
// that replaces the lines with its name, if there are any; without a value it
// removes them. An edit with a method is the request line.
func handshake(t testing.TB, edits ...string) *message.Request {
	t.Helper()
	lines := []string{
		"GET /chat?x=1 HTTP/1.1", "Host: example.com", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Key: " + sampleKey, "Sec-WebSocket-Version: 13",
	}
	name := func(line string) string {
		n, _, _ := strings.Cut(line, ":")
		return strings.ToLower(n)
	}
	for _, edit := range edits {
		if strings.Contains(edit, " HTTP/") {
			lines[0] = edit
			continue
		}
		lines = append(lines[:1], slices.DeleteFunc(lines[1:], func(l string) bool { return name(l) == name(edit) })...)
	}
	for _, edit := range edits {
		if !strings.Contains(edit, " HTTP/") && !strings.HasSuffix(edit, ":") {
			lines = append(lines, edit)
		}
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.Join(lines, "\r\n") + "\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return asMessage(r)
}

// asMessage returns r as policies see it.
func asMessage(r *http.Request) *message.Request {
	m := message.FromHTTP(r, netip.AddrPort{})
	return &m
}

func TestWanted(t *testing.T) {
	tests := []struct {
		name  string
		edits []string
		want  bool
	}{
		{name: "handshake", want: true},
		{name: "as browsers send it", edits: []string{"Connection: keep-alive, Upgrade"}, want: true},
		{name: "tokens in any case", edits: []string{"Connection: UPGRADE", "Upgrade: WebSocket"}, want: true},
		{name: "Connection in two lines", edits: []string{"Connection: keep-alive", "Connection: upgrade"}, want: true},
		{name: "one of several protocols", edits: []string{"Upgrade: h2c, websocket"}, want: true},
		{name: "POST, which Check refuses", edits: []string{"POST /chat HTTP/1.1"}, want: true},
		{name: "HTTP/1.0", edits: []string{"GET /chat HTTP/1.0"}},
		{name: "no Upgrade", edits: []string{"Upgrade:"}},
		{name: "no Connection", edits: []string{"Connection:"}},
		{name: "Connection without upgrade", edits: []string{"Connection: keep-alive"}},
		{name: "h2c", edits: []string{"Upgrade: h2c"}},
		{name: "longer word", edits: []string{"Upgrade: websocket2"}},
		{name: "protocol with a version", edits: []string{"Upgrade: websocket/13"}},
		{name: "word inside another", edits: []string{"Connection: no-upgrade"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Wanted(handshake(t, tt.edits...)); got != tt.want {
				t.Errorf("Wanted = %v; want %v", got, tt.want)
			}
		})
	}
	r := handshake(t)
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	if Wanted(r) {
		t.Error("Wanted over HTTP/2 = true; want false, it has no Upgrade (RFC 9113, section 8.6)")
	}
}

func TestCheckRefuses(t *testing.T) {
	tests := []struct {
		name   string
		edits  []string
		status int
	}{
		{"POST", []string{"POST /chat HTTP/1.1"}, 400},
		{"HEAD", []string{"HEAD /chat HTTP/1.1"}, 400},
		{"a body by length", []string{"Content-Length: 4"}, 400},
		{"a chunked body", []string{"Transfer-Encoding: chunked"}, 400},
		{"no key", []string{"Sec-WebSocket-Key:"}, 400},
		{"empty key", []string{"Sec-WebSocket-Key: "}, 400},
		{"two keys", []string{"Sec-WebSocket-Key: " + sampleKey, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}, 400},
		{"the same key twice", []string{"Sec-WebSocket-Key: " + sampleKey, "Sec-WebSocket-Key: " + sampleKey}, 400},
		{"key of 15 bytes", []string{"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"}, 400},
		{"key of 17 bytes", []string{"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="}, 400},
		{"key of 18 bytes", []string{"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA"}, 400},
		{"key without padding", []string{"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA"}, 400},
		{"key that is not base64", []string{"Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!=="}, 400},
		{"key in the URL alphabet", []string{"Sec-WebSocket-Key: _-__________________AA=="}, 400},
		{"no version", []string{"Sec-WebSocket-Version:"}, 426},
		{"version 8", []string{"Sec-WebSocket-Version: 8"}, 426},
		{"version 013", []string{"Sec-WebSocket-Version: 013"}, 426},
		{"versions in a list", []string{"Sec-WebSocket-Version: 13, 8"}, 426},
		{"version twice", []string{"Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13"}, 426},
		{"two origins", []string{"Origin: https://a.test", "Origin: https://b.test"}, 400},
		{"subprotocol of two words", []string{"Sec-WebSocket-Protocol: a b"}, 400},
		{"subprotocol with a separator", []string{"Sec-WebSocket-Protocol: a;b"}, 400},
		{"subprotocol in quotes", []string{`Sec-WebSocket-Protocol: "a"`}, 400},
		{"subprotocol twice", []string{"Sec-WebSocket-Protocol: a, b, a"}, 400},
		{"subprotocol twice in two lines", []string{"Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: a"}, 400},
		{"extensions that do not parse", []string{`Sec-WebSocket-Extensions: permessage-deflate; x="`}, 400},
		{"request target without a path", []string{"GET http:chat HTTP/1.1"}, 400},
		{"request target *", []string{"GET * HTTP/1.1"}, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q, refusal := Check(handshake(t, tt.edits...))
			if refusal == nil {
				t.Fatalf("Check = %+v; want status %d", q, tt.status)
			}
			if refusal.Status != tt.status || refusal.Error() == "" {
				t.Errorf("Check = status %d, %q; want %d and a reason", refusal.Status, refusal.Reason, tt.status)
			}
			//lint:ignore SA1008 as RFC 6455 spells it, not net/http
			if v := refusal.Header["Sec-WebSocket-Version"]; tt.status == 426 && (!slices.Equal(v, []string{"13"}) || refusal.Header.Get("Upgrade") != "websocket") {
				t.Errorf("header of the 426 = %v; want the version and the protocol of this server", refusal.Header)
			}
		})
	}
}

func TestCheckReads(t *testing.T) {
	tests := []struct {
		name  string
		edits []string
		want  Request
	}{
		{name: "handshake", want: Request{Host: "example.com", Path: "/chat?x=1"}},
		{name: "names in lower case", edits: []string{"sec-websocket-key: " + sampleKey, "origin: https://a.test"},
			want: Request{Host: "example.com", Path: "/chat?x=1", Origin: "https://a.test", Header: header.FromHTTP(http.Header{"Origin": {"https://a.test"}})}},
		{name: "subprotocols in order, from several lines, without empty ones", edits: []string{"Sec-WebSocket-Protocol: b,, a", "Sec-WebSocket-Protocol: ,C", "Sec-WebSocket-Protocol: "},
			want: Request{Host: "example.com", Path: "/chat?x=1", Protocols: []string{"b", "a", "C"}}},
		{name: "subprotocols that differ in case", edits: []string{"Sec-WebSocket-Protocol: a, A"},
			want: Request{Host: "example.com", Path: "/chat?x=1", Protocols: []string{"a", "A"}}},
		{name: "only permessage-deflate is kept", edits: []string{"Sec-WebSocket-Extensions: foo, permessage-deflate"},
			want: Request{Host: "example.com", Path: "/chat?x=1", Extensions: "permessage-deflate"}},
		{name: "hop-by-hop headers are removed", edits: []string{"Connection: upgrade, X-Hop, close", "X-Hop: 1", "Keep-Alive: 5", "TE: trailers", "Proxy-Authorization: x", "Cookie: a=1", "Content-Length: 0", "Sec-WebSocket-Made-Up: 1"},
			want: Request{Host: "example.com", Path: "/chat?x=1", Header: header.FromHTTP(http.Header{"Cookie": {"a=1"}})}},
		{name: "Connection cannot hide the key", edits: []string{"Connection: upgrade, Sec-WebSocket-Key"}, want: Request{Host: "example.com", Path: "/chat?x=1"}},
		{name: "escapes and separators as sent", edits: []string{"GET //a%2Fb%5C/%2e?a;b=%zz&%20 HTTP/1.1"}, want: Request{Host: "example.com", Path: "//a%2Fb%5C/%2e?a;b=%zz&%20"}},
		{name: "absolute request target", edits: []string{"GET http://other.test:81/p?q HTTP/1.1"}, want: Request{Host: "other.test:81", Path: "/p?q"}},
		{name: "absolute request target without a path", edits: []string{"GET http://other.test HTTP/1.1"}, want: Request{Host: "other.test", Path: "/"}},
		{name: "HTTP/1.2", edits: []string{"GET /chat HTTP/1.2"}, want: Request{Host: "example.com", Path: "/chat"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := handshake(t, tt.edits...)
			before := slices.Clone(r.Header)
			q, refusal := Check(r)
			if refusal != nil {
				t.Fatal(refusal)
			}
			w := tt.want
			if q.Host != w.Host || q.Path != w.Path || q.Origin != w.Origin || q.Extensions != w.Extensions ||
				!slices.Equal(q.Protocols, w.Protocols) || !slices.Equal(q.Header, w.Header) {
				t.Errorf("Check = %+v; want %+v", q, w)
			}
			q.Header.SetName("X-New", "1")
			if !slices.Equal(r.Header, before) {
				t.Errorf("the client's header became %v; want %v, because the Request owns a copy", r.Header, before)
			}
		})
	}
}

// The handshake for the backend has the header names as RFC 6455 spells them,
// because some servers accept only that spelling.
func TestEncodeSpellsTheNamesLikeTheRFC(t *testing.T) {
	q, refusal := Check(handshake(t, "sec-websocket-protocol: chat, v2", "sec-websocket-extensions: permessage-deflate", "cookie: a=1"))
	if refusal != nil {
		t.Fatal(refusal)
	}
	const want = "GET /chat?x=1 HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: KEY\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, v2\r\n" +
		"Sec-WebSocket-Extensions: permessage-deflate\r\nCookie: a=1\r\n\r\n"
	if got := string(q.AppendOffer(nil, "KEY")); got != want {
		t.Errorf("AppendOffer = %q; want %q", got, want)
	}
}

// Header values that a route sets cannot break their line.
func TestEncodeKeepsValuesOnTheirLine(t *testing.T) {
	q := &Request{Host: "example.com", Path: "/", Header: header.FromHTTP(http.Header{"X-A": {"1\r\nX-B: 2\n\nGET / HTTP/1.1"}, "X C": {"no name"}})}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(q.AppendOffer(nil, NewKey()))))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Header["X-A"]; len(got) != 1 || r.Header["X-B"] != nil || len(r.Header) != 5 {
		t.Errorf("the backend reads %v; want one line for X-A and nothing for the bad name", r.Header)
	}
}

func TestAccept(t *testing.T) {
	if got := acceptKey(sampleKey); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455, section 1.3
		t.Errorf("accept(%q) = %q; want the value of the RFC", sampleKey, got)
	}
	if a, b := NewKey(), NewKey(); a == b || !validKey(a) {
		t.Errorf("NewKey = %q, then %q; want two different keys of 16 bytes", a, b)
	}
}

// A request that passes the check reaches the backend as exactly one request with
// the same meaning.
func FuzzCheck(f *testing.F) {
	f.Add("GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " + sampleKey + "\r\nSec-WebSocket-Version: 13\r\n")
	f.Add("GET http:chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " + sampleKey + "\r\nSec-WebSocket-Version: 13\r\n")
	f.Add("GET //a%2Fb?\xe4;%zz HTTP/1.1\r\nHost: [::1]:80\r\nUpgrade: h2c,websocket\r\nConnection: x, Upgrade\r\nSec-WebSocket-Key: " + sampleKey +
		"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a,,b\r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=\"1\\0\", x\r\nOrigin: null\r\nX: a\r\n b\r\nCookie: \xff\r\n")
	f.Fuzz(func(t *testing.T, head string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head + "\r\n")))
		if err != nil || !serverTakes(r.Header) || !Wanted(asMessage(r)) {
			return
		}
		q, refusal := Check(asMessage(r))
		if (q == nil) == (refusal == nil) {
			t.Fatalf("Check = %v, %v; want one of the two", q, refusal)
		}
		if refusal != nil {
			return
		}
		b := bufio.NewReader(bytes.NewReader(q.AppendOffer(nil, NewKey())))
		back, err := http.ReadRequest(b)
		if err != nil {
			t.Fatalf("the backend cannot read %q: %v", q.AppendOffer(nil, "KEY"), err)
		}
		q2, refusal := Check(asMessage(back))
		if !Wanted(asMessage(back)) || refusal != nil || b.Buffered() != 0 {
			t.Fatalf("the backend refuses %q: %v; %d bytes follow", q.AppendOffer(nil, "KEY"), refusal, b.Buffered())
		}
		if q.Host != q2.Host || q.Path != q2.Path || q.Origin != q2.Origin || q.Extensions != q2.Extensions ||
			!slices.Equal(q.Protocols, q2.Protocols) || !slices.Equal(sorted(q.Header), sorted(q2.Header)) {
			t.Fatalf("%+v reaches the backend as %+v", q, q2)
		}
	})
}

// sorted returns fields by name, those of one name in their order: net/http keeps no other.
func sorted(h header.Fields) header.Fields {
	h = slices.Clone(h)
	slices.SortStableFunc(h, func(a, b header.Field) int { return strings.Compare(a.Name, b.Name) })
	return h
}

// serverTakes reports whether net/http's server accepts h, which it checks beyond
// what ReadRequest does.
func serverTakes(h http.Header) bool {
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }) {
			return false
		}
	}
	return true
}

func BenchmarkCheck(b *testing.B) {
	r := handshake(b, "Origin: https://a.test", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", "Cookie: a=1")
	b.ReportAllocs()
	for b.Loop() {
		if _, refusal := Check(r); refusal != nil {
			b.Fatal(refusal)
		}
	}
}
