package vocabulary

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sluice/cmd/sluice/importer/mapping"
)

// Duration reads a time of nginx: 60, 60s, 1h30m, 100ms.
func Duration(text string) (d time.Duration, ok bool) {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second, true
	}
	for rest := strings.ReplaceAll(text, " ", ""); rest != ""; {
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		n, err := strconv.ParseUint(rest[:digits], 10, 31)
		if err != nil {
			return 0, false
		}
		rest = rest[digits:]
		letters := 0
		for letters < len(rest) && rest[letters] >= 'A' {
			letters++
		}
		unit, known := map[string]time.Duration{
			"ms": time.Millisecond, "s": time.Second, "": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
			"w": 7 * 24 * time.Hour, "M": 30 * 24 * time.Hour, "y": 365 * 24 * time.Hour,
		}[rest[:letters]]
		if d += time.Duration(n) * unit; !known || float64(n)*float64(unit) > math.MaxInt64/2 || d < 0 {
			return 0, false
		}
		rest, ok = rest[letters:], true
	}
	return d, ok
}

// Size reads a size of nginx: 512, 8k, 10m, 1g.
func Size(text string) (n int64, ok bool) {
	factor := int64(1)
	switch {
	case strings.HasSuffix(strings.ToLower(text), "k"):
		factor = 1 << 10
	case strings.HasSuffix(strings.ToLower(text), "m"):
		factor = 1 << 20
	case strings.HasSuffix(strings.ToLower(text), "g"):
		factor = 1 << 30
	}
	if factor > 1 {
		text = text[:len(text)-1]
	}
	count, err := strconv.ParseUint(text, 10, 31)
	return int64(count) * factor, err == nil
}

// variable matches $name and ${name}.
var variable = regexp.MustCompile(`\$(\w+|\{\w+\})`)

// names are the variables of nginx that the configuration has under another name.
var names = map[string]string{
	"$remote_addr": "{client_address}", "$http_host": "{host}", "$host": "{host}", "$scheme": "{scheme}",
	"$request_id": "{request_id}", "$ssl_protocol": "{tls_version}", "$ssl_cipher": "{tls_cipher}",
	"$ssl_server_name": "{tls_server_name}", "$ssl_client_s_dn": "{client_subject}",
}

// HeaderValue returns the value of a header as the configuration writes it. ok is false if it has a
// variable that sluice does not know.
func HeaderValue(text string) (value string, ok bool) {
	ok = true
	var b strings.Builder
	last := 0
	for _, at := range variable.FindAllStringIndex(text, -1) {
		b.WriteString(mapping.Literal(text[last:at[0]]))
		name, known := names["$"+strings.Trim(text[at[0]+1:at[1]], "{}")]
		ok = ok && known
		b.WriteString(name)
		last = at[1]
	}
	return b.String() + mapping.Literal(text[last:]), ok
}

// HasVariable reports whether a text has a variable of nginx.
func HasVariable(text string) bool { return strings.Contains(text, "$") }
