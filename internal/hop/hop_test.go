package hop

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"sluice/internal/header"
)

func TestStrip(t *testing.T) {
	tests := []struct {
		name string
		in   http.Header
		want []string // what is left
	}{
		{"nothing", http.Header{}, nil},
		{"end to end", http.Header{"Accept": {"a"}, "Cookie": {"b"}, "X": {"c"}}, []string{"Accept", "Cookie", "X"}},
		{"always of one hop", http.Header{
			"Connection": {"close"}, "Proxy-Connection": {"a"}, "Keep-Alive": {"a"}, "Te": {"a"}, "Trailer": {"a"}, "Transfer-Encoding": {"a"},
			"Upgrade": {"h2c"}, "Http2-Settings": {"a"}, "Proxy": {"a"}, "Proxy-Authenticate": {"a"}, "Proxy-Authorization": {"a"}, "Kept": {"a"},
		}, []string{"Kept"}},
		{"named by Connection", http.Header{"Connection": {"X-Hop"}, "X-Hop": {"a"}, "X-Kept": {"a"}}, []string{"X-Kept"}},
		{"in another case, with blanks", http.Header{"Connection": {" close ,\tx-hOP , ,"}, "X-Hop": {"a"}}, nil},
		{"in several lines", http.Header{"Connection": {"X-One", "X-Two, X-Three"}, "X-One": {"a"}, "X-Two": {"a"}, "X-Three": {"a"}}, nil},
		{"every value of it", http.Header{"Connection": {"X-Hop"}, "X-Hop": {"a", "b"}}, nil},
		{"Connection names itself and nothing", http.Header{"Connection": {"connection", "", ","}, "Kept": {"a"}}, []string{"Kept"}},
		{"a name that is none", http.Header{"Connection": {"a b, \x00, é"}, "Kept": {"a"}}, []string{"Kept"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := header.FromHTTP(tt.in)
			Strip(&h)
			if got := slices.Sorted(maps.Keys(h.HTTP())); !slices.Equal(got, tt.want) {
				t.Errorf("Strip(%v) left %v; want %v", tt.in, got, tt.want)
			}
		})
	}
}

func TestStripOfNoHeader(t *testing.T) {
	Strip(new(header.Fields))
}
