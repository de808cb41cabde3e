package importertest

import "strings"

// told returns the lines of comments, without their marks and spaces around.
func told(text []byte) string {
	var lines []string
	for line := range strings.SplitSeq(string(text), "\n") {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") {
			lines = append(lines, strings.Trim(line, "# "))
		}
	}
	return strings.Join(lines, ";")
}
