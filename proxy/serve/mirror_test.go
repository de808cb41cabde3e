package serve

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
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
			b := &Budget{Most: tt.free}
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
