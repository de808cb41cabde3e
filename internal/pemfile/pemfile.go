// Package pemfile reads PEM files (RFC 7468) whole or not at all. The decoder
// of the standard library skips what it cannot read, so a damaged block is
// missing without an error: from revocation lists, from authorities, from a
// chain. Here it is an error that names the line.
package pemfile

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
)

// Block is a block of a file.
type Block struct {
	pem.Block
	Line int // the line of its BEGIN, counted from 1

	file string // for Errorf
}

// Errorf returns an [Error] about the block.
func (b *Block) Errorf(format string, args ...any) error {
	return &Error{File: b.file, Line: b.Line, Err: fmt.Errorf(format, args...)}
}

// Error is a mistake in a file.
type Error struct {
	File string
	Line int // 0 for a mistake of the whole file
	Err  error
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ReadFile is [os.ReadFile], whose error it returns as an [*Error].
func ReadFile(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err == nil {
		return text, nil
	}
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return nil, &Error{File: file, Err: err}
}

// Read returns the blocks of a file, at least one. Its errors are those of [Parse].
func Read(file string) ([]Block, error) {
	text, err := ReadFile(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, text)
}

// Parse returns the blocks of text, at least one. File is the name for errors.
// Between blocks there may be other text, as OpenSSL writes it, unless it looks
// like a part of a block. Lines may end in CRLF or in blanks, and a UTF-8 byte
// order mark may come first. Everything else is an [*Error].
func Parse(file string, text []byte) ([]Block, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if bytes.IndexByte(text, 0) >= 0 || bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil, &Error{File: file, Err: errors.New("not a PEM file but binary or UTF-16: convert it, or save it as ASCII or UTF-8")}
	}
	p := parser{file: file}
	for line := range bytes.Lines(text) {
		p.number++
		line = bytes.TrimSuffix(line, []byte("\n"))
		line = bytes.TrimRight(bytes.TrimSuffix(line, []byte("\r")), " \t")
		if wrong := p.line(string(line)); wrong != "" {
			return nil, &Error{File: file, Line: p.number, Err: errors.New(wrong)}
		}
	}
	switch {
	case p.open != nil:
		return nil, p.open.Errorf("this block has no end: the file is cut, or its line %q is damaged or missing", end(p.open.Type))
	case p.blocks == nil:
		return nil, &Error{File: file, Err: errors.New("not a PEM file: it has no line such as '-----BEGIN CERTIFICATE-----'")}
	}
	return p.blocks, nil
}

// parser reads a file line by line.
type parser struct {
	file   string
	number int             // of the line
	blocks []Block         // those that have ended
	open   *Block          // the block that has begun and not ended; nil between blocks
	body   strings.Builder // the base64 of open so far
}

var (
	begins = regexp.MustCompile(`^-----BEGIN ([!-,.-~]+(?:[ -][!-,.-~]+)*)-----$`)
	header = regexp.MustCompile(`^([A-Za-z0-9-]+): (.*)$`)
	base   = regexp.MustCompile(`^[A-Za-z0-9+/]*={0,2}$`)
)

// widest is the length of a full line of base64 (RFC 7468, section 2). A line of
// at least this length that is all base64 is a part of a block, not other text.
const widest = 64

// end returns the last line of a block.
func end(kind string) string { return "-----END " + kind + "-----" }

// line reads the next line, which has no blanks at its end. It returns what is
// wrong with it, or "".
func (p *parser) line(s string) string {
	begin := begins.FindStringSubmatch(s)
	switch {
	case p.open == nil && begin != nil:
		p.open = &Block{Block: pem.Block{Type: begin[1], Headers: make(map[string]string)}, Line: p.number, file: p.file}
		p.body.Reset()
	case p.open == nil:
		return outside(s)
	case s == end(p.open.Type):
		return p.close()
	case begin != nil || marked(s):
		return fmt.Sprintf("the block that begins at line %d is not ended: a line %q, alone and without blanks before it, is missing above or is what this line should be", p.open.Line, end(p.open.Type))
	default:
		return p.inside(s)
	}
	return ""
}

// outside returns what is wrong with a line between blocks, or "".
func outside(s string) string {
	switch {
	case marked(s):
		return "this is not the begin of a block: '-----BEGIN ...-----' and '-----END ...-----' stand in pairs, each alone on its line, without blanks before it"
	case len(s) >= widest && base.MatchString(strings.TrimLeft(s, " \t")):
		return "this looks like a part of a block that has no '-----BEGIN ...-----' line before it: restore the line, or remove what is left of the block"
	}
	return ""
}

// marked reports whether a line looks like the begin or end of a block.
func marked(s string) bool {
	s = strings.ToUpper(s)
	return strings.Contains(s, "-----BEGIN") || strings.Contains(s, "-----END")
}

// inside reads a line of the open block, and returns what is wrong with it, or "".
func (p *parser) inside(s string) string {
	if h := header.FindStringSubmatch(s); h != nil && p.body.Len() == 0 {
		p.open.Headers[h[1]] = strings.TrimSpace(h[2])
		return ""
	}
	s = strings.TrimLeft(s, " \t")
	if !base.MatchString(s) || s != "" && strings.HasSuffix(p.body.String(), "=") {
		return fmt.Sprintf("not base64: the block that begins at line %d is damaged; restore it from where it came from", p.open.Line)
	}
	p.body.WriteString(s)
	return ""
}

// close ends the open block, and returns what is wrong with it, or "".
func (p *parser) close() string {
	content, err := base64.StdEncoding.DecodeString(p.body.String())
	if err != nil || len(content) == 0 {
		return fmt.Sprintf("the block that begins at line %d is not whole: its base64 is cut; restore it from where it came from", p.open.Line)
	}
	p.open.Bytes = content
	p.blocks = append(p.blocks, *p.open)
	p.open = nil
	return ""
}
