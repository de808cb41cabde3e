package spelling

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"sluice/internal/httpsyntax"
)

// NotHeaderValue is what a text is that [IsHeaderValue] refuses.
const NotHeaderValue = "not a value for a header: it has a line break, another control character or a space at an end"

// IsHeaderValue reports whether s can be the value of a header (RFC 9110, section 5.5): it has no
// control character but the tab, and no space at its ends.
func IsHeaderValue(s string) bool {
	return !HasControl(strings.ReplaceAll(s, "\t", " ")) && strings.Trim(s, " \t") == s
}

// HasControl reports whether s has an ASCII control character.
func HasControl(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) >= 0
}

// CheckPath returns what is wrong with the path p of a URL, or "". What '*' and braces mean in the path
// of a route is for package route.
func CheckPath(p string) (wrong string) {
	switch {
	case !strings.HasPrefix(p, "/"):
		return "does not begin with '/'"
	case strings.ContainsAny(p, "?#"):
		return "has a '?' or '#', which are no part of a path"
	case HasControl(p):
		return "has a control character"
	}
	if _, err := url.PathUnescape(p); err != nil {
		return "has a '%' that begins no escape such as %20: write %25 for the sign itself"
	}
	return ""
}

// Segments returns the names of the segments {name} of a path.
func Segments(path string) (names []string) {
	for text := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(text, "{"); ok && strings.HasSuffix(name, "}") {
			names = append(names, strings.TrimSuffix(name, "}"))
		}
	}
	return names
}

// CheckMethod returns what is wrong with a method (RFC 9110, section 9.1), or "". A standard method in
// other than capitals is refused, because methods are case-sensitive.
func CheckMethod(method string) (wrong string) {
	if !httpsyntax.IsToken(method) {
		return "is not a method"
	}
	switch upper := strings.ToUpper(method); upper {
	case method:
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return "is not a method anyone sends: methods are case-sensitive, write " + upper
	}
	return ""
}

// MediaTypes checks a pattern of media types, as in text/html, text/* or *+json, and returns it in
// lower case.
func MediaTypes(pattern string) (clean, wrong string) {
	pattern = strings.ToLower(pattern)
	if strings.Contains(pattern, ";") {
		return "", "has parameters, which do not count: leave them off"
	}
	if !mediaTypes.MatchString(pattern) {
		return "", "is not a content type, as in text/html, text/* or *+json"
	}
	return pattern, ""
}

// IsDirectives reports whether s is a list of Cache-Control directives (RFC 9111, section 5.2).
func IsDirectives(s string) bool { return directives.MatchString(s) }

// IsErrorStatus reports whether s is the status of an error, as in 404, or a class of them, 4xx or
// 5xx.
func IsErrorStatus(s string) bool { return errorStatus.MatchString(s) }

const token = "[!#$%&'+.^_`|~0-9A-Za-z-]+" // RFC 9110, section 5.6.2, without '*'

var (
	errorStatus = regexp.MustCompile(`^[45]([0-9]{2}|xx)$`)
	mediaTypes  = regexp.MustCompile(fmt.Sprintf(`^(%[1]s/(\*|%[1]s)|\*\+%[1]s)$`, token))
	directives  = regexp.MustCompile(fmt.Sprintf(`^%[1]s(=(%[1]s|"[^"]*"))?([ \t]*,[ \t]*%[1]s(=(%[1]s|"[^"]*"))?)*$`, token))
)
