package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"sluice/internal/wstest"
)

// A head that is too large is refused alone: the other requests of the
// connection go on.
func TestLargeHeadsOverHTTP2(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	hanging := wstest.NewBackend(t, wstest.Hanging)
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /hanging, backend: %s }
  - { path: /*, respond: { body: hello } }
`, hanging.Address))
	large := func(n int) []field { // in fields of 4 KiB, without the compression of HPACK
		fields := pseudo("GET", "/")
		for n > 0 {
			part := min(n, 4<<10)
			fields = append(fields, field{fmt.Sprintf("x-%d", n), strings.Repeat("~", part)})
			n -= part
		}
		return fields
	}
	tests := []struct {
		name   string
		size   int
		status int
	}{
		{"just within the limit", limit - 1<<10, 200},
		{"just beyond the limit", limit + 1, 431},
		{"twice the limit", 2 * limit, 431},
		{"nearly four times the limit", 4*limit - 8<<10, 431},
	}
	s := dial2(t, g.https)
	if err := s.open(1, true, pseudo("GET", "/hanging")...); err != nil {
		t.Fatal(err)
	}
	id := uint32(1)
	for _, tt := range tests {
		id += 2
		if err := s.open(id, true, large(tt.size)...); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		ends, err := s.outcomes(id)
		if o := ends[id]; err != nil || o.status != tt.status || !o.whole {
			t.Fatalf("%s: %v, %v; want status %d", tt.name, o, err, tt.status)
		}
	}
	if lives, err := s.settle(); !lives || err != nil {
		t.Errorf("the connection lives: %t, %v", lives, err)
	}
}

// The gateway takes frames of the size that every client may send, and none
// that are larger.
func TestFrameSizeOverHTTP2(t *testing.T) {
	t.Parallel()
	g := start(t, "routes: [{ path: /*, respond: { body: hello } }]")
	s := dial2(t, g.https)
	f, err := s.ReadFrame()
	settings, ok := f.(*http2.SettingsFrame)
	if !ok {
		t.Fatalf("first frame: %v, %v", f, err)
	}
	if n, ok := settings.Value(http2.SettingMaxFrameSize); ok && n != 16<<10 {
		t.Errorf("SETTINGS_MAX_FRAME_SIZE is %d, want %d", n, 16<<10)
	}
}

// A request without content is one for the backend too, even if its stream was
// ended by a frame of its own.
func TestRequestsWithoutContentOverHTTP2(t *testing.T) {
	t.Parallel()
	b := newRecorder(t)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "DELETE"} {
		s := dial2(t, g.https)
		if err := s.open(1, false, pseudo(method, "/"+method)...); err != nil {
			t.Fatal(err)
		}
		if err := s.WriteData(1, true, nil); err != nil {
			t.Fatal(err)
		}
		ends, err := s.outcomes(1)
		if o := ends[1]; err != nil || o.status != http.StatusOK {
			t.Errorf("%s: %v, %v", method, o, err)
			continue
		}
		all := b.all()
		if got := all[len(all)-1]; got.Get("Transfer-Encoding") != "" || got.Get("Content-Length") != "" {
			t.Errorf("%s: the backend saw\n%s\nwant neither chunks nor a length", method, got)
		}
	}
}

// Content comes through with any method.
func TestGetWithContentOverHTTP2(t *testing.T) {
	t.Parallel()
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", webBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := r.Body.Read(make([]byte, 100))
		w.Header().Set("X-Target", fmt.Sprint(n))
	}))))
	s := dial2(t, g.https)
	if err := s.open(1, false, pseudo("GET", "/")...); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteData(1, true, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	ends, err := s.outcomes(1)
	if o := ends[1]; err != nil || o.status != http.StatusOK || o.target == "0" {
		t.Errorf("%v, %v; want the content at the backend", o, err)
	}
}

// A client whose request is none fills no log with warnings, whatever status it gets.
func TestMalformedRequestsAreNoWarnings(t *testing.T) {
	t.Parallel()
	if httpEngine() != "loops" {
		t.Skip("net/http answers, and there is no record")
	}
	g := start(t, "routes: [{ respond: 200 }]")
	for request, status := range map[string]int{
		"POST /gzip HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n": http.StatusNotImplemented,
		"GET /3 HTTP/3.0\r\nHost: a.test\r\n\r\n":                                         http.StatusHTTPVersionNotSupported,
	} {
		if r, _ := wstest.Ask(t, g.http, request); r.StatusCode != status {
			t.Errorf("%q is answered with %s; want %d", request, r.Status, status)
		}
		if level := g.request(strings.Fields(request)[1]).text("level"); level != "info" {
			t.Errorf("the record of %q has the level %s; want info", request, level)
		}
	}
}
