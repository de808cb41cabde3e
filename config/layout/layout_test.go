package layout

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"sluice/config/decode"
	"sluice/config/report"
)

// layouts are texts and their normal form, "" where they are in it.
var layouts = []struct{ name, text, want string }{
	// Lines.
	{name: "nothing"},
	{name: "comments alone", text: "# a\n\n  # b", want: "# a\n\n# b\n"},
	{name: "normal form", text: "# a\na: 1\n\nb:\n  c: 2 # d\n"},
	{name: "no line break at the end", text: "a: 1", want: "a: 1\n"},
	{name: "line breaks of Windows", text: "a: 1\r\nb: |\r\n  c\r\n\r\n  d\r\n", want: "a: 1\nb: |\n  c\n\n  d\n"},
	{name: "byte order mark", text: "\ufeffa: 1\n", want: "a: 1\n"},
	{name: "many empty lines", text: "\n\na: 1\n\n\n\nb: 2\n\n", want: "a: 1\n\nb: 2\n"},
	{name: "empty line inside an element", text: "a:\n\n  b", want: "a: b\n"},
	{name: "empty line behind a dash", text: "a:\n  -\n\n    b: c\n  - d\n", want: "a:\n  - b: c\n  - d\n"},
	{name: "blanks and tabs at ends", text: "a: 1 \t\n \t\nb: 2\t# c \t\n", want: "a: 1\n\nb: 2 # c\n"},
	{name: "begin of a document", text: "# a\n---\nb: 1\n...\n# c\n", want: "# a\n---\nb: 1\n# c\n"},
	{name: "two ends of a document", text: "a: 1\n...\n# b\n...\n", want: "a: 1\n# b\n"},
	{name: "begin with a comment", text: "--- # a\nb: 1\n"},

	// Indentation.
	{name: "by four", text: "a:\n    b:\n        c: 1\n    d:\n        - e\n        -   f: 2\n            g: 3\n", want: "a:\n  b:\n    c: 1\n  d:\n    - e\n    - f: 2\n      g: 3\n"},
	{name: "lists at their keys", text: "a:\n- b\n- c: 1\n  d: 2\n", want: "a:\n  - b\n  - c: 1\n    d: 2\n"},
	{name: "root that is indented", text: "  a: 1\n  b: 2\n", want: "a: 1\nb: 2\n"},
	{name: "list in a list", text: "a:\n  -   - b\n      - c\n  - - d: 1\n      e: 2\n", want: "a:\n  - - b\n    - c\n  - - d: 1\n      e: 2\n"},
	{name: "value on a line of its own", text: "a:\n  b\nc:\n    'd'\n", want: "a: b\nc: d\n"},
	{name: "text over lines", text: "a: b\n  c\n\n  d\ne: 'f\n  g'\nh: \"i\\\n  j\"\n", want: "a: \"b c\\nd\"\ne: f g\nh: ij\n"},
	{name: "explicit key", text: "? a\n: 1\n? b\n", want: "a: 1\nb:\n"},
	{name: "explicit key with nothing behind it, before one that begins with a colon", text: "? a\n::b: 1\n? c\n:: 2\n", want: "a:\n::b: 1\nc:\n\":\": 2\n"},
	{name: "explicit key that would be a marker", text: "? --- a\n: 1\n? ... b\n: 2\n", want: "\"--- a\": 1\n\"... b\": 2\n"},
	{name: "explicit keys as blocks", text: "? >\n a\n:\n  ? |2\n     b\n  : 1\n", want: "\"a\\n\":\n  \" b\\n\": 1\n"},
	{name: "blanks at colons and dashes", text: "a :   1\nb:\n  -    c\n", want: "a: 1\nb:\n  - c\n"},

	// Comments.
	{name: "comment above a key", text: "a:\n      # b\n    c: 1\n  # d\n    e: 2\n", want: "a:\n  # b\n  c: 1\n  # d\n  e: 2\n"},
	{name: "comment at the end of a section", text: "a:\n    b:\n        c: 1\n        # d\n    # e\n# f\ng: 1\n# h\n", want: "a:\n  b:\n    c: 1\n    # d\n  # e\n# f\ng: 1\n# h\n"},
	{name: "comment at the end of the last section", text: "a:\n    b: 1\n    # c\n", want: "a:\n  b: 1\n  # c\n"},
	{name: "comment above the key after a list", text: "a:\n- b\n# c\nd: 1\n", want: "a:\n  - b\n# c\nd: 1\n"},
	{name: "comments behind values stay in their columns", text: "a:\n    b: 1      # c\n    ddddd: 2  # e\n    f: 3# g\n    h: 4# i # j\n", want: "a:\n  b: 1        # c\n  ddddd: 2    # e\n  f: 3# g\n  h: 4# i   # j\n"},
	{name: "comment that has to move", text: "a: \"b\tc\" # d\n", want: "a: \"b\\tc\" # d\n"},
	{name: "comment between a key and its value", text: "a: # b\n  c\nd:\n  # e\n  f\ng: # h\n  i: 1\n"},
	{name: "comment behind a dash", text: "a:\n  - # b\n    c: 1\n  -   # d\n      e\n", want: "a:\n  - # b\n    c: 1\n  -   # d\n    e\n"},
	{name: "comment on a line between a dash and its value", text: "a:\n  -\n    # b\n    c: 1\n"},
	{name: "no comments", text: "a: b#c\nd: \"# e\"\nf: \"# g\"\nh: |\n  # i\nj: [k#l]\n"},
	{name: "commented out", text: "a:\n  b: 1\n  # c:\n  #   d: 2\n\n  # e: 3\nf: 4\n"},

	// Flow and block.
	{name: "brackets and braces", text: "a: [b,c , d]\ne: {f: 1,g: [ h ], i: {}}\nj: [ ]\nk: {\"l\":1}\n", want: "a: [b, c, d]\ne: { f: 1, g: [h], i: {} }\nj: []\nk: { l: 1 }\n"},
	{name: "keys without values", text: "a: {b,c: }\nd:\n  - {e}\nf: {g:}\n", want: "a: { b, c }\nd:\n  - { e }\nf: { \"g:\" }\n"},
	{name: "comma at the end", text: "a: [b,]\nc: {d: 1,}\n", want: "a: [b]\nc: { d: 1 }\n"},
	{name: "pair in brackets", text: "a: [b: 1, c]\n", want: "a: [{ b: 1 }, c]\n"},
	{name: "brackets over lines", text: "a: [b, # c\n  # d\n  e,\n  # f\n]   # g\nh: 1\n", want: "a:\n  - b  # c\n  # d\n  - e\n  # f\n  # g\nh: 1\n"},
	{name: "braces over lines", text: "a: {\n    b: 1,\n    c: { d: [1,2],\n         e: 3 }\n  }\nf: { # g\n}\n", want: "a:\n  b: 1\n  c:\n    d: [1, 2]\n    e: 3\nf: {} # g\n"},
	{name: "braces over lines in a list", text: "a:\n  - {b: 1,\n     c: 2}\n  - [d,\n     e]\n", want: "a:\n  - b: 1\n    c: 2\n  - - d\n    - e\n"},

	// Quotes.
	{name: "quotes that are not needed", text: "\"a\": 'b'\nc: [\"d\", 'e f']\ng: \"/x/*\"\nh: \"https://*.i\"\nj: \"5%/min\"\nk: \"a:1\"\nl: \"fe80::1\"\nm: \"äö\"\n", want: "a: b\nc: [d, e f]\ng: /x/*\nh: https://*.i\nj: 5%/min\nk: a:1\nl: fe80::1\nm: äö\n"},
	{name: "quotes that are needed", text: "a: \"1.2\"\nb: \"0660\"\nc: \"true\"\nd: \"yes\"\ne: \"off\"\nf: \"\"\ng: \"null\"\nh: \"2026-11-27\"\ni: \"12:30\"\nj: \":80\"\nk: \"::1\"\nl: \"*\"\nm: \"a: b\"\nn: \"a #b\"\no: \"a, b\"\np: \" a\"\nq: \"1e3\"\nr: \"0x1\"\ns: \"-\"\nt: \"${A}\"\nu: \"a:\"\nv: \"<<\"\nw: \"404\"\n"},
	{name: "one kind of quotes", text: "a: '1'\nb: 'it''s: 2'\nc: \"\\\"d\\\": e\"\nf: \"g\\\\: h\"\ni: '\"'\n", want: "a: \"1\"\nb: \"it's: 2\"\nc: '\"d\": e'\nf: 'g\\: h'\ni: '\"'\n"},
	{name: "escapes", text: "a: \"b\\nc\"\nd: \"\\x65\"\nf: \"\\u200b\\U0001f600\\e\"\ng: \"\\t\\\"\"\n", want: "a: \"b\\nc\"\nd: e\nf: \"\\u200b😀\\x1b\"\ng: \"\\t\\\"\"\n"},
	{name: "words without quotes stay as they are", text: "a: yes\nb: off\nc: ~\nd: 0660\ne: 1_000\nf: null\ng:\nh: it's\n"},

	// Text in lines.
	{name: "lines", text: "a: |\n      b\n       c\n\n      d\ne: >-\n     f\n     g\n", want: "a: |\n  b\n   c\n\n  d\ne: >-\n  f\n  g\n"},
	{name: "lines in a list", text: "a:\n- |\n  b\n-   c: |+\n      d\n\n    e: 1\n", want: "a:\n  - |\n    b\n  - c: |+\n      d\n\n    e: 1\n"},
	{name: "lines that begin with blanks", text: "a: |2\n    b\n   c\nd: |1-\n   e\n  f\n", want: "a: |2\n    b\n   c\nd: |2-\n    e\n   f\n"},
	{name: "lines of blanks", text: "a: |\n  b\n     \n  c  \nd: 1\n", want: "a: |\n  b\n     \n  c  \nd: 1\n"},
	{name: "lines with a comment", text: "a: |-   # b\n  c\n# d\ne: 1\n"},
	{name: "comment right of lines", text: "a:\n    b: |\n            c\n        # d\n    e: 1\n", want: "a:\n  b: |\n    c\n  # d\n  e: 1\n"},
	{name: "lines up to the end", text: "a: |\n  b", want: "a: |-\n  b\n"},
	{name: "empty lines at the end of lines", text: "a: |\n  b\n\n\nc: |+\n  d\n\n\n", want: "a: |\n  b\n\nc: |+\n  d\n\n\n"},
	{name: "blanks up to the end", text: "a: |+\n ", want: "a: |+\n"},
	{name: "no lines", text: "a: |\nb: >-\n\nc: 1\n", want: "a: |\nb: >-\n\nc: 1\n"},

	// Anchors.
	{name: "anchors", text: "a: &b\n    c: 1\nd: *b\ne: &f [1,2]\ng: [*f, &h i]\nj: &k 'l'\n", want: "a: &b\n  c: 1\nd: *b\ne: &f [1, 2]\ng: [*f, &h i]\nj: &k l\n"},
	{name: "anchors of elements", text: "a:\n  - &b\n    c: 1\n  - &d e\n  - &f g: 1\n  - *b\n"},
	{name: "anchor and a comment", text: "a: &b # c\n  d: 1\ne: &f\n  # g\n  h\n", want: ""},
	{name: "anchor of nothing", text: "a: &b\nc: *b\n"},
	{name: "alias as a key", text: "a: &b c\n*b : 1\n"},
	{name: "merge key", text: "a: &b { c: 1 }\nd:\n  <<: *b\n"},
}

