package show

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"sluice/internal/admin"
)

func TestTextsAreCut(t *testing.T) {
	tests := []struct {
		text  string
		room  int
		want  string
		cells int
	}{
		{"abc", 3, "abc", 3},
		{"abcd", 3, "ab…", 3},
		{"会話室", 6, "会話室", 6},
		{"会話室", 5, "会話…", 5},
		{"会話室", 4, "会…", 3},
		{"会話室", 1, "…", 1},
		{"e\u0301e\u0301", 2, "e\u0301e\u0301", 2},
		{"e\u0301e\u0301", 1, "…", 1},
		{"abc", 0, "", 0},
		{"abc", -1, "", 0},
		{"", 0, "", 0},
	}
	for _, tt := range tests {
		if got := Cut(tt.text, tt.room); got != tt.want || Width(got) != tt.cells {
			t.Errorf("Cut(%q, %d) = %q, which takes %d cells; want %q and %d", tt.text, tt.room, got, Width(got), tt.want, tt.cells)
		}
	}
}

func TestTextsAreWrapped(t *testing.T) {
	tests := []struct {
		text  string
		width int
		most  int
		want  []string
	}{
		{"one two three", 20, 3, []string{"one two three"}},
		{"one two three", 8, 3, []string{"one two", "three"}},
		{"one two three", 3, 3, []string{"one", "two", "three"}},
		{"one  two", 8, 3, []string{"one two"}},
		{"", 8, 3, []string{""}},
		{"abcdefghij", 3, 3, []string{"abcdefghij"}},
		{"one two three four", 7, 2, []string{"one two", "three four"}},
	}
	for _, tt := range tests {
		if got := Wrap(tt.text, tt.width, tt.most); !slices.Equal(got, tt.want) {
			t.Errorf("Wrap(%q, %d, %d) = %q, want %q", tt.text, tt.width, tt.most, got, tt.want)
		}
	}
}

// A text takes as many cells as it says, and nothing in it can change a terminal.
func FuzzCut(f *testing.F) {
	for _, seed := range []string{"", "abc", "\x1b[2J", "会話室", "e\u0301", "👩\u200d👧", "\u0301", "\xff", "a\u009bb", "\u9d64\ua9b5"} {
		f.Add(seed, 3)
	}
	f.Fuzz(func(t *testing.T, text string, room int) {
		cut := Cut(text, room)
		if room >= 0 && Width(cut) > max(0, room) {
			t.Errorf("Cut(%q, %d) = %q takes %d cells", text, room, cut, Width(cut))
		}
		sum := 0
		for cluster, width := range Clusters(text) {
			if sum += width; width < 1 || width > 2 || len(cluster) > MostCluster || strings.ContainsFunc(cluster, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("Clusters(%q) has %q of %d cells", text, cluster, width)
			}
		}
		if sum != Width(text) {
			t.Errorf("Width(%q) = %d, its characters take %d", text, Width(text), sum)
		}
	})
}

func TestAmounts(t *testing.T) {
	tests := []struct{ got, want string }{
		{Bytes(0), "0 B"},
		{Bytes(1023), "1023 B"},
		{Bytes(1536), "1.5 KiB"},
		{Bytes(1 << 40), "1.0 TiB"},
		{Age(-time.Second), "0s"},
		{Age(1540 * time.Millisecond), "1.5s"},
		{Age(61 * time.Second), "1m1s"},
		{Age(25 * time.Hour), "1d1h"},
		{Age(time.Hour), "1h0m"},
		{Plural(1, "session"), "1 session"},
		{Plural(2, "session"), "2 sessions"},
		{Usage(admin.Usage{Used: 5}), "5"},
		{Usage(admin.Usage{Used: 5, Limit: 20}), "5 of 20 (25 %)"},
		{UsageOfBytes(admin.Usage{Used: 1024, Limit: 2048}), "1.0 KiB of 2.0 KiB (50 %)"},
		{State(&admin.Endpoint{State: "up", Standby: true}), "standby"},
		{State(&admin.Endpoint{State: "down"}), "down"},
		{Line("a\x1b[2J\nb"), "a?[2J?b"},
		{Lines("a\x1b\nb"), "a?\nb"},
		{JSON("\"\u009b\""), `"\u009b"`},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
	var b strings.Builder
	Table(&b, []string{"A", "B"}, [][]string{{"", "x\ty"}})
	if b.String() != "A  B\n-  x?y\n" {
		t.Errorf("a table is %q", b.String())
	}
}

// A payload stands in one line, whose characters are those that came.
func TestPayloadsOfFramesAreWritten(t *testing.T) {
	tests := []struct {
		name    string
		payload admin.Payload
		want    string
	}{
		{"headers alone", admin.Payload{}, "5 bytes"},
		{"a text", admin.Payload{Text: "a\nb"}, `5 bytes: "a\nb"`},
		{"spaces that are none", admin.Payload{Text: "a\u00a0b\u2009c\u3000d"}, `5 bytes: "a\u00a0b\u2009c\u3000d"`},
		{"a Close frame that is cut", admin.Payload{Code: 4001, Reason: "by", Cut: true}, `5 bytes: 4001 "by" ...`},
		{"what was inflated", admin.Payload{Hex: "6162", Note: "inflated"}, "5 bytes: hex 6162 (inflated)"},
		{"one of which nothing came", admin.Payload{Cut: true}, "5 bytes: ..."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := admin.Frame{Op: "text", Fin: true, Length: 5, Payload: tt.payload}
			if got := Frame(&f); !strings.HasSuffix(got, " "+tt.want) {
				t.Errorf("Frame(%+v) = %q; want %q at its end", f, got, tt.want)
			}
		})
	}
}
