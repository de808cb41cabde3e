package units

import (
	"math"
	"testing"
	"time"
)

func TestValuesMadeInGo(t *testing.T) {
	tests := []struct {
		name  string
		value interface{ Text() string }
		wrong string // what Wrong says
		text  string // what Text says
	}{
		{name: "size", value: Size(1000), text: "1KB"},
		{name: "size with a prefix", value: Size(3 << 20), text: "3MiB"},
		{name: "negative size", value: Size(-1), wrong: likeSize, text: "-1B"},
		{name: "rate", value: Rate(1.5), text: "1.5/s"},
		{name: "negative rate", value: Rate(-1), wrong: likeRate, text: "-1/s"},
		{name: "infinite rate", value: Rate(math.Inf(1)), wrong: likeRate, text: "+Inf/s"},
		{name: "rate that is no number", value: Rate(math.NaN()), wrong: likeRate, text: "NaN/s"},
		{name: "byte rate", value: ByteRate(500), text: "500B/s"},
		{name: "byte rate of a power of 1000", value: ByteRate(5e6), text: "5MB/s"},
		{name: "byte rate of a power of 1024", value: ByteRate(5 << 20), text: "5MiB/s"},
		{name: "byte rate that is no whole number", value: ByteRate(1.5), text: "1.5B/s"},
		{name: "negative byte rate", value: ByteRate(-1), wrong: likeByteRate, text: "-1B/s"},
		{name: "share", value: Percent(0.5), text: "50%"},
		{name: "share of a hundred", value: Percent(0.07), text: "7%"},
		{name: "share with decimals", value: Percent(0.0005), text: "0.05%"},
		{name: "share of more than all", value: Percent(1.5), wrong: likePercent, text: "150%"},
		{name: "share that is no number", value: Percent(math.NaN()), wrong: likePercent, text: "NaN%"},
		{name: "share in a time", value: PercentRate(2), text: "200%/min"},
		{name: "negative share in a time", value: PercentRate(-1), wrong: likeShare, text: "-100%/min"},
		{name: "mode", value: FileMode(0o660), text: "0660"},
		{name: "mode of a program", value: FileMode(0o4777), wrong: `has more than the permissions of user, group and others: the most is "0777"`, text: "04777"},
		{name: "mode to read only", value: FileMode(0o444), wrong: `lets no client connect: that takes the right to write, as in "0660"`, text: "0444"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wrong := tt.value.(interface{ Wrong() string }).Wrong()
			if text := tt.value.Text(); wrong != tt.wrong || text != tt.text {
				t.Errorf("%T(%v): Wrong = %q, Text = %q; want %q, %q", tt.value, tt.value, wrong, text, tt.wrong, tt.text)
			}
		})
	}
}

// FuzzUnits: what is read is an amount, and a size and a duration are read the same from the text
// that they have.
func FuzzUnits(f *testing.F) {
	for _, seed := range []string{"1d12h", "30", "64KiB", "10MB", "50/s", "1KiB/h", "20%", "0.05%", "5%/min", "0660", "-1s", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, wrong := ParseDuration(text); wrong == "" {
			if again, wrong := ParseDuration(d.String()); again != d || wrong != "" {
				t.Errorf("ParseDuration(%q) = %v, which is read as %v (%s)", text, d, again, wrong)
			}
		}
		if s, wrong := ParseSize(text); wrong == "" {
			if again, wrong := ParseSize(s.Text()); again != s || wrong != "" || s.Wrong() != "" {
				t.Errorf("ParseSize(%q) = %d, which is read as %d (%s)", text, s, again, wrong)
			}
		}
		if p, wrong := ParsePercent(text); wrong == "" {
			if again, wrong := ParsePercent(p.Text()); again != p || wrong != "" {
				t.Errorf("ParsePercent(%q) = %v, which is read as %v (%s)", text, p, again, wrong)
			}
		}
		var mode FileMode
		rate, noRate := ParseRate(text)
		byteRate, noByteRate := ParseByteRate(text)
		share, noShare := ParsePercent(text)
		shareRate, noShareRate := ParsePercentRate(text)
		noMode := mode.SetText(text, false)
		if noRate == "" && rate.Wrong() != "" || noByteRate == "" && byteRate.Wrong() != "" || noShare == "" && share.Wrong() != "" ||
			noShareRate == "" && shareRate.Wrong() != "" || noMode == "" && mode.Wrong() != "" {
			t.Errorf("%q is read as %v, %v, %v, %v or %o, which is no such amount", text, rate, byteRate, share, shareRate, mode)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if d, _ := ParseDuration("1d12h"); d != 36*time.Hour {
			b.Fatal(d)
		}
		ParseByteRate("64KiB/s")
	}
}

// FuzzDurationText: what is written is read as the same.
func FuzzDurationText(f *testing.F) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Millisecond: "1ms", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", time.Hour: "1h", time.Hour + time.Second: "1h0m1s",
		20*time.Hour + 20*time.Minute: "20h20m", day: "1d", day + 12*time.Hour: "1d12h", 365 * day: "365d", day + time.Nanosecond: "1d1ns", -time.Hour: "-1h",
	} {
		if got := DurationText(d); got != want {
			f.Errorf("DurationText(%v) = %s; want %s", d, got, want)
		}
		f.Add(int64(d))
	}
	f.Fuzz(func(t *testing.T, n int64) {
		d := time.Duration(n)
		if d < 0 || d > 50_000*day {
			return // no configuration has such a time
		}
		if again, wrong := ParseDuration(DurationText(d)); again != d || wrong != "" {
			t.Errorf("DurationText(%v) = %s, which is read as %v (%s)", d, DurationText(d), again, wrong)
		}
	})
}
