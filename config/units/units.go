// Package units is how amounts are written in a configuration: durations, sizes, rates and shares,
// each a number with a unit, and the permissions of a file. The second result of a Parse function
// is what is wrong with the text, a predicate such as "is not a size", or "".
package units

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as in 64KiB.
type Size int64

// Rate is a number of events in a second, written as in 50/s. 0 means no limit.
type Rate float64

// ByteRate is a number of bytes in a second, written as in 1KiB/s. 0 means no limit.
type ByteRate float64

// Percent is a share, written as in 20%; 1 is all.
type Percent float64

// PercentRate is a share in a minute, written as in 5%/min. 0 means none.
type PercentRate float64

// FileMode is the permissions of a file, written in octal as in "0660". In YAML it needs quotes,
// because some readers take 0660 for a decimal number.
type FileMode uint32

const (
	likeMode     = "is not a mode: write it in octal and in quotes, as in \"0660\""
	likeDuration = "is not a duration: write it as in 30s, 1h30m or 1d"
	likeSize     = "is not a size: write it as in 512B, 64KiB, 1MiB or 10MB"
	likeRate     = "is not a rate: write it as in 50/s, 600/m or 10/h"
	likePercent  = "is not a share of 0% to 100%: write it as in 20% or 0.5%"
	likeShare    = "is not a share in a time: write it as in 5%/min or 50%/h"
	likeByteRate = "is not a rate of bytes: write it as in 500B/s or 1MiB/s"
)

const day = 24 * time.Hour

// ParseDuration reads what [time.ParseDuration] reads, and days in front of it, as in 1d or 1d12h.
// It refuses a number without a unit, 0 too.
func ParseDuration(text string) (time.Duration, string) {
	var days time.Duration
	rest := text
	if n, after, found := strings.Cut(text, "d"); found {
		count, err := strconv.ParseUint(n, 10, 16) // at most 179 years, less than a duration holds
		if err != nil {
			return 0, likeDuration
		}
		if days, rest = time.Duration(count)*day, after; rest == "" {
			return days, ""
		}
	}
	if _, err := strconv.ParseFloat(rest, 64); err == nil {
		return 0, "has no unit: add a unit, as in 30s"
	}
	d, err := time.ParseDuration(rest)
	if err != nil || days+d < days && days > 0 {
		return 0, likeDuration
	}
	return days + d, ""
}

// ParseSize reads a whole number with a unit: powers of 1000 (KB, MB, GB, TB) or of 1024 (KiB, MiB,
// GiB, TiB). Only 0 needs no unit.
func ParseSize(text string) (Size, string) {
	digits := strings.TrimRight(text, "BKMGTi")
	unit := text[len(digits):]
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, likeSize
	}
	factor, known := unitOf(unit)
	switch {
	case unit == "" && n == 0:
		return 0, ""
	case unit == "":
		return 0, "has no unit: add a unit, as in 64KiB"
	case !known:
		return 0, likeSize
	case Size(n) > math.MaxInt64/factor:
		return 0, "is too large to count"
	}
	return Size(n) * factor, ""
}

// sizeUnits is the units of sizes, the largest first.
var sizeUnits = []struct {
	name string
	size Size
}{
	{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3}, {"B", 1},
}

// unitOf returns the size that a unit stands for.
func unitOf(unit string) (size Size, known bool) {
	for _, u := range sizeUnits {
		if u.name == unit {
			return u.size, true
		}
	}
	return 0, false
}

// ParseRate reads a whole number of events in a second, minute or hour. Only 0 needs no period.
func ParseRate(text string) (Rate, string) {
	count, seconds, wrong := cutPeriod(text, "has no period: add one, as in 50/s", likeRate)
	if wrong != "" {
		return 0, wrong
	}
	n, err := strconv.ParseUint(count, 10, 32)
	if err != nil {
		return 0, likeRate
	}
	return Rate(float64(n) / seconds), ""
}

// ParseByteRate reads a size in a second, minute or hour. Only 0 needs no period.
func ParseByteRate(text string) (ByteRate, string) {
	amount, seconds, wrong := cutPeriod(text, "has no period: add one, as in 500B/s", likeByteRate)
	if wrong != "" {
		return 0, wrong
	}
	size, wrong := ParseSize(amount)
	if wrong != "" {
		return 0, likeByteRate
	}
	return ByteRate(float64(size) / seconds), ""
}

// percentDecimals is how many decimals a number of percent has at most.
const percentDecimals = 4

// ParsePercent reads a number of percent, at most 100, with decimals or without.
func ParsePercent(text string) (Percent, string) {
	digits, found := strings.CutSuffix(text, "%")
	whole, decimals, pointed := strings.Cut(digits, ".")
	if !found || whole == "" || pointed && decimals == "" || len(decimals) > percentDecimals {
		return 0, likePercent
	}
	n, err := strconv.ParseUint(whole+decimals+strings.Repeat("0", percentDecimals-len(decimals)), 10, 32)
	if err != nil || n > 100e4 {
		return 0, likePercent
	}
	return Percent(float64(n) / 100e4), ""
}

// ParsePercentRate reads a share in a minute or an hour. Only 0 needs no period.
func ParsePercentRate(text string) (PercentRate, string) {
	share, period, _ := strings.Cut(text, "/")
	minutes := 1.0
	switch {
	case text == "0":
		return 0, ""
	case period == "h":
		minutes = 60
	case period != "min":
		return 0, likeShare
	}
	p, wrong := ParsePercent(share)
	if wrong != "" {
		return 0, likeShare
	}
	return PercentRate(float64(p) / minutes), ""
}

// cutPeriod splits a rate into its amount and the seconds of its period. 0 needs no period. None
// and unknown are what is wrong without a period and with one that is no period.
func cutPeriod(text, none, unknown string) (amount string, seconds float64, wrong string) {
	amount, period, found := strings.Cut(text, "/")
	switch {
	case text == "0" || period == "s":
		return amount, 1, ""
	case period == "m":
		return amount, 60, ""
	case period == "h":
		return amount, 3600, ""
	case !found:
		return "", 0, none
	}
	return "", 0, unknown
}

// SetText reads the permissions of a socket in octal. Number says that the text stands in YAML
// without quotes.
func (m *FileMode) SetText(text string, number bool) (wrong string) {
	n, err := strconv.ParseUint(text, 8, 16)
	switch {
	case err != nil || len(text) < 3 || len(text) > 4, number && text[0] != '0':
		return likeMode
	case number:
		return "is not in quotes, so that some readers of YAML take it for another number: put it in quotes"
	}
	if wrong := FileMode(n).Wrong(); wrong != "" {
		return wrong
	}
	*m = FileMode(n)
	return ""
}

// Form is what a value of this type is, for messages.
func (FileMode) Form() string { return "a mode" }

// Pattern is the regular expression of a mode.
func (FileMode) Pattern() string { return "^0?[0-7]{3}$" }
