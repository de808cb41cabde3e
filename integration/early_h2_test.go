package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"sluice/internal/wstest"
)

// An answer that does not need the body of its request comes before it over HTTP/2. A short
// body is read to its end all the same: neither the request nor its connection is reset when
// the body arrives. A client that has sent no length gets the end of the answer at once.
func TestAnswersBeforeTheBodyOverHTTP2(t *testing.T) {
	t.Parallel()
	early := wstest.NewBackend(t, wstest.Answering("HTTP/1.1 413 No\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly"))
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /respond, respond: { body: hello } }
  - { path: /redirect, redirect: { to: /other } }
  - { path: /get, respond: { body: hello }, methods: [GET] }
  - { path: /small, backend: %[1]s, max_body_size: 1KiB }
  - { path: /early, backend: %[1]s }
`, early.Address))
	tests := []struct {
		path, length string
		status       int
		ends         bool // the answer ends before the body comes
	}{
		{"/respond", "5", 200, false},
		{"/redirect", "5", 308, false},
		{"/get", "5", 405, false},
		{"/none", "5", 404, false},
		{"/small", "2000", 413, false},
		{"/early", "50000", 413, false},
		{"/respond", "", 200, true},
		{"/respond", "1000000", 200, true},
	}
	for _, tt := range tests {
		t.Run(tt.path[1:]+" "+tt.length, func(t *testing.T) {
			s := dial2(t, g.https)
			fields := pseudo("POST", tt.path)
			if tt.length != "" {
				fields = append(fields, field{"content-length", tt.length})
			}
			if err := s.open(1, false, fields...); err != nil {
				t.Fatal(err)
			}
			status, answered, ended, echoed := "", false, false, false
			var reset []http2.ErrCode
			take := func() {
				f, err := s.ReadFrame()
				if err != nil {
					t.Fatal(err)
				}
				switch f := f.(type) {
				case *http2.SettingsFrame:
					if !f.IsAck() {
						s.WriteSettingsAck()
					}
				case *http2.MetaHeadersFrame:
					status, answered, ended = f.PseudoValue("status"), true, ended || f.StreamEnded()
				case *http2.DataFrame:
					ended = ended || f.StreamEnded()
				case *http2.PingFrame:
					echoed = f.IsAck()
				case *http2.RSTStreamFrame:
					reset = append(reset, f.ErrCode)
				case *http2.GoAwayFrame:
					t.Fatalf("GOAWAY %v", f.ErrCode)
				}
			}
			settle := func() { // reads all that the gateway has sent by now
				if err := s.WritePing(false, [8]byte{}); err != nil {
					t.Fatal(err)
				}
				for echoed = false; !echoed; {
					take()
				}
			}
			for !answered || tt.ends && !ended {
				take()
			}
			if status != fmt.Sprint(tt.status) {
				t.Errorf("the status is %s; want %d", status, tt.status)
			}
			if tt.ends {
				return
			}
			if settle(); ended {
				t.Error("the answer ended before the body of the request")
			}
			var size int
			fmt.Sscan(tt.length, &size)
			for part := range slices.Chunk([]byte(strings.Repeat("x", size)), 16<<10) {
				size -= len(part)
				if err := s.WriteData(1, size == 0, part); err != nil {
					t.Fatal(err)
				}
			}
			for !ended {
				take()
			}
			if settle(); len(reset) > 0 {
				t.Errorf("the stream was reset: %v", reset)
			}
		})
	}
}
