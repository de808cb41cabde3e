package units

import (
	"strings"
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	tests := []struct {
		text  string
		want  time.Duration
		wrong string
	}{
		{text: "30s", want: 30 * time.Second},
		{text: "1h30m", want: 90 * time.Minute},
		{text: "1d", want: 24 * time.Hour},
		{text: "1d12h", want: 36 * time.Hour},
		{text: "65535d", want: 65535 * 24 * time.Hour},
		{text: "0s"},
		{text: "-1s", want: -time.Second},
		{text: "30", wrong: "add a unit, as in 30s"},
		{text: "0", wrong: "add a unit"},
		{text: "1d30", wrong: "add a unit"},
		{text: "-1d", wrong: "not a duration"},
		{text: "1d-1h", wrong: "not a duration"},
		{text: "65536d", wrong: "not a duration"},
		{text: "65535d2562047h", wrong: "not a duration"},
		{text: "9999999h", wrong: "not a duration"},
		{text: "soon", wrong: "not a duration"},
		{text: "", wrong: "not a duration"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, wrong := ParseDuration(tt.text)
			if got != tt.want || tt.wrong == "" && wrong != "" || !strings.Contains(wrong, tt.wrong) {
				t.Errorf("ParseDuration(%q) = %v, %q; want %v, %q", tt.text, got, wrong, tt.want, tt.wrong)
			}
		})
	}
}

