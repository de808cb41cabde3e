package integration

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"sluice/internal/wstest"
)

// stream2 is an HTTP/2 connection whose frames a test writes itself, valid or not. Its methods
// are for one goroutine, but one may read while another writes.
type stream2 struct {
	*http2.Framer
	conn    net.Conn
	block   bytes.Buffer
	encoder *hpack.Encoder
}

// field is a name and a value as they go out.
type field [2]string

// dial2 opens an HTTP/2 connection: the preface and settings are sent.
func dial2(t testing.TB, target wstest.Target, settings ...http2.Setting) *stream2 {
	t.Helper()
	target.TLS = target.TLS.Clone()
	target.TLS.NextProtos = []string{"h2"}
	c := wstest.Dial(t, target).Conn.Conn
	if got := c.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != "h2" {
		t.Fatalf("ALPN chose %q, want h2", got)
	}
	s := &stream2{Framer: http2.NewFramer(c, wstest.Guarded(c)), conn: c}
	s.AllowIllegalWrites = true
	s.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	s.encoder = hpack.NewEncoder(&s.block)
	if err := c.SetWriteDeadline(time.Now().Add(3 * wstest.Guard)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return s
}

// encode returns a header block.
func (s *stream2) encode(fields []field) []byte {
	s.block.Reset()
	for _, f := range fields {
		_ = s.encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // a buffer takes all
	}
	return slices.Clone(s.block.Bytes())
}

// open starts a stream.
func (s *stream2) open(id uint32, end bool, fields ...field) error {
	block := s.encode(fields)
	first := block[:min(len(block), 16<<10)]
	err := s.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: end, EndHeaders: len(first) == len(block)})
	for rest := block[len(first):]; err == nil && len(rest) > 0; {
		part := rest[:min(len(rest), 16<<10)]
		rest = rest[len(part):]
		err = s.WriteContinuation(id, len(rest) == 0, part)
	}
	return err
}

// outcome is how a stream ended.
type outcome struct {
	status int    // 0: none
	target string // X-Target
	whole  bool
	code   http2.ErrCode // of its reset, or of the connection's end
}

func (o outcome) String() string {
	return fmt.Sprintf("status %d for %q, whole %t, code %v", o.status, o.target, o.whole, o.code)
}

// outcomes reads until the streams have ended, or the connection has.
func (s *stream2) outcomes(ids ...uint32) (map[uint32]*outcome, error) {
	all := make(map[uint32]*outcome)
	for _, id := range ids {
		all[id] = &outcome{}
	}
	for left := len(ids); left > 0; {
		f, err := s.ReadFrame()
		if errors.As(err, new(http2.StreamError)) {
			return all, fmt.Errorf("what came back is not HTTP/2: %w", err)
		}
		if err != nil {
			return all, ended(err)
		}
		o := all[f.Header().StreamID]
		if o == nil && f.Header().StreamID != 0 {
			continue
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = s.WriteSettingsAck() // the reading tells of an end
			}
		case *http2.GoAwayFrame:
			for _, o := range all {
				if !o.whole && f.ErrCode != http2.ErrCodeNo {
					o.code = f.ErrCode
				}
			}
		case *http2.MetaHeadersFrame:
			for _, h := range f.Fields {
				switch h.Name {
				case ":status":
					o.status, _ = strconv.Atoi(h.Value)
				case "x-target":
					o.target = h.Value
				}
			}
			if f.StreamEnded() && !o.whole {
				o.whole = true
				left--
			}
		case *http2.DataFrame:
			if f.StreamEnded() && !o.whole {
				o.whole = true
				left--
			}
		case *http2.RSTStreamFrame:
			if !o.whole {
				o.code = f.ErrCode
				left--
			}
		}
	}
	return all, nil
}

// settle reads until the other side has read all that was sent, or the connection ends.
func (s *stream2) settle() (lives bool, err error) {
	last := [8]byte{1}
	if s.WritePing(false, last) != nil {
		return false, nil
	}
	for {
		switch f, err := s.ReadFrame(); f := f.(type) {
		case nil:
			return false, ended(err)
		case *http2.PingFrame:
			if f.IsAck() && f.Data == last {
				return true, nil
			}
		}
	}
}

// pseudo are the pseudo-headers of a request, then further fields.
func pseudo(method, path string, more ...field) []field {
	return append([]field{{":method", method}, {":scheme", "https"}, {":authority", "gateway.test"}, {":path", path}}, more...)
}

