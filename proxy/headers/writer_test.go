package headers

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"sluice/internal/fieldname"
	"sluice/internal/header"
)

// What the gateway removes net/http does not add again, and what a handler keeps net/http
// from adding stays out.
func TestWriter(t *testing.T) {
	tests := []struct {
		name   string
		remove []string
		set    http.Header // by the handler
		want   string
	}{
		{"nothing is changed", nil, http.Header{"Etag": {"e"}, "Content-Type": {"a/b"}, "Date": {"now"}}, "Content-Length: 6\nContent-Type: a/b\nDate: now\nEtag: e"},
		{"removed", []string{"Date", "Content-Type"}, http.Header{"Content-Type": {"a/b"}, "X": {"y"}}, "Content-Length: 6\nX: y"},
		{"without a type", []string{"Date"}, http.Header{"Content-Type": nil}, "Content-Length: 6"},
		{"guessed by net/http", []string{"Date"}, nil, "Content-Length: 6\nContent-Type: text/html; charset=utf-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := NewEdit(tt.remove, nil)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				changed := &Writer{ResponseWriter: w, Changes: func() bool { return true }, Change: func(h *header.Fields, status int) *fieldname.Set {
					e.Apply(h, lookup)
					return e.Names()
				}}
				for name, values := range tt.set {
					changed.Header()[name] = values
				}
				changed.WriteHeader(http.StatusEarlyHints)
				changed.Write([]byte("<html>"))
			}))
			defer s.Close()
			res, err := s.Client().Get(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if got := lines(header.FromHTTP(res.Header)); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}
