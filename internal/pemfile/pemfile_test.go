package pemfile

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// one and two are blocks with different content.
var (
	one = text("CERTIFICATE", bytes.Repeat([]byte("one"), 40))
	two = text("EC PRIVATE KEY", bytes.Repeat([]byte("two"), 40))
)

func text(kind string, content []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
}

func TestWholeFilesAreRead(t *testing.T) {
	const both = "CERTIFICATE@%d EC PRIVATE KEY@%d"
	tests := []struct{ name, in, want string }{
		{"two blocks", one + two, fmt.Sprintf(both, 1, 6)},
		{"no line break at the end", strings.TrimSuffix(one, "\n"), "CERTIFICATE@1"},
		{"byte order mark", "\ufeff" + one + two, fmt.Sprintf(both, 1, 6)},
		{"CRLF", strings.ReplaceAll(one+two, "\n", "\r\n"), fmt.Sprintf(both, 1, 6)},
		{"blanks at the ends of lines", strings.ReplaceAll(one+two, "\n", " \t\n"), fmt.Sprintf(both, 1, 6)},
		{"blanks before base64", strings.ReplaceAll(one, "\nb25", "\n  b25"), "CERTIFICATE@1"},
		{"text as openssl writes it", "Certificate:\n    Data:\n        Version: 3 (0x2)\n\n" + one +
			"Bag Attributes\n    localKeyID: 54 69 6D 65\nsubject=CN = a\n# ----- key -----\n" + two, fmt.Sprintf(both, 5, 14)},
		{"text in Latin-1", "subject=CN = r\xf6sti\n" + one, "CERTIFICATE@2"},
		{"names under lines, as in bundles of authorities", "Some Root\n" + strings.Repeat("=", 80) + "\n" + one, "CERTIFICATE@3"},
		{"headers", strings.Replace(two, "KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1), "EC PRIVATE KEY@1"},
		{"one line of base64", "-----BEGIN X-----\n" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), 200)) + "\n-----END X-----\n", "X@1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			blocks, err := Parse("f.pem", []byte(tt.in))
			var got []string
			for _, b := range blocks {
				got = append(got, fmt.Sprintf("%s@%d", b.Type, b.Line))
			}
			if s := strings.Join(got, " "); err != nil || s != tt.want {
				t.Errorf("Parse(%q) = %s, %v; want %s", tt.in, s, err, tt.want)
			}
		})
	}
}

func TestFilesReadInPartAreRefused(t *testing.T) {
	utf16 := func(s string, big bool) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			if big {
				b.WriteString("\x00" + string(rune(c)))
			} else {
				b.WriteString(string(rune(c)) + "\x00")
			}
		}
		return b.String()
	}
	body := strings.Split(one, "\n")[1]
	tests := []struct{ name, in, want string }{
		{"nothing", "", "f.pem: not a PEM file"},
		{"text", "hello\n", "f.pem: not a PEM file"},
		{"UTF-16, little end first", "\xff\xfe" + utf16(one, false), "f.pem: not a PEM file but binary or UTF-16"},
		{"UTF-16, big end first", "\xfe\xff" + utf16(one, true), "f.pem: not a PEM file but binary or UTF-16"},
		{"UTF-16 without a mark", utf16(one, false), "f.pem: not a PEM file but binary or UTF-16"},
		{"END and BEGIN on one line", strings.TrimSuffix(one, "\n") + two, "f.pem:5: the block that begins at line 1 is not ended"},
		{"no END", strings.Replace(one, "-----END CERTIFICATE-----\n", "", 1), "f.pem:1: this block has no end"},
		{"no END before the next block", strings.Replace(one, "-----END CERTIFICATE-----\n", "", 1) + two, "f.pem:5: the block that begins at line 1 is not ended"},
		{"no BEGIN", strings.Replace(one, "-----BEGIN CERTIFICATE-----\n", "", 1), "f.pem:1: this looks like a part of a block"},
		{"END of another kind", strings.Replace(one, "END CERT", "END KERT", 1), "f.pem:5: the block that begins at line 1 is not ended"},
		{"blanks before BEGIN", one + "  " + two, "f.pem:6: this is not the begin of a block"},
		{"blanks before END", strings.Replace(one, "-----END", " -----END", 1), "f.pem:5: the block that begins at line 1 is not ended"},
		{"text before BEGIN", "key: " + one, "f.pem:1: this is not the begin of a block"},
		{"a mark in the middle", one + "\ufeff" + two, "f.pem:6: this is not the begin of a block"},
		{"lower case", strings.ReplaceAll(strings.ReplaceAll(one, "BEGIN", "begin"), "END", "end"), "f.pem:1: this is not the begin of a block"},
		{"line breaks as \\n", strings.ReplaceAll(one, "\n", `\n`), "f.pem:1: this is not the begin of a block"},
		{"CR alone", strings.ReplaceAll(one, "\n", "\r"), "f.pem:1: this is not the begin of a block"},
		{"dashes of a word processor", strings.ReplaceAll(one, "-----", "–––––"), "f.pem:2: this looks like a part of a block"},
		{"a bad byte", one + strings.Replace(two, "dHd", "dH\x80", 1), "f.pem:7: not base64: the block that begins at line 6 is damaged"},
		{"a byte missing", strings.Replace(one, "b25", "b2", 1), "f.pem:5: the block that begins at line 1 is not whole"},
		{"a blank within base64", strings.Replace(one, "b25", "b 5", 1), "f.pem:2: not base64"},
		{"base64 behind its padding", "-----BEGIN X-----\nQQ==\nQUFB\n-----END X-----\n", "f.pem:3: not base64"},
		{"an empty block", "-----BEGIN X-----\n-----END X-----\n", "f.pem:2: the block that begins at line 1 is not whole"},
		{"base64 between blocks", one + body + "\n" + two, "f.pem:6: this looks like a part of a block"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			blocks, err := Parse("f.pem", []byte(tt.in))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("Parse(%q) = %d blocks, %v; want an error that starts with %q", tt.in, len(blocks), err, tt.want)
			}
		})
	}
}

