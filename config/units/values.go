package units

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// A value that was made in Go may be one that no text stands for. Wrong returns what is wrong with
// it then, as the Parse functions do, and Text returns a value as a configuration has it.

// DurationText returns d as a configuration has it, in whole days where they are what it begins with: as
// in 1d12h, 1m30s or 2h.
func DurationText(d time.Duration) string {
	days := ""
	if n := d / day; n > 0 {
		days = strconv.FormatInt(int64(n), 10) + "d"
		if d %= day; d == 0 {
			return days
		}
	}
	text := d.String()
	for _, end := range []struct{ long, short string }{{"m0s", "m"}, {"h0m", "h"}} {
		if begin, ok := strings.CutSuffix(text, end.long); ok {
			text = begin + end.short
		}
	}
	return days + text
}

// Wrong refuses a negative size.
func (s Size) Wrong() string { return wrongUnless(s >= 0, likeSize) }

// Text returns s with the largest unit that leaves a whole number.
func (s Size) Text() string {
	for _, unit := range sizeUnits {
		if s >= unit.size && s%unit.size == 0 {
			return strconv.FormatInt(int64(s/unit.size), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// Wrong refuses a rate below 0, infinity and NaN.
func (r Rate) Wrong() string { return wrongUnless(isAmount(float64(r)), likeRate) }

// Text returns r in events a second.
func (r Rate) Text() string { return number(float64(r)) + "/s" }

// Wrong refuses a rate below 0, infinity and NaN.
func (r ByteRate) Wrong() string { return wrongUnless(isAmount(float64(r)), likeByteRate) }

// Text returns r as a size a second.
func (r ByteRate) Text() string {
	if size := Size(r); ByteRate(size) == r {
		return size.Text() + "/s"
	}
	return number(float64(r)) + "B/s"
}

// Wrong refuses a share below 0, one above 1, and NaN.
func (p Percent) Wrong() string { return wrongUnless(p >= 0 && p <= 1, likePercent) }

// Text returns p in percent.
func (p Percent) Text() string { return number(math.Round(100e4*float64(p))/1e4) + "%" }

// Wrong refuses a share below 0, infinity and NaN.
func (p PercentRate) Wrong() string { return wrongUnless(isAmount(float64(p)), likeShare) }

// Text returns p in percent a minute.
func (p PercentRate) Text() string { return number(100*float64(p)) + "%/min" }

// Wrong refuses a mode that no socket may have.
func (m FileMode) Wrong() string {
	switch {
	case m > 0o777:
		return "has more than the permissions of user, group and others: the most is \"0777\""
	case m&0o222 == 0:
		return "lets no client connect: that takes the right to write, as in \"0660\""
	}
	return ""
}

// Text returns m in octal.
func (m FileMode) Text() string { return "0" + strconv.FormatUint(uint64(m), 8) }

func wrongUnless(good bool, wrong string) string {
	if good {
		return ""
	}
	return wrong
}

func isAmount(n float64) bool { return n >= 0 && !math.IsInf(n, 1) }

func number(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
