package config

import (
	"fmt"
	"slices"
	"strings"

	"sluice/config/report"
	"sluice/config/spelling"
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

// PathVariable is how the names of variables begin that are segments of the path: {path.id} is the
// segment {id}. It is the text that [sluice/route.SegmentName] cuts off.
const PathVariable = "path."

// Parts splits the value of a header. {name} is a variable if the name has only small letters and
// '_', and behind [PathVariable] digits; {{name}} is the text {name}; everything else is text. No two
// texts follow each other.
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

// word splits off what s begins with that may be the name of a variable.
func word(s string) (word, rest string) {
	if name, ok := strings.CutPrefix(s, PathVariable); ok {
		n := letters(name, "0123456789")
		return s[:len(PathVariable)+n], name[n:]
	}
	n := letters(s, "")
	return s[:n], s[n:]
}

// letters returns how many small letters, '_' and bytes of others s begins with.
func letters(s, others string) int {
	n := strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && !strings.ContainsRune(others, r)
	})
	if n < 0 {
		return len(s)
	}
	return n
}

// lacking returns what is wrong with a part that is a segment of the path where one of these paths does
// not have it, or "".
func lacking(p Part, paths []string) (wrong string) {
	segment, ofPath := strings.CutPrefix(p.Text, PathVariable)
	if !p.Variable || !ofPath {
		return ""
	}
	i := slices.IndexFunc(paths, func(path string) bool { return !slices.Contains(spelling.Segments(path), segment) })
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("{%s} is the segment {%s} of the path, and %s has none", p.Text, segment, paths[i])
}

// variables checks the variables in the values of h.Set, of a route with these paths.
func (k *checker) variables(at report.Path, h *Headers, paths []string) {
	for name, value := range h.Set {
		at := at.Key(name)
		if !k.Good(at) || h.FromFile[name] {
			continue
		}
		for _, p := range Parts(value) {
			wrong := lacking(p, paths)
			if !p.Variable || slices.Contains(Variables(), p.Text) || wrong == "" && strings.HasPrefix(p.Text, PathVariable) {
				continue
			}
			if !k.Source(at).Literal { // the name may be part of a secret
				k.Reject(at, "stands for a value with an unknown variable in braces; {{name}} is the text {name} itself")
				break
			}
			if wrong != "" {
				k.Fail(at, "%s", wrong)
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