func TestFormat(t *testing.T) {
	for _, tt := range layouts {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.want
			if want == "" {
				want = tt.text
			}
			got, err := Format("f", []byte(tt.text))
			if err != nil || string(got) != want {
				t.Fatalf("Format(%q) = %v\n%s\nwant\n%s", tt.text, err, got, want)
			}
			check(t, tt.text, string(got))
		})
	}
}

func TestFormatRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{name: "no YAML", text: "a: 1\nb: [\n", want: "f:2:4: not valid YAML: '[' is not closed"},
		{name: "tab", text: "a:\n\tb: 1\n", want: "f:2:1: not valid YAML: a tab stands here: indent with spaces"},
		{name: "two documents", text: "a: 1\n---\nb: 2\n", want: "f:2:1: a second document starts here: put everything into one"},
		{name: "tag", text: "a: !!str 1\n", want: "f:1:4: the tag !!str means nothing here: remove it"},
		{name: "list", text: "- a\n", want: "f:1:1: a configuration is a mapping of keys to values"},
		{name: "JSON", text: "{\"a\": 1}\n", want: "f:1:1: the file is written as JSON, in braces: it has another form, which tools for JSON know"},
		{name: "list as a key", text: "? [a]\n: 1\n", want: "f:1:3: a key must be a single value"},
		{name: "directive", text: "%YAML 1.1\n---\na: 1\n", want: "f:1:1: what stands here is not understood: this file cannot be laid out"},
		{name: "another line break", text: "a: 1\nb: \u2028\n", want: "f:2:4: the character U+2028 ends a line for some programs and not for others: write a line feed, or an escape in double quotes"},
		{name: "long key", text: "? " + strings.Repeat("a", 251) + "\n: 1\n", want: "f:1:3: a key is longer than 250 bytes"},
		{name: "byte order mark in the file", text: "a: 1\n\ufeffb: 2\n", want: "f:2:1: a byte order mark stands here, which is seen nowhere: remove it, or write an escape in double quotes"},
		{name: "two byte order marks", text: "\ufeff\ufeffa: 1\n", want: "f:1:1: a byte order mark stands here, which is seen nowhere: remove it, or write an escape in double quotes"},
		{name: "carriage return alone", text: "a: 1\rb: 2\n", want: "f:1:5: the character U+000D ends a line for some programs and not for others: write a line feed, or an escape in double quotes"},
		{name: "not text", text: "a: \xff\n", want: "f:1:4: the file is not plain UTF-8 text: found byte 0xff; save it as UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := Format("f", []byte(tt.text)); err == nil || err.Error() != tt.want {
				t.Errorf("Format(%q) = %q, %v; want %s", tt.text, got, err, tt.want)
			}
		})
	}
}

