package decode

import (
	"regexp"
	"strings"

	"sluice/config/report"
)

// variable matches a text that begins with ${NAME} or ${NAME:-default}.
var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?\}`)

// expand replaces each ${NAME} of text by the variable's value, and each ${NAME:-default} by the
// default if the variable is unset or empty; $${ stands for ${. It works on a scalar after parsing,
// so that a value cannot become YAML, and does not expand what it put in. The second result is what
// is wrong with the text.
func expand(text string, getenv func(string) (string, bool)) (string, string) {
	var b strings.Builder
	for {
		before, _, found := strings.Cut(text, "${")
		if !found {
			b.WriteString(text)
			return b.String(), ""
		}
		if strings.HasSuffix(before, "$") {
			b.WriteString(before + "{")
			text = text[len(before)+len("${"):]
			continue
		}
		b.WriteString(before)
		text = text[len(before):]
		m := variable.FindStringSubmatch(text)
		if m == nil {
			return "", "has a ${ that begins no ${NAME} or ${NAME:-default}: write $${ if it is meant as it stands"
		}
		value, set := getenv(m[1])
		if fallback, ok := strings.CutPrefix(m[2], ":-"); ok && (!set || value == "") {
			value, set = fallback, true
		}
		if !set {
			return "", "needs the environment variable " + report.Shorten(m[1]) + ", which is not set (${NAME:-default} gives a default)"
		}
		b.WriteString(value)
		text = text[len(m[0]):]
	}
}