// without drops the fields of a name.
func without(name string, fields []field) []field {
	return slices.DeleteFunc(slices.Clone(fields), func(f field) bool { return f[0] == name })
}

// with replaces the value of the fields of a name.
func with(name, value string, fields []field) []field {
	fields = slices.Clone(fields)
	for i := range fields {
		if fields[i][0] == name {
			fields[i][1] = value
		}
	}
	return fields
}

// What HTTP/2 can express and HTTP/1.1 cannot must not arrive there as something else (RFC
// 9113, sections 8.2.1 and 10.3).
func TestSmugglingOverHTTP2(t *testing.T) {
	t.Parallel()
	b := newRecorder(t)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	get := func(more ...field) []field { return pseudo("GET", "/@/outer", more...) }
	post := func(more ...field) []field { return pseudo("POST", "/@/outer", more...) }
	type test struct {
		name    string
		fields  []field
		data    []string // DATA frames; the last ends the stream, unless there are trailers
		trailer []field
		want    string // at the backend; "": refused
		either  bool   // a refusal is as good
		early   string // may have reached the backend before it was refused
	}
	tests := []test{
		{name: "a GET", fields: get(field{"x-a", "1"}), want: asked("X-A: 1")},
		{name: "a POST", fields: post(field{"content-length", "5"}), data: []string{"he", "llo"}, want: posted("hello")},
		{name: "a POST without a length", fields: post(), data: []string{"hello"}, want: chunked("hello")},
		{name: "an empty POST", fields: post(), want: posted("")},
		{name: "trailers", fields: post(field{"trailer", "x-sum"}), data: []string{"hello"}, trailer: []field{{"x-sum", "1"}}, want: summed("X-Sum: 1")},
		{name: "cookies in pieces", fields: get(field{"cookie", "a=1"}, field{"cookie", "b=2"}), want: asked("Cookie: a=1; b=2")},
		{name: "te: trailers", fields: get(field{"te", "trailers"}), want: asked("Te: trailers")},
		{name: "a high byte in a value", fields: get(field{"x-a", "\xff"}), want: asked("X-A: \xff")},

		{name: "connection", fields: get(field{"connection", "close"}), either: true, want: asked()},
		{name: "connection that names a header", fields: get(field{"connection", "x-a"}, field{"x-a", "1"}), either: true, want: asked()},
		{name: "keep-alive", fields: get(field{"keep-alive", "timeout=5"})},
		{name: "proxy-connection", fields: get(field{"proxy-connection", "close"})},
		{name: "transfer-encoding", fields: post(field{"transfer-encoding", "chunked"}), data: []string{"0\r\n\r\n" + inner}},
		{name: "transfer-encoding and a length", fields: post(field{"transfer-encoding", "chunked"}, field{"content-length", "5"}), data: []string{"0\r\n\r\n"}},
		{name: "upgrade", fields: get(field{"upgrade", "websocket"}), either: true, want: asked()},
		{name: "te: gzip", fields: get(field{"te", "gzip"})},
		{name: "te: trailers, gzip", fields: get(field{"te", "trailers, gzip"})},
		{name: "http2-settings", fields: get(field{"http2-settings", "AAMAAABkAAQAAP__"}), either: true, want: asked()},

		{name: "a capital in a name", fields: get(field{"X-A", "1"})},
		{name: "a space in a name", fields: get(field{"x a", "1"})},
		{name: "a colon in a name", fields: get(field{"x:a", "1"})},
		{name: "an empty name", fields: get(field{"", "1"})},
		{name: "a line end in a name", fields: get(field{"x\r\nhost: evil.test\r\nx", "1"})},
		{name: "a NUL in a name", fields: get(field{"x\x00", "1"})},
		{name: "a high byte in a name", fields: get(field{"x\xe9", "1"})},
		{name: "a name that is a header", fields: get(field{"transfer-encoding: chunked\r\nx", "1"})},
		{name: "CR LF in a value", fields: get(field{"x-a", "1\r\nX-Evil: 2"})},
		{name: "LF in a value", fields: get(field{"x-a", "1\nX-Evil: 2"})},
		{name: "CR in a value", fields: get(field{"x-a", "1\rX-Evil: 2"})},
		{name: "NUL in a value", fields: get(field{"x-a", "1\x002"})},
		{name: "a request in a value", fields: get(field{"x-a", "1\r\n\r\n" + inner})},
		{name: "a space in front of a value", fields: get(field{"x-a", " 1"}), either: true, want: asked("X-A: 1")},
		{name: "a space behind a value", fields: get(field{"x-a", "1 "}), either: true, want: asked("X-A: 1")},

		{name: "no :method", fields: without(":method", get())},
		{name: "no :scheme", fields: without(":scheme", get())},
		{name: "no :path", fields: without(":path", get())},
		{name: "no :authority and no host", fields: without(":authority", get())},
		{name: "no :authority but host", fields: append(without(":authority", get()), field{"host", "gateway.test"}), want: asked()},
		{name: "an empty :authority", fields: with(":authority", "", get())},
		{name: "two :method", fields: append([]field{{":method", "POST"}}, get()...)},
		{name: "two :path", fields: append([]field{{":path", "/@/smuggled"}}, get()...)},
		{name: "two :authority", fields: append([]field{{":authority", "evil.test"}}, get()...)},
		{name: "two :scheme", fields: append([]field{{":scheme", "http"}}, get()...)},
		{name: "a pseudo-header behind a header", fields: append(append([]field{{"x-a", "1"}}, get()...), field{"x-b", "1"})},
		{name: "an unknown pseudo-header", fields: append([]field{{":evil", "1"}}, get()...)},
		{name: "a :status in a request", fields: append([]field{{":status", "200"}}, get()...)},
		{name: "an empty :path", fields: with(":path", "", get())},
		{name: "a :path without a slash", fields: with(":path", "@/outer", get())},
		{name: "a :path that is a URL", fields: with(":path", "http://evil.test/@/outer", get())},
		{name: "a :path of an asterisk", fields: with(":path", "*", get())},
		{name: "a space in :path", fields: with(":path", "/@/outer HTTP/1.1", get()), either: true, want: canonical("GET /@/outer%20HTTP/1.1 HTTP/1.1", []string{"Host: gateway.test"}, "", nil)},
		{name: "a line end in :path", fields: with(":path", "/@/outer HTTP/1.1\r\nX-Evil: 1\r\n\r\n", get())},
		{name: "a NUL in :path", fields: with(":path", "/@/outer\x00", get())},
		{name: "a fragment in :path", fields: with(":path", "/@/outer#x", get()), either: true, want: canonical("GET /@/outer%23x HTTP/1.1", []string{"Host: gateway.test"}, "", nil)},
		{name: "a high byte in :path", fields: with(":path", "/@/out\xe9r", get()), either: true, want: canonical("GET /@/out%E9r HTTP/1.1", []string{"Host: gateway.test"}, "", nil)},
		{name: "a query of bytes in :path", fields: with(":path", "/@/outer?a b\x01", get())},
		{name: "a space in :method", fields: with(":method", "GET /@/smuggled", get())},
		{name: "a line end in :method", fields: with(":method", "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET", get())},
		{name: "an empty :method", fields: with(":method", "", get())},
		{name: "a :scheme nobody knows", fields: with(":scheme", "ftp", get()), either: true, want: asked()},
		{name: "a line end in :scheme", fields: with(":scheme", "https\r\nX-Evil: 1", get()), either: true, want: asked()},
		{name: "userinfo in :authority", fields: with(":authority", "user@gateway.test", get())},
		{name: "a path in :authority", fields: with(":authority", "gateway.test/x", get())},
		{name: "a space in :authority", fields: with(":authority", "gateway.test evil", get())},
		{name: "a line end in :authority", fields: with(":authority", "gateway.test\r\nX-Evil: 1", get())},
		{name: "another host than :authority", fields: get(field{"host", "evil.test"})},
		{name: "the same host as :authority", fields: get(field{"host", "gateway.test"}), want: asked()},
		{name: "two hosts", fields: append(without(":authority", get()), field{"host", "gateway.test"}, field{"host", "evil.test"})},
		{name: "CONNECT", fields: []field{{":method", "CONNECT"}, {":authority", "gateway.test:443"}}},
		{name: "CONNECT with a path", fields: pseudo("CONNECT", "/@/outer")},
		{name: "an extended CONNECT to something else", fields: append([]field{{":protocol", "irc"}}, pseudo("CONNECT", "/@/outer")...)},

		{name: "a length that is too long", fields: post(field{"content-length", "10"}), data: []string{"hello"}},
		{name: "a length that is too short", fields: post(field{"content-length", "3"}), data: []string{"hello" + inner}},
		{name: "a length of 0 and a body", fields: post(field{"content-length", "0"}), data: []string{inner}, early: posted("")},
		{name: "a length without a body", fields: post(field{"content-length", "5"})},
		{name: "two lengths that differ", fields: post(field{"content-length", "5"}, field{"content-length", "6"}), data: []string{"hello"}},
		{name: "two lengths that agree", fields: post(field{"content-length", "5"}, field{"content-length", "5"}), data: []string{"hello"}, either: true, want: posted("hello")},
		{name: "a length with a sign", fields: post(field{"content-length", "+5"}), data: []string{"hello"}, either: true, want: chunked("hello")},
		{name: "a length that is none", fields: post(field{"content-length", "5, 5"}), data: []string{"hello"}, either: true, want: chunked("hello")},
		{name: "an empty length", fields: post(field{"content-length", ""}), data: []string{"hello"}, either: true, want: chunked("hello"), early: posted("")},

		{name: "a pseudo-header in the trailers", fields: post(), data: []string{"hello"}, trailer: []field{{":path", "/@/smuggled"}}},
		{name: "a capital in the trailers", fields: post(), data: []string{"hello"}, trailer: []field{{"X-Sum", "1"}}},
		{name: "a line end in the trailers", fields: post(field{"trailer", "x-sum"}), data: []string{"hello"}, trailer: []field{{"x-sum", "1\r\n\r\n" + inner}}},
		{name: "a length in the trailers", fields: post(field{"trailer", "x-sum"}), data: []string{"hello"}, trailer: []field{{"content-length", "5"}}, either: true, want: summed()},
		{name: "an encoding in the trailers", fields: post(field{"trailer", "x-sum"}), data: []string{"hello"}, trailer: []field{{"transfer-encoding", "chunked"}}, either: true, want: summed()},
		{name: "a host in the trailers", fields: post(field{"trailer", "x-sum"}), data: []string{"hello"}, trailer: []field{{"host", "evil.test"}}, either: true, want: summed()},
		{name: "a large header", fields: get(field{"x-a", strings.Repeat("x", 100_000)})},
		{name: "many headers", fields: get(slices.Repeat([]field{{"x-a", "12345678"}}, 5000)...)},
	}
	for i, tt := range tests {
		id := fmt.Sprintf("/h2-%d/", i)
		t.Run(tt.name, func(t *testing.T) {
			fill := func(text string) string { return strings.ReplaceAll(text, "/@/", id) }
			filled := func(fields []field) []field {
				fields = slices.Clone(fields)
				for i := range fields {
					fields[i][1] = fill(fields[i][1])
				}
				return fields
			}
			s := dial2(t, g.https)
			defer s.conn.Close()
			// Writing fails if the gateway has closed the connection already.
			_ = s.open(1, tt.data == nil && tt.trailer == nil, filled(tt.fields)...)
			for i, data := range tt.data {
				_ = s.WriteData(1, i == len(tt.data)-1 && tt.trailer == nil, []byte(fill(data)))
			}
			if tt.trailer != nil {
				_ = s.open(1, true, filled(tt.trailer)...)
			}
			_ = s.open(3, true, pseudo("GET", id+"marker")...)
			ends, err := s.outcomes(1, 3)
			if err != nil {
				t.Error(err)
			}
			first, second := ends[1], ends[3]
			var got, want []string
			early := false // the stream was a whole request, and answered as one, before its data came
			for _, q := range b.below(id) {
				switch text := q.canonical(); {
				case tt.early != "" && text == fill(tt.early):
					early = true
				case !strings.HasPrefix(text, "GET "+id+"marker HTTP/1.1\n"):
					got = append(got, text)
				}
			}
			good := first.whole && first.status == 200
			answered := good && early
			if tt.want != "" && (good && !answered || !tt.either) {
				want = append(want, fill(tt.want))
			}
			if good != (want != nil || answered) {
				t.Errorf("it ended with %v", first)
			}
			if first.status >= 500 && first.status != 501 && first.status != 505 {
				t.Errorf("status %d for what the client did wrong", first.status)
			}
			if !slices.Equal(got, want) {
				t.Errorf("the backend got\n%.1000q, want\n%.1000q", got, want)
			}
			if second.status != 0 && (second.status != 200 || second.target != id+"marker") {
				t.Errorf("the second request ended with %v", second)
			}
			if good && second.status == 0 {
				t.Error("the second request got no answer")
			}
		})
	}
	for _, q := range b.all() {
		if _, target := q.target(); strings.Contains(target, "smuggled") || !strings.HasPrefix(target, "/h2-") {
			t.Errorf("this reached the backend:\n%s", q.canonical())
		}
	}
}
