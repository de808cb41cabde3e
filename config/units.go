package config

import (
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as in 64KiB.
type Size int64

// Rate is a number of events in a second, written as in 50/s. 0 means no limit.
type Rate float64

// ByteRate is a number of bytes in a second, written as in 1KiB/s. 0 means no
// limit.
type ByteRate float64

// Percent is a share, written as in 20%; 1 is all.
type Percent float64

// PercentRate is a share in a minute, written as in 5%/min. 0 means none.
type PercentRate float64

// FileMode is the permissions of a file, written in octal as in "0660". In YAML
// they are in quotes, as some readers take 0660 for a decimal number.
type FileMode uint32

const (
	likeMode     = "is not a mode: write it in octal and in quotes, as in \"0660\""
	likeDuration = "is not a duration: write it as in 30s, 1h30m or 1d"
	likeSize     = "is not a size: write it as in 512B, 64KiB, 1MiB or 10MB"
	likeRate     = "is not a rate: write it as in 50/s, 600/m or 10/h"
	likePercent  = "is not a share: write it as in 20%"
	likeShare    = "is not a share in a time: write it as in 5%/min or 50%/h"
	likeByteRate = "is not a rate of bytes: write it as in 500B/s or 1MiB/s"
)

// parseDuration reads what [time.ParseDuration] does, and days ahead of it, as
// in 1d or 1d12h. A number without a unit is refused, 0 too. The second result
// is what is wrong.
func parseDuration(text string) (time.Duration, string) {
	const day = 24 * time.Hour
	var days time.Duration
	rest := text
	if n, after, found := strings.Cut(text, "d"); found {
		count, err := strconv.ParseUint(n, 10, 16) // 179 years: below what a duration holds
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

// parseSize reads a whole number with a unit: powers of 1000 (KB, MB, GB, TB) or
// of 1024 (KiB, MiB, GiB, TiB). Only 0 needs none. The second result is what is
// wrong.
func parseSize(text string) (Size, string) {
	digits := strings.TrimRight(text, "BKMGTi")
	unit := text[len(digits):]
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, likeSize
	}
	factor, known := unitOf(unit)
	switch {
	case unit == "" && n != 0:
		return 0, "has no unit: add a unit, as in 64KiB"
	case !known:
		return 0, likeSize
	case n > uint64(1<<63-1)/factor:
		return 0, "is too large to count"
	}
	return Size(n * factor), ""
}

// unitOf is the number of bytes in a unit of size.
func unitOf(unit string) (bytes uint64, known bool) {
	switch unit {
	case "", "B":
		return 1, true
	case "KB":
		return 1e3, true
	case "MB":
		return 1e6, true
	case "GB":
		return 1e9, true
	case "TB":
		return 1e12, true
	case "KiB":
		return 1 << 10, true
	case "MiB":
		return 1 << 20, true
	case "GiB":
		return 1 << 30, true
	case "TiB":
		return 1 << 40, true
	}
	return 0, false
}

// parseRate reads a whole number of events in a second, minute or hour. Only 0
// needs no period. The second result is what is wrong.
func parseRate(text string) (Rate, string) {
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

// parseByteRate is parseRate for a size in a period.
func parseByteRate(text string) (ByteRate, string) {
	amount, seconds, wrong := cutPeriod(text, "has no period: add one, as in 500B/s", likeByteRate)
	if wrong != "" {
		return 0, wrong
	}
	size, wrong := parseSize(amount)
	if wrong != "" {
		return 0, likeByteRate
	}
	return ByteRate(float64(size) / seconds), ""
}

// parsePercent reads a whole number of percent. The second result is what is
// wrong.
func parsePercent(text string) (Percent, string) {
	digits, found := strings.CutSuffix(text, "%")
	n, err := strconv.ParseUint(digits, 10, 16)
	if !found || err != nil || n > 100 {
		return 0, likePercent
	}
	return Percent(n) / 100, ""
}

// parsePercentRate reads a share in a minute or an hour. Only 0 needs no period.
// The second result is what is wrong.
func parsePercentRate(text string) (PercentRate, string) {
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
	p, wrong := parsePercent(share)
	if wrong != "" {
		return 0, likeShare
	}
	return PercentRate(float64(p) / minutes), ""
}

// cutPeriod splits a rate into its amount and the seconds that it is for. 0 is
// nothing in any period.
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

// parseMode reads the permissions of a socket. The second result is what is
// wrong.
func parseMode(text string) (FileMode, string) {
	n, err := strconv.ParseUint(text, 8, 16)
	switch {
	case err != nil || len(text) < 3 || len(text) > 4:
		return 0, likeMode
	case n > 0o777:
		return 0, "has more than the permissions of user, group and others: the most is \"0777\""
	case n&0o222 == 0:
		return 0, "lets nobody connect: that takes the right to write, as in \"0660\""
	}
	return FileMode(n), ""
}
