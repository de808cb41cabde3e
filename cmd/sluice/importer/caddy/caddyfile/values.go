package caddyfile

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sluice/cmd/sluice/importer/mapping"
)

var hostPattern = regexp.MustCompile(`^(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

// IsHost reports whether a text is the name of a host, or *.name.
func IsHost(text string) bool { return hostPattern.MatchString(text) }

// Placeholder matches what Caddy replaces by a value of the request.
var Placeholder = regexp.MustCompile(`\{[a-zA-Z%?_<>$][a-zA-Z0-9%?_.:<>*/\[\]-]*\}`)

// HasPlaceholder reports whether a text has a placeholder.
func HasPlaceholder(text string) bool { return Placeholder.MatchString(text) }

// Absolute returns the name of a file that does not depend on where the configuration is: dir is what
// relative names start from.
func Absolute(dir, name string) string {
	if filepath.IsAbs(name) || HasPlaceholder(name) {
		return name
	}
	if abs, err := filepath.Abs(filepath.Join(dir, name)); err == nil {
		return abs
	}
	return name
}

// Duration reads a time: 500ms, 30s, 1h30m, 1d.
func Duration(text string) (time.Duration, bool) {
	days, rest, found := strings.Cut(text, "d")
	if !found {
		days, rest = "", text
	}
	var total time.Duration
	if days != "" {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || !(n >= 0 && n <= 36500) {
			return 0, false
		}
		total = time.Duration(n * float64(24*time.Hour))
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil {
			return 0, false
		}
		total += d
	}
	return total, total > 0
}

var sizeText = regexp.MustCompile(`^([0-9]{1,9})(\.[0-9]+)? ?([a-z]*)$`)

// Size reads a number of bytes: 512, 10MB, 10MiB.
func Size(text string) (n int64, ok bool) {
	m := sizeText.FindStringSubmatch(strings.ToLower(text))
	if m == nil {
		return 0, false
	}
	unit, ok := map[string]float64{
		"": 1, "b": 1, "k": 1e3, "kb": 1e3, "kib": 1 << 10, "ki": 1 << 10, "m": 1e6, "mb": 1e6, "mib": 1 << 20, "mi": 1 << 20,
		"g": 1e9, "gb": 1e9, "gib": 1 << 30, "gi": 1 << 30, "t": 1e12, "tb": 1e12, "tib": 1 << 40, "ti": 1 << 40,
	}[m[3]]
	value, err := strconv.ParseFloat(m[1]+m[2], 64)
	return int64(value * unit), ok && err == nil && value*unit < 1<<50
}

// Amount writes a number of bytes, in powers of 1000 where it is one.
func Amount(n int64) mapping.Amount {
	if n > 0 && n%1e6 == 0 {
		return mapping.Amount(strconv.FormatInt(n/1e6, 10) + "MB")
	}
	return mapping.Size(n)
}
