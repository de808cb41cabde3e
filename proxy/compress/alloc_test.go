//go:build !race

package compress

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"sluice/internal/header"
)

// The race detector makes pools drop values at random, so it is off here.

func TestAllocations(t *testing.T) {
	page := []byte(long)
	for _, tt := range []struct {
		coding string
		most   float64
	}{ // one of them is made by the test
		{"identity", 5},
		{"gzip", 7},
		{"zstd", 7},
	} {
		t.Run(tt.coding, func(t *testing.T) {
			c, w, r := compressor(t, Options{}), discardWriter{http.Header{}}, asMessage(httptest.NewRequest("GET", "/", nil))
			r.Header.Set(header.AcceptEncoding, tt.coding)
			if n := testing.AllocsPerRun(100, func() { respond(c, w, r, page) }); n > tt.most {
				t.Errorf("an answer allocates %v times, want at most %v", n, tt.most)
			}
		})
	}
}
