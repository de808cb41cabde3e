package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestKeptBodies(t *testing.T) {
	const most = 100
	tests := []struct {
		name  string
		body  io.Reader
		limit int64
		free  int64 // of the budget
		kept  int   // -1 when it is not whole
	}{
		{"short", strings.NewReader("hello"), 10, most, 5},
		{"in pieces", iotest.OneByteReader(strings.NewReader("hello")), 10, most, 5},
		{"as long as it may be", strings.NewReader("0123456789"), 10, most, 10},
		{"longer", strings.NewReader("0123456789a"), 10, most, -1},
		{"longer, in pieces", iotest.OneByteReader(strings.NewReader("0123456789a")), 10, most, -1},
		{"no budget left", strings.NewReader("hello"), 10, 4, -1},
		{"none left in the middle", iotest.OneByteReader(strings.NewReader("hello")), 10, 4, -1},
		{"the budget just does", strings.NewReader("0123456789"), 10, 10, 10},
		{"broken", io.MultiReader(strings.NewReader("he"), iotest.ErrReader(errors.New("broken"))), 10, most, -1},
		{"empty", strings.NewReader(""), 10, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := &budget{most: tt.free}
			body := &keptBody{ReadCloser: io.NopCloser(tt.body), limit: tt.limit, budget: b}
			read, _ := io.ReadAll(body)
			kept, whole := body.take()
			if whole != (tt.kept >= 0) || whole && (len(kept) != tt.kept || !bytes.Equal(kept, read)) {
				t.Errorf("kept %q, whole: %v; want %d of the %d bytes that were read", kept, whole, tt.kept, len(read))
			}
			if used := b.used.Load(); used != int64(cap(kept)) || used > tt.free {
				t.Errorf("%d bytes of the budget of %d are used, for %d", used, tt.free, cap(kept))
			}
		})
	}
}

// The copies of all routes together are bounded in bytes, and give back what
// they took.
func TestCopiesAreBounded(t *testing.T) {
	const size, copies, requests = 50_000, 5, 20
	release, came := make(chan struct{}), make(chan struct{}, requests)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		came <- struct{}{}
		<-release
	}))
	t.Cleanup(s.Close)
	g, address := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
backends: {copies: {endpoints: ["%s"]}}
routes: [{path: /0, backend: "%s", mirror: copies}, {path: /1, backend: "%[2]s", mirror: copies}]
`, s.Listener.Addr(), saying(t, "real")))
	g.copied.most = copies * (copyCost + size*5/4)
	for i := range requests {
		path := fmt.Sprintf("/%d", i%2)
		if res, _ := ask(t, address, "POST", path, strings.Repeat("x", size)); res.StatusCode != 200 {
			t.Fatalf("%d, want the real answer", res.StatusCode)
		}
	}
	for range copies - 1 { // buffers may grow to more than the body
		select {
		case <-came:
		case <-time.After(patience):
			t.Fatal("a copy does not come")
		}
	}
	if used := g.copied.used.Load(); used > g.copied.most {
		t.Errorf("copies take %d bytes of %d", used, g.copied.most)
	}
	close(release)
	g.stop()
	if n := len(came) + copies - 1; n > copies {
		t.Errorf("there were %d copies, want %d at most", n, copies)
	}
	if used := g.copied.used.Load(); used != 0 {
		t.Errorf("%d bytes are taken when there is no copy", used)
	}
}
