package importer

import (
	"fmt"
	"strings"
)

// written returns the path of a route that takes the cell.
func written(c cell) string {
	path := spell(c.Text, "{")
	switch {
	case c.Exact:
		return path
	case c.Suffix != "":
		return path + "*" + spell(c.Suffix, "{")
	}
	return path + "*"
}

// spell writes a path as it stands in a URL, with a name in braces for each [Any]. A '*' in it is text.
func spell(path, open string) string {
	segments := strings.Split(path, "/")
	n := 0
	for i, segment := range segments {
		switch {
		case segment != Any:
			segments[i] = EscapePath(segment)
			continue
		case n == 0:
			segments[i] = open + "id}"
		default:
			segments[i] = fmt.Sprintf("%sid%d}", open, n+1)
		}
		n++
	}
	return strings.Join(segments, "/")
}

// EscapePath writes a path as it stands in a URL. A '*' in it is text.
func EscapePath(text string) string {
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c <= ' ' || c >= 0x7f || strings.IndexByte(`%?#*"<>\^{}|`+"`", c) >= 0:
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// changed returns the path of a cell after a change to its beginning, escaped.
func changed(c cell, prefix, with string) string {
	path := spell("/"+strings.TrimLeft(with+strings.TrimPrefix(c.Text, prefix), "/"), "{path.")
	if !c.Exact {
		return path + "*"
	}
	return path
}