func TestAmounts(t *testing.T) {
	size := func(text string) (float64, string) { n, wrong := ParseSize(text); return float64(n), wrong }
	rate := func(text string) (float64, string) { n, wrong := ParseRate(text); return float64(n), wrong }
	byteRate := func(text string) (float64, string) { n, wrong := ParseByteRate(text); return float64(n), wrong }
	percent := func(text string) (float64, string) { n, wrong := ParsePercent(text); return float64(n), wrong }
	percentRate := func(text string) (float64, string) {
		n, wrong := ParsePercentRate(text)
		return float64(n), wrong
	}
	tests := []struct {
		name  string
		parse func(string) (float64, string)
		text  string
		want  float64
		wrong string
	}{
		{name: "size", parse: size, text: "512B", want: 512},
		{name: "size", parse: size, text: "10KB", want: 10_000},
		{name: "size", parse: size, text: "64KiB", want: 64 << 10},
		{name: "size", parse: size, text: "3MB", want: 3_000_000},
		{name: "size", parse: size, text: "1MiB", want: 1 << 20},
		{name: "size", parse: size, text: "4GB", want: 4e9},
		{name: "size", parse: size, text: "2GiB", want: 2 << 30},
		{name: "size", parse: size, text: "1TB", want: 1e12},
		{name: "size", parse: size, text: "1TiB", want: 1 << 40},
		{name: "size", parse: size, text: "0"},
		{name: "size", parse: size, text: "0KiB"},
		{name: "size", parse: size, text: "9223372036854775807B", want: 1<<63 - 1},
		{name: "size", parse: size, text: "8388608TiB", wrong: "is too large to count"},
		{name: "size", parse: size, text: "9223372036854775808B", wrong: "is not a size"},
		{name: "size", parse: size, text: "64", wrong: "add a unit, as in 64KiB"},
		{name: "size", parse: size, text: "64K", wrong: "is not a size"},
		{name: "size", parse: size, text: "64kB", wrong: "is not a size"},
		{name: "size", parse: size, text: "64BiB", wrong: "is not a size"},
		{name: "size", parse: size, text: "1.5MiB", wrong: "is not a size"},
		{name: "size", parse: size, text: "-1B", wrong: "is not a size"},
		{name: "size", parse: size, text: "+1B", wrong: "is not a size"},
		{name: "size", parse: size, text: "1 B", wrong: "is not a size"},
		{name: "size", parse: size, text: "KiB", wrong: "is not a size"},
		{name: "size", parse: size, text: "", wrong: "is not a size"},
		{name: "rate", parse: rate, text: "50/s", want: 50},
		{name: "rate", parse: rate, text: "600/m", want: 10},
		{name: "rate", parse: rate, text: "9/h", want: 9.0 / 3600},
		{name: "rate", parse: rate, text: "0/h"},
		{name: "rate", parse: rate, text: "0"},
		{name: "rate", parse: rate, text: "50", wrong: "add one, as in 50/s"},
		{name: "rate", parse: rate, text: "50/", wrong: "is not a rate"},
		{name: "rate", parse: rate, text: "50/sec", wrong: "is not a rate"},
		{name: "rate", parse: rate, text: "50/d", wrong: "is not a rate"},
		{name: "rate", parse: rate, text: "50/s/s", wrong: "is not a rate"},
		{name: "rate", parse: rate, text: "/s", wrong: "is not a rate"},
		{name: "rate", parse: rate, text: "-1/s", wrong: "is not a rate"},
		{name: "rate", parse: rate, text: "0.5/s", wrong: "is not a rate"},
		{name: "rate", parse: rate, text: "1KiB/s", wrong: "is not a rate"},
		{name: "rate", parse: rate, text: "4294967296/s", wrong: "is not a rate"},
		{name: "byte rate", parse: byteRate, text: "500B/s", want: 500},
		{name: "byte rate", parse: byteRate, text: "60KiB/m", want: 1 << 10},
		{name: "byte rate", parse: byteRate, text: "36MB/h", want: 10_000},
		{name: "byte rate", parse: byteRate, text: "0"},
		{name: "byte rate", parse: byteRate, text: "500B", wrong: "add one, as in 500B/s"},
		{name: "byte rate", parse: byteRate, text: "500/s", wrong: "is not a rate of bytes"},
		{name: "byte rate", parse: byteRate, text: "-1B/s", wrong: "is not a rate of bytes"},
		{name: "byte rate", parse: byteRate, text: "1KiB/d", wrong: "is not a rate of bytes"},
		{name: "share", parse: percent, text: "20%", want: 0.2},
		{name: "share", parse: percent, text: "100%", want: 1},
		{name: "share", parse: percent, text: "0%"},
		{name: "share", parse: percent, text: "101%", wrong: "is not a share"},
		{name: "share", parse: percent, text: "20", wrong: "is not a share"},
		{name: "share", parse: percent, text: "0.5%", want: 0.005},
		{name: "share", parse: percent, text: "0.0001%", want: 0.000001},
		{name: "share", parse: percent, text: "99.9999%", want: 0.999999},
		{name: "share", parse: percent, text: "0.00001%", wrong: "is not a share"},
		{name: "share", parse: percent, text: "100.0001%", wrong: "is not a share"},
		{name: "share", parse: percent, text: "1.%", wrong: "is not a share"},
		{name: "share", parse: percent, text: ".5%", wrong: "is not a share"},
		{name: "share", parse: percent, text: "1.2.3%", wrong: "is not a share"},
		{name: "share", parse: percent, text: "1.-2%", wrong: "is not a share"},
		{name: "share", parse: percent, text: "+1%", wrong: "is not a share"},
		{name: "share", parse: percent, text: "-5%", wrong: "is not a share"},
		{name: "share", parse: percent, text: "%", wrong: "is not a share"},
		{name: "share in a time", parse: percentRate, text: "5%/min", want: 0.05},
		{name: "share in a time", parse: percentRate, text: "60%/h", want: 0.01},
		{name: "share in a time", parse: percentRate, text: "0"},
		{name: "share in a time", parse: percentRate, text: "5%", wrong: "is not a share in a time"},
		{name: "share in a time", parse: percentRate, text: "5%/m", wrong: "is not a share in a time"},
		{name: "share in a time", parse: percentRate, text: "5/min", wrong: "is not a share in a time"},
		{name: "share in a time", parse: percentRate, text: "/min", wrong: "is not a share in a time"},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.text, func(t *testing.T) {
			got, wrong := tt.parse(tt.text)
			if got != tt.want || tt.wrong == "" && wrong != "" || !strings.Contains(wrong, tt.wrong) {
				t.Errorf("parsing the %s %q = %v, %q; want %v, %q", tt.name, tt.text, got, wrong, tt.want, tt.wrong)
			}
		})
	}
}
