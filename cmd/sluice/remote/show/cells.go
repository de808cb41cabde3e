package show

import (
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// Ellipsis stands where a text was cut.
const Ellipsis = '…'

// MostCluster is how many bytes a character may have with all that is put over it.
const MostCluster = 16

// Clusters returns what a text is on a screen: characters, and how many cells each takes.
func Clusters(text string) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		text, state := Line(text), -1
		for text != "" {
			var one string
			var width int
			one, text, width, state = uniseg.FirstGraphemeClusterInString(text, state)
			if len(one) > MostCluster || width > 2 { // a letter that takes cells may join the one before it
				first, _ := utf8.DecodeRuneInString(one)
				one = string(first)
				width = uniseg.StringWidth(one)
			}
			if width > 0 && !yield(one, width) { // what takes no cell would change its neighbour
				return
			}
		}
	}
}

// Width returns how many cells a text takes.
func Width(text string) (width int) {
	if isPlain(text) {
		return len(text)
	}
	for _, w := range Clusters(text) {
		width += w
	}
	return width
}

// Cut returns a text that takes no more cells than room. An [Ellipsis] says that it was cut.
func Cut(text string, room int) string {
	if Width(text) <= room {
		return text
	}
	var b strings.Builder
	used := 1 // for the ellipsis
	for cluster, width := range Clusters(text) {
		if used += width; used > room {
			break
		}
		b.WriteString(cluster)
	}
	if room <= 0 {
		return ""
	}
	return b.String() + string(Ellipsis)
}

// isPlain reports whether each byte of a text takes a cell.
func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// Wrap cuts a text at spaces into lines that take no more cells than width, if no word takes more. There
// are at most so many: the last one has all the rest, for [Cut].
func Wrap(text string, width, most int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && Width(line)+1+Width(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	lines = append(lines, line)
	if len(lines) > most {
		lines = append(lines[:most-1], strings.Join(lines[most-1:], " "))
	}
	return lines
}
