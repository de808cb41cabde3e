package decode_test

import (
	"fmt"
	"strings"
	"testing"

	"sluice/config/decode"
	"sluice/config/report"
)

// problemsOf returns what is wrong with a text, one problem on each line, without the name of the file.
func problemsOf(text string) string {
	r := report.OfFile("f")
	decode.Document(r, "", []byte(text))
	return strings.ReplaceAll(r.Problems().Error(), "f:", "")
}

func TestSyntaxErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"good", "a: [1,\n  2]\nb:\n- 'c'\n", ""},
		{"in the second document", "a: 1\n---\nb:\n   c: 1\n  d: 1\n", "5:3: not valid YAML: the line is indented by 2: write 0 or 3 spaces, as in the lines above"},
		{"lines of Windows", "a: 1\r\nb: c: d\r\n", "2:4: not valid YAML: the text behind 'b:' has a ':' in it: put it in quotes"},
		{"a byte order mark", "\ufeffa: b: c", "1:4: not valid YAML: the text behind 'a:' has a ':' in it: put it in quotes"},
		{"columns are of characters", "é: [ü, *.é]", `1:8: not valid YAML: a text that begins with '*' needs quotes, as in "*.example.com"`},
		{"a colon at the end of a text", "a: 1\nb: see below:\n", "2:4: not valid YAML: the text behind 'b:' has a ':' in it: put it in quotes"},
		{"comments and empty lines are no blocks", "a:\n  b: 1\n# c\n\n      # d\n   e: 1\n", "6:4: not valid YAML: the line is indented by 3: write 0 or 2 spaces, as in the lines above"},
		{"less than the first line", "  a: 1\nb: 2\n", "2:1: not valid YAML: the line is less indented than the first one: begin both in the same column"},
		{"a list in a list", "a: [1, [2, 3]\nb: 1\n", "1:4: not valid YAML: a ',' or ']' is missing in the list that begins here; a text with one of [ ] { } or ': ' in it needs quotes"},
		{"a comma before a comment", "a: [\n  1, # one\n  2 # two\n  'b': 3,\n]\n", "3:10: not valid YAML: a ',' or ']' is missing at the end of this line, in the list that begins on line 1"},
		{"a list that ends far away", "a: 1\nb: [\n  1,\n  2,\n\nc: 1\nd: 2\n", "6:5: not valid YAML: a ',' or ']' is missing at the end of this line, in the list that begins on line 2"},
		{"a tab in a text of lines", "a: |\n  b\n\tc\nd: 1\n", "3:1: not valid YAML: a tab stands here: indent with spaces"},
		{"a tab below a text", "a:\n  b: c\n\td: e\n", "3:1: not valid YAML: a tab stands here: indent with spaces"},
		{"a quote that is open over lines", "a: 1\nb: 'c\nd: e\n", "2:4: not valid YAML: the quote that begins here is not closed"},
		{"nothing in a list", "a: [1, , 2]\n", "1:8: not valid YAML: a value is missing before ','"},
		{"a bracket that closes nothing", "a: 1\nb: ]\n", "2:4: not valid YAML: a value is missing before ']'"},
		{"a text among keys", "a:\n  b: 1\n  c\nd: 2\n", "3:3: not valid YAML: a key has ': ' behind it, and an element of a list '- ' before it: this line has neither"},
		{"a quote in single quotes", "a: 'it's'\n", `1:8: not valid YAML: more text stands behind what ''' closes: put all of the value in quotes`},
		{"what the parser says, where there is no better word", "a: 1\n%b c\n---\n", "2:1: not valid YAML: found unknown directive name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := problemsOf(tt.text); got != tt.want {
				t.Errorf("%q has the problem\n%s\nwant\n%s", tt.text, got, tt.want)
			}
		})
	}
}

// Whichever line is indented by one too many or too few, that line is reported.
func TestSyntaxErrorsNameTheLineThatIsIndentedWrongly(t *testing.T) {
	const routes = 30
	lines := []string{"routes:"}
	for i := range routes {
		lines = append(lines, fmt.Sprintf("  - host: h%d", i), "    # a comment", "    path: /x", "", "    respond: 200")
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, "    ") || strings.Contains(line, "#") {
			continue
		}
		for _, wrong := range []string{line[1:], " " + line} {
			lines[i] = wrong
			want := fmt.Sprintf("%d:%d: not valid YAML: the line is indented by %d: write 0, 2 or 4 spaces, as in the lines above", i+1, strings.IndexAny(wrong, "pr")+1, strings.IndexAny(wrong, "pr"))
			if got := problemsOf(strings.Join(lines, "\n")); got != want {
				t.Errorf("with %q as line %d there is the problem\n%s\nwant\n%s", wrong, i+1, got, want)
			}
		}
		lines[i] = line
	}
}

// A mistake at the end of a long file is found in the time of a few readings.
func BenchmarkSyntaxError(b *testing.B) {
	text := "routes:\n" + strings.Repeat("  - host: a\n    path: /x\n    respond: 200\n", 10_000) + "   - host: b\n"
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if problemsOf(text) == "" {
			b.Fatal("there is no problem")
		}
	}
}
