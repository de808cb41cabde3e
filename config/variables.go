package config

import (
	"slices"
	"strings"

	"sluice/config/report"
)

// Part is a piece of a header's value: text, or the name of a variable.
type Part struct {
	Text     string
	Variable bool
}

// Variables are the names that may stand in braces in the values of set_headers.
func Variables() []string {
	return []string{"client_address", "route", "host", "request_id", "scheme", "tls_version", "tls_cipher", "tls_server_name", "client_subject"}
}

// Parts splits the value of a header. {name} is a variable if the name has only small letters and
// '_'; {{name}} is the text {name}; everything else is text. No two texts follow each other.
func Parts(value string) (parts []Part) {
	text := func(s string) {
		if n := len(parts); n > 0 && !parts[n-1].Variable {
			parts[n-1].Text += s
		} else if s != "" {
			parts = append(parts, Part{Text: s})
		}
	}
	for value != "" {
		open := strings.IndexByte(value, '{')
		if open < 0 {
			text(value)
			break
		}
		text(value[:open])
		value = value[open:]
		inner, escaped := strings.CutPrefix(value[1:], "{")
		name, rest := word(inner)
		switch {
		case escaped && name != "" && strings.HasPrefix(rest, "}}"):
			text("{" + name + "}")
			value = rest[2:]
		case !escaped && name != "" && strings.HasPrefix(rest, "}"):
			parts = append(parts, Part{Text: name, Variable: true})
			value = rest[1:]
		default:
			text("{")
			value = value[1:]
		}
	}
	return parts
}

// word splits off the small letters and '_' that s begins with.
func word(s string) (word, rest string) {
	n := strings.IndexFunc(s, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') })
	if n < 0 {
		n = len(s)
	}
	return s[:n], s[n:]
}

// variables checks the variables in the values of h.Set.
func (k *checker) variables(at report.Path, h *Headers) {
	for name, value := range h.Set {
		at := at.Key(name)
		if !k.Good(at) || h.FromFile[name] {
			continue
		}
		for _, p := range Parts(value) {
			if !p.Variable || slices.Contains(Variables(), p.Text) {
				continue
			}
			if !k.Source(at).Literal { // the name may be part of a secret
				k.Reject(at, "stands for a value with an unknown variable in braces; {{name}} is the text {name} itself")
				break
			}
			advice := report.Suggest(p.Text, slices.Values(Variables()))
			if advice == "" {
				advice = ": there are " + strings.Join(Variables(), ", ") + "; {{" + p.Text + "}} is the text itself"
			}
			k.Fail(at, "unknown variable {%s}%s", p.Text, advice)
			break
		}
	}
}