// A change of one byte in a file, a byte less or one more, never makes a block
// vanish without an error.
func TestNoSingleByteMakesABlockVanish(t *testing.T) {
	whole := []byte("subject=CN = a\n" + one + two)
	check := func(damaged []byte) {
		t.Helper()
		if blocks, err := Parse("f", damaged); err == nil && len(blocks) != 2 {
			t.Fatalf("Parse(%q) = %d blocks, want 2 or an error", damaged, len(blocks))
		}
	}
	for i := range whole {
		check(append(bytes.Clone(whole[:i]), whole[i+1:]...))
		for _, c := range []byte("\n\r\t -=:A\x00\xff") {
			check(append(append(bytes.Clone(whole[:i]), c), whole[i+1:]...))
			check(append(append(bytes.Clone(whole[:i]), c), whole[i:]...))
		}
	}
}

func TestFilesThatCannotBeReadAreNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "none.pem")
	if _, err := Read(file); !os.IsNotExist(cause(err)) || !strings.HasPrefix(err.Error(), file+": ") {
		t.Errorf("Read = %v, want that %s does not exist", err, file)
	}
}

func cause(err error) error {
	if e, ok := err.(*Error); ok {
		return e.Err
	}
	return err
}

// The standard library finds exactly the same blocks in a file that is read here.
func FuzzParse(f *testing.F) {
	f.Add([]byte(one + two))
	f.Add([]byte("\ufeff" + strings.ReplaceAll(one, "\n", " \t\r\n") + "text\n" + two))
	f.Add([]byte(strings.TrimSuffix(one, "\n") + two))
	f.Add([]byte("-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\n\nQQ==\n-----END X-----"))
	f.Add([]byte("-----BEGIN A-----\n-----END A-----\n-----BEGIN A-----\nQQ==\n-----END A-----\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		blocks, err := Parse("f", in)
		if err != nil {
			return
		}
		rest := bytes.TrimPrefix(in, []byte("\ufeff"))
		for i, b := range blocks {
			var want *pem.Block
			if want, rest = pem.Decode(rest); want == nil || want.Type != b.Type || !bytes.Equal(want.Bytes, b.Bytes) || !maps.Equal(want.Headers, b.Headers) {
				t.Fatalf("block %d of %q is %v, package pem says %v", i, in, b, want)
			}
			if lines := bytes.Split(in, []byte("\n")); !bytes.Contains(lines[b.Line-1], []byte("-----BEGIN "+b.Type+"-----")) {
				t.Fatalf("block %d of %q does not begin at line %d", i, in, b.Line)
			}
		}
		if more, _ := pem.Decode(rest); more != nil {
			t.Fatalf("package pem finds %v besides in %q", more, in)
		}
		for i, line := range bytes.Split(in, []byte("\n")) {
			if bytes.Contains(line, []byte("-----BEGIN")) != anyAt(blocks, i+1) {
				t.Fatalf("line %d of %q was passed over", i+1, in)
			}
		}
	})
}

func anyAt(blocks []Block, line int) bool {
	for _, b := range blocks {
		if b.Line == line {
			return true
		}
	}
	return false
}
