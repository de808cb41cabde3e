package compress

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	tests := []struct {
		name   string
		accept []string
		want   string
	}{
		{name: "absent"},
		{name: "empty", accept: []string{""}},
		{name: "one", accept: []string{"gzip"}, want: "gzip"},
		{name: "a browser", accept: []string{"gzip, deflate, br, zstd"}, want: "zstd"},
		{name: "curl", accept: []string{"deflate, gzip, br"}, want: "gzip"},
		{name: "unknown alone", accept: []string{"br"}},
		{name: "the client's weight before our order", accept: []string{"gzip;q=1.0, zstd;q=0.9"}, want: "gzip"},
		{name: "refused", accept: []string{"gzip;q=0"}},
		{name: "refused with digits", accept: []string{"gzip;q=0.000"}},
		{name: "anything", accept: []string{"*"}, want: "zstd"},
		{name: "anything else", accept: []string{"zstd;q=0, *"}, want: "gzip"},
		{name: "nothing else", accept: []string{"gzip;q=0.1, *;q=0"}, want: "gzip"},
		{name: "nothing", accept: []string{"*;q=0"}},
		{name: "identity before", accept: []string{"identity, gzip;q=0.5"}},
		{name: "identity after", accept: []string{"identity;q=0.5, gzip"}, want: "gzip"},
		{name: "identity beside", accept: []string{"identity, gzip"}, want: "gzip"},
		{name: "identity unnamed is the last choice", accept: []string{"gzip;q=0.001"}, want: "gzip"},
		{name: "identity by '*'", accept: []string{"gzip;q=0.5, zstd;q=0.5, *"}},
		{name: "identity refused, nothing else known", accept: []string{"identity;q=0, br"}},
		{name: "two lines", accept: []string{"br", "gzip"}, want: "gzip"},
		{name: "capitals and blanks", accept: []string{" GZip ;\tQ=0.5 ,"}, want: "gzip"},
		{name: "the old name", accept: []string{"x-gzip"}, want: "gzip"},
		{name: "the first of two weights", accept: []string{"gzip;q=0, gzip"}},
		{name: "malformed weight", accept: []string{"gzip;q=high"}},
		{name: "weight over 1", accept: []string{"gzip;q=1.001"}},
		{name: "weight without digits", accept: []string{"gzip;q="}},
		{name: "too many digits", accept: []string{"gzip;q=0.1234"}},
		{name: "another parameter", accept: []string{"gzip;level=9"}},
		{name: "part of a name", accept: []string{"gzipped, zst"}},
	}
	c := compressor(t, Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if k := c.choose(tt.accept); k != nil {
				got = k.name
			}
			if got != tt.want {
				t.Errorf("choose(%q) = %q, want %q", tt.accept, got, tt.want)
			}
		})
	}
}

// FuzzChoose checks that the coding is the one that a simple reading of the RFC
// gives.
func FuzzChoose(f *testing.F) {
	for _, s := range []string{"gzip, deflate, br, zstd", "*;q=0, gzip ; q=0.5", "identity;q=0.3,x-gzip;Q=1.000", ";,,q=1,*", "zstd;q=0.5;q=1", "gzip\x00"} {
		f.Add(s, "gzip;q=0.7")
	}
	c, err := New(Options{Encodings: []string{"zstd", "gzip"}, Types: []string{"*"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		got := ""
		if k := c.choose([]string{first, second}); k != nil {
			got = k.name
		}
		if want := reference(first + "," + second); got != want {
			t.Fatalf("choose(%q, %q) = %q, want %q", first, second, got, want)
		}
	})
}

var weightSyntax = regexp.MustCompile(`^[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*$`)

// reference returns the coding for an Accept-Encoding header, which it reads into a
// map.
func reference(header string) string {
	weights := map[string]float64{}
	for _, item := range strings.Split(header, ",") {
		parts := strings.SplitN(item, ";", 2)
		q := 1.0
		if len(parts) == 2 {
			q = 0
			if m := weightSyntax.FindStringSubmatch(parts[1]); m != nil {
				q, _ = strconv.ParseFloat(m[1], 64)
			}
		}
		name := strings.Trim(parts[0], " \t")
		for _, known := range []string{"gzip", "zstd", "identity"} {
			if strings.EqualFold(name, known) {
				name = known
			}
		}
		if strings.EqualFold(name, "x-gzip") {
			name = "gzip"
		}
		if _, ok := weights[name]; !ok {
			weights[name] = q
		}
	}
	of := func(name string, absent float64) float64 {
		if q, ok := weights[name]; ok {
			return q
		}
		if q, ok := weights["*"]; ok {
			return q
		}
		return absent
	}
	zstd, gzip, identity := of("zstd", 0), of("gzip", 0), of("identity", 0)
	switch {
	case zstd > 0 && zstd >= gzip && zstd >= identity:
		return "zstd"
	case gzip > 0 && gzip >= identity:
		return "gzip"
	}
	return ""
}

func TestChooseAllocatesNothing(t *testing.T) {
	c := compressor(t, Options{})
	header := []string{"gzip, deflate, br;q=0.5, zstd"}
	if n := testing.AllocsPerRun(100, func() { c.choose(header) }); n != 0 {
		t.Errorf("choose(%q) allocates %v times", header, n)
	}
}

func BenchmarkChoose(b *testing.B) {
	c := compressor(b, Options{})
	header := []string{"gzip, deflate, br, zstd"}
	b.ReportAllocs()
	for b.Loop() {
		c.choose(header)
	}
}