// check fails the test unless want is the normal form of a text by the laws of [Format], which are
// looked at by other means than it has.
func check(t *testing.T, text, form string) {
	t.Helper()
	again, err := Format("f", []byte(form))
	if err != nil || string(again) != form {
		t.Fatalf("the normal form of %q is\n%s\nand that of this, %v,\n%s", text, form, err, again)
	}
	if got, want := read(t, form), read(t, text); !same(got, want) {
		t.Fatalf("%q means something else than its normal form\n%s", text, form)
	}
	for _, c := range commentsOf(read(t, text)) {
		if !strings.Contains(form, c) {
			t.Fatalf("the normal form of %q has lost the comment %q:\n%s", text, c, form)
		}
	}
}

func read(t *testing.T, text string) *yaml.Node {
	t.Helper()
	n, ok := decode.Document(report.OfFile("f"), "", []byte(strings.ReplaceAll(text, "\r\n", "\n")))
	if !ok {
		t.Fatalf("%q cannot be read", text)
	}
	return n
}

// same reports whether two nodes are the same through all aliases, and so for all readers.
func same(a, b *yaml.Node) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.Kind == yaml.AliasNode && b.Kind == yaml.AliasNode {
		return same(a.Alias, b.Alias)
	}
	if a.Kind != b.Kind || a.ShortTag() != b.ShortTag() || a.Value != b.Value || len(a.Content) != len(b.Content) {
		return false
	}
	for i := range a.Content {
		if !same(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}

// commentsOf returns the lines of comments that the parser has found.
func commentsOf(n *yaml.Node) (all []string) {
	if n == nil {
		return nil
	}
	for _, text := range []string{n.HeadComment, n.LineComment, n.FootComment} {
		for line := range strings.SplitSeq(text, "\n") {
			if line = strings.TrimSpace(line); line != "" {
				all = append(all, line)
			}
		}
	}
	for _, child := range n.Content {
		all = append(all, commentsOf(child)...)
	}
	return all
}

func TestTheExampleIsInNormalForm(t *testing.T) {
	text, err := os.ReadFile("../../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if form, err := Format("config.example.yaml", text); err != nil || string(form) != string(text) {
		t.Errorf("config.example.yaml is not in normal form (%v): lay it out with 'sluice fmt'", err)
	}
}

// FuzzFormat: what is laid out means the same and is laid out, and what can be read and is made of
// nothing that is refused on purpose can be laid out.
func FuzzFormat(f *testing.F) {
	for _, tt := range layouts {
		f.Add(tt.text)
	}
	text, err := os.ReadFile("../../config.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	strange := regexp.MustCompile(`(?m)^%|!`) // directives, and the tag ! of which the parser says nothing
	f.Fuzz(func(t *testing.T, text string) {
		form, err := Format("f", []byte(text))
		switch {
		case err == nil:
			check(t, text, string(form))
		case strings.Contains(err.Error(), "cannot be laid out") && !strange.MatchString(text) && read(t, text) != nil:
			t.Fatalf("Format(%q) = %v", text, err)
		}
	})
}

func BenchmarkFormat(b *testing.B) {
	text, err := os.ReadFile("../../config.example.yaml")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Format("f", text); err != nil {
			b.Fatal(err)
		}
	}
}
