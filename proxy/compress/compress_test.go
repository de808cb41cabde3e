package compress

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"sluice/internal/header"
	"sluice/internal/message"
)

// compressor returns a Compressor with the options o. The default of a test is
// zstd and gzip, for text and JSON of at least 100 bytes.
func compressor(t testing.TB, o Options) *Compressor {
	t.Helper()
	if o.Encodings == nil {
		o.Encodings = []string{"zstd", "gzip"}
	}
	if o.Types == nil {
		o.Types = []string{"text/*", "application/json", "*+json"}
	}
	o.MinSize = cmp.Or(o.MinSize, 100)
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// decoder returns a reader of the content of a compressed body.
func decoder(t testing.TB, coding string, body io.Reader) io.Reader {
	t.Helper()
	var err error
	switch coding {
	case "gzip":
		body, err = gzip.NewReader(body)
	case "zstd":
		body, err = zstd.NewReader(body, zstd.WithDecoderConcurrency(1))
	}
	if err != nil {
		t.Fatalf("%s: %v", coding, err)
	}
	return body
}

// decode returns the content of a compressed body.
func decode(t testing.TB, coding string, body []byte) string {
	t.Helper()
	text, err := io.ReadAll(decoder(t, coding, bytes.NewReader(body)))
	if err != nil {
		t.Errorf("%s of %d bytes: %v", coding, len(body), err)
	}
	return string(text)
}

var long = strings.Repeat("all work and no play makes jack a dull boy\n", 100)

func TestHeaders(t *testing.T) {
	html := http.Header{"Content-Type": {"text/html; charset=utf-8"}}
	with := func(pairs ...string) http.Header {
		h := html.Clone()
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	without := func(h http.Header, names ...string) http.Header {
		h = h.Clone()
		for _, name := range names {
			h.Del(name)
		}
		return h
	}
	const vary, coding, gzip = "Vary", "Content-Encoding", "gzip"
	length := "4300"
	tests := []struct {
		name    string
		method  string // default GET
		accept  string // default gzip; "-" for none
		request http.Header
		status  int // default 200
		header  http.Header
		body    string // default long; "-" for none
		want    http.Header
	}{
		{name: "compressed", header: html, want: with(vary, "Accept-Encoding", coding, gzip)},
		{name: "an error too", status: 404, header: html, want: with(vary, "Accept-Encoding", coding, gzip)},
		{name: "length and ranges go", header: with("Content-Length", length, "Accept-Ranges", "bytes"), want: with(vary, "Accept-Encoding", coding, gzip)},
		{name: "client without", accept: "-", header: with("Content-Length", length, "Accept-Ranges", "bytes", "ETag", `"a"`),
			want: with("Content-Length", length, "Accept-Ranges", "bytes", "ETag", `"a"`, vary, "Accept-Encoding")},
		{name: "a suffix", header: http.Header{"Content-Type": {"Application/Problem+JSON"}},
			want: http.Header{"Content-Type": {"Application/Problem+JSON"}, vary: {"Accept-Encoding"}, coding: {gzip}}},
		{name: "another type", header: http.Header{"Content-Type": {"image/png"}}, want: http.Header{"Content-Type": {"image/png"}}},
		{name: "part of a type", header: http.Header{"Content-Type": {"application/json5"}}, want: http.Header{"Content-Type": {"application/json5"}}},
		{name: "no type", header: http.Header{"X": {"y"}}, want: http.Header{"X": {"y"}}},
		{name: "events", header: http.Header{"Content-Type": {"text/event-stream"}}, want: http.Header{"Content-Type": {"text/event-stream"}}},
		{name: "encoded already", header: with(coding, "br"), want: with(coding, "br")},
		{name: "no-transform", header: with("Cache-Control", "public, No-Transform"), want: with("Cache-Control", "public, No-Transform")},
		{name: "no-transform asked for", request: http.Header{"Cache-Control": {"no-transform"}}, header: html, want: with(vary, "Accept-Encoding")},
		{name: "a part", status: 206, header: with("Content-Range", "bytes 0-4299/9999"), want: with("Content-Range", "bytes 0-4299/9999", vary, "Accept-Encoding")},
		{name: "a range that cannot be", status: 416, header: with("Content-Range", "bytes */9"), want: with("Content-Range", "bytes */9", vary, "Accept-Encoding")},
		{name: "204", status: 204, header: html, body: "-", want: html},
		{name: "small", header: html, body: "small", want: with(vary, "Accept-Encoding")},
		{name: "small by its length", header: with("Content-Length", "5"), body: "small", want: with("Content-Length", "5", vary, "Accept-Encoding")},
		{name: "empty", header: html, body: "-", want: with(vary, "Accept-Encoding")},
		{name: "Vary is there", header: with(vary, "origin, accept-encoding"), want: with(vary, "origin, accept-encoding", coding, gzip)},
		{name: "Vary says more", header: with(vary, "Origin"), want: with(vary, "Origin", vary, "Accept-Encoding", coding, gzip)},
		{name: "Vary says all", header: with(vary, "*"), want: with(vary, "*", coding, gzip)},
		{name: "strong tag", header: with("ETag", `"a"`), want: with("ETag", `W/"a"`, vary, "Accept-Encoding", coding, gzip)},
		{name: "weak tag", header: with("ETag", `W/"a"`), want: with("ETag", `W/"a"`, vary, "Accept-Encoding", coding, gzip)},
		{name: "digests go", header: with("Content-MD5", "x", "Digest", "x", "Content-Digest", "x", "Repr-Digest", "x"), want: with(vary, "Accept-Encoding", coding, gzip)},
		{name: "digests stay", accept: "-", header: with("Content-Digest", "x"), want: with("Content-Digest", "x", vary, "Accept-Encoding")},
		{name: "HEAD", method: "HEAD", header: with("Content-Length", length, "ETag", `"a"`), body: "-", want: with("ETag", `W/"a"`, vary, "Accept-Encoding", coding, gzip)},
		{name: "HEAD with a body", method: "HEAD", header: html, want: with(vary, "Accept-Encoding", coding, gzip)},
		{name: "HEAD of a small one", method: "HEAD", header: with("Content-Length", "5"), body: "-", want: with("Content-Length", "5", vary, "Accept-Encoding")},
		{name: "HEAD of an unknown length", method: "HEAD", header: with("ETag", `"a"`), body: "-", want: with("ETag", `"a"`, vary, "Accept-Encoding")},
		{name: "HEAD of a type that stays", method: "HEAD", header: http.Header{"Content-Type": {"image/png"}, "Content-Length": {length}}, body: "-",
			want: http.Header{"Content-Type": {"image/png"}, "Content-Length": {length}}},
		{name: "304 to the weak tag", status: 304, request: http.Header{"If-None-Match": {`"z", W/"a"`}}, header: without(with("ETag", `"a"`), "Content-Type"), body: "-",
			want: http.Header{"Etag": {`W/"a"`}, vary: {"Accept-Encoding"}}},
		{name: "304 to the strong tag", status: 304, request: http.Header{"If-None-Match": {`"a"`}}, header: without(with("ETag", `"a"`), "Content-Type"), body: "-",
			want: http.Header{"Etag": {`"a"`}, vary: {"Accept-Encoding"}}},
		{name: "304 of a type that stays", status: 304, request: http.Header{"If-None-Match": {`W/"a"`}}, header: http.Header{"Content-Type": {"image/png"}, "Etag": {`"a"`}}, body: "-",
			want: http.Header{"Content-Type": {"image/png"}, "Etag": {`"a"`}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(cmp.Or(tt.method, "GET"), "/", nil)
			maps.Copy(r.Header, tt.request)
			if accept := cmp.Or(tt.accept, "gzip"); accept != "-" {
				r.Header.Set("Accept-Encoding", accept)
			}
			body := strings.TrimPrefix(cmp.Or(tt.body, long), "-")
			recorder := httptest.NewRecorder()
			w, finish := compressor(t, Options{}).Wrap(recorder, asMessage(r))
			maps.Copy(w.Header(), tt.header.Clone())
			w.WriteHeader(cmp.Or(tt.status, 200))
			w.Header().Set("X-Late", "is no header any more")
			if body != "" {
				for _, part := range []string{body[:len(body)/3], body[len(body)/3:]} {
					if _, err := io.WriteString(w, part); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := finish(); err != nil {
				t.Fatal(err)
			}
			answer := recorder.Result()
			if !maps.EqualFunc(answer.Header, tt.want, func(a, b []string) bool { return strings.Join(a, "|") == strings.Join(b, "|") }) {
				t.Errorf("headers are %v, want %v", answer.Header, tt.want)
			}
			if answer.StatusCode != cmp.Or(tt.status, 200) {
				t.Errorf("status is %d, want %d", answer.StatusCode, cmp.Or(tt.status, 200))
			}
			if tt.method == "HEAD" {
				return // a recorder does not drop the body
			}
			if got := decode(t, answer.Header.Get(coding), recorder.Body.Bytes()); got != body {
				t.Errorf("the body is %q, want %q", got, body)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name string
		o    Options
		want string
	}{
		{name: "nothing", want: "needs encodings and types"},
		{name: "no types", o: Options{Encodings: []string{"gzip"}}, want: "needs encodings and types"},
		{name: "unknown encoding", o: Options{Encodings: []string{"br"}, Types: []string{"text/*"}}, want: `"br" is neither`},
		{name: "encoding twice", o: Options{Encodings: []string{"gzip", "gzip"}, Types: []string{"text/*"}}, want: `"gzip" is listed twice`},
		{name: "no media type", o: Options{Encodings: []string{"gzip"}, Types: []string{"text"}}, want: `"text" is not a media type`},
		{name: "half a media type", o: Options{Encodings: []string{"gzip"}, Types: []string{"text/"}}, want: `"text/" is not a media type`},
		{name: "two stars", o: Options{Encodings: []string{"gzip"}, Types: []string{"*/*"}}, want: `"*/*" is not a media type`},
		{name: "parameters", o: Options{Encodings: []string{"gzip"}, Types: []string{"text/html; charset=utf-8"}}, want: "no parameters"},
		{name: "negative size", o: Options{Encodings: []string{"gzip"}, Types: []string{"*"}, MinSize: -1}, want: "minimum size -1"},
		{name: "size too large", o: Options{Encodings: []string{"gzip"}, Types: []string{"*"}, MinSize: MaxMinSize + 1}, want: "minimum size 1048577"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New(%+v) = %v, want %q in it", tt.o, err, tt.want)
			}
		})
	}
}

func TestTooManyAtOncePassAsTheyAre(t *testing.T) {
	c := compressor(t, Options{})
	c.live.Store(maxEncoders)
	recorder := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w, finish := c.Wrap(recorder, asMessage(r))
	w.Header().Set("Content-Type", "text/plain")
	if _, err := io.WriteString(w, long); err != nil {
		t.Fatal(err)
	}
	if err := finish(); err != nil || recorder.Body.String() != long || recorder.Header().Get("Content-Encoding") != "" || c.live.Load() != maxEncoders {
		t.Errorf("got %v %v, %d bytes, %d encoders", err, recorder.Header(), recorder.Body.Len(), c.live.Load())
	}
}

func TestAnEncoderThatAPanicLeftBehindIsFreed(t *testing.T) {
	c := compressor(t, Options{})
	func() {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Encoding", "zstd")
		w, _ := c.Wrap(httptest.NewRecorder(), asMessage(r))
		w.Header().Set("Content-Type", "text/plain")
		if _, err := io.WriteString(w, long); err != nil || c.live.Load() != 1 {
			t.Errorf("Write: %v; %d encoders exist", err, c.live.Load())
		}
	}()
	for deadline := time.Now().Add(10 * time.Second); c.live.Load() > 0; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatalf("%d encoders still count", c.live.Load())
		}
	}
}

// discardWriter is a ResponseWriter that drops the body and allocates nothing.
type discardWriter struct{ header http.Header }

func (d discardWriter) Header() http.Header         { return d.header }
func (d discardWriter) Write(p []byte) (int, error) { return len(p), nil }
func (d discardWriter) WriteHeader(int)             {}

// respond passes an answer with the body page through c.
func respond(c *Compressor, w discardWriter, r *message.Request, page []byte) {
	clear(w.header)
	w.header["Content-Type"] = []string{"text/html"}
	x, finish := c.Wrap(w, r)
	_, _ = x.Write(page)
	_ = finish()
}

func BenchmarkAnswer(b *testing.B) {
	page := []byte(strings.Repeat(long, 8))
	for _, coding := range []string{"identity", "gzip", "zstd"} {
		b.Run(coding, func(b *testing.B) {
			c, w, r := compressor(b, Options{}), discardWriter{http.Header{}}, asMessage(httptest.NewRequest("GET", "/", nil))
			r.Header.Set(header.AcceptEncoding, coding)
			b.SetBytes(int64(len(page)))
			b.ReportAllocs()
			for b.Loop() {
				respond(c, w, r, page)
			}
		})
	}
}

// asMessage returns r as policies see it.
func asMessage(r *http.Request) *message.Request {
	m := message.FromHTTP(r, netip.AddrPort{})
	return &m
}
