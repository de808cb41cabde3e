package files

import (
	"fmt"
	"io"
	"strings"
)

// around is how many lines without a change are shown at each side of a change.
const around = 3

// edit is a part of two texts that differs: lines of the one and lines of the other.
type edit struct{ oldBegin, oldEnd, newBegin, newEnd int }

// writeDiff writes what changes from one text to another, in the unified format.
func writeDiff(out io.Writer, name, before, after string) {
	a, b := splitLines(before), splitLines(after)
	fmt.Fprintf(out, "--- %s\n+++ %s (laid out)\n", name, name)
	edits := edits(a, b)
	for len(edits) > 0 {
		n := 1
		for n < len(edits) && edits[n].oldBegin-edits[n-1].oldEnd <= 2*around {
			n++
		}
		writeHunk(out, a, b, edits[:n])
		edits = edits[n:]
	}
}

// writeHunk writes changes that are near each other, and the lines around them.
func writeHunk(out io.Writer, a, b []string, edits []edit) {
	first, last := edits[0], edits[len(edits)-1]
	lead := min(around, first.oldBegin)
	begin, end := first.oldBegin-lead, min(last.oldEnd+around, len(a))
	newBegin, newEnd := first.newBegin-lead, last.newEnd+end-last.oldEnd
	fmt.Fprintf(out, "@@ -%d,%d +%d,%d @@\n", begin+1, end-begin, newBegin+1, newEnd-newBegin)
	at := begin
	for _, e := range edits {
		writeLines(out, ' ', a[at:e.oldBegin])
		writeLines(out, '-', a[e.oldBegin:e.oldEnd])
		writeLines(out, '+', b[e.newBegin:e.newEnd])
		at = e.oldEnd
	}
	writeLines(out, ' ', a[at:end])
}

func writeLines(out io.Writer, sign byte, lines []string) {
	for _, line := range lines {
		text, ended := strings.CutSuffix(line, "\n")
		fmt.Fprintf(out, "%c%s\n", sign, text)
		if !ended {
			fmt.Fprintln(out, `\ No newline at end of file`)
		}
	}
}

func splitLines(text string) []string {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// far is how many lines ahead a line is looked for. Laying out moves none, so that what belongs
// together is near.
const far = 400

// edits returns what differs, in order. Where lines differ it goes on at the nearest pair of lines
// that are the same, which takes no more than far times far comparisons for each change.
func edits(a, b []string) (all []edit) {
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		if i < len(a) && j < len(b) && a[i] == b[j] {
			i, j = i+1, j+1
			continue
		}
		e := edit{oldBegin: i, newBegin: j}
		i, j = nextSame(a, b, i, j)
		e.oldEnd, e.newEnd = i, j
		all = append(all, e)
	}
	return all
}

// nextSame returns the nearest lines from a[i] and b[j] on that are the same, or the ends.
func nextSame(a, b []string, i, j int) (int, int) {
	for distance := 1; distance <= far; distance++ {
		for k := range distance + 1 {
			x, y := i+k, j+distance-k
			if x < len(a) && y < len(b) && a[x] == b[y] && strings.TrimSpace(a[x]) != "" {
				return x, y
			}
		}
	}
	return len(a), len(b)
}
