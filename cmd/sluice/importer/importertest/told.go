package importertest

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/config"
)

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

// mentions matches what names a backend in a route.
var mentions = regexp.MustCompile(`(?:backend|mirror): "?([^",\s]+)`)

// checkTold checks that each route that is a comment passes the check of the configuration in the place of the
// others, with the backends that it names.
func checkTold(t *testing.T, text []byte) {
	t.Helper()
	before, routes, _ := strings.Cut(string(text), "\nroutes:\n")
	for block := range strings.SplitSeq(routes, "\n\n") {
		if !strings.HasPrefix(block, "#  ") {
			continue
		}
		route := uncommented(block)
		var names []string
		for line := range strings.SplitSeq(route, "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			for _, m := range mentions.FindAllStringSubmatch(line, -1) {
				names = append(names, m[1])
			}
		}
		alone := withBackends(before, names) + "\nroutes:\n" + route + "\n"
		if _, err := config.Parse("told", []byte(alone), config.Options{}); err != nil {
			t.Errorf("a route that is a comment is not taken in the place of the others: %v\n%s", err, alone)
		}
	}
}

// uncommented returns lines without the mark of a comment at their beginning.
func uncommented(block string) string {
	return strings.ReplaceAll(strings.TrimPrefix(block, "#"), "\n#", "\n")
}

// withBackends returns the part of a file before its routes with the backends of some names, where they are comments.
func withBackends(text string, names []string) string {
	lines := strings.Split(text, "\n")
	at := slices.IndexFunc(lines, func(line string) bool { return strings.TrimPrefix(line, "#") == "backends:" })
	wanted := false
	for i := at + 1; at >= 0 && i < len(lines); i++ {
		rest, isComment := strings.CutPrefix(lines[i], "#  ")
		if name, isName := strings.CutSuffix(rest, ":"); isComment && isName && !strings.HasPrefix(rest, " ") && !strings.HasPrefix(rest, "#") {
			wanted = slices.Contains(names, strings.Trim(name, `"`))
		}
		if isComment && wanted {
			lines[i], lines[at] = lines[i][1:], "backends:"
		}
	}
	return strings.Join(lines, "\n")
}
