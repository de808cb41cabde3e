// Package h1 is HTTP/1.1 without I/O (RFC 9112): bytes in, the head of a message or a
// refusal out, and the framing of bodies. It is strict where the RFC lets an intermediary
// be strict: what it accepts has one meaning.
package h1

import (
	"bytes"
	"strings"

	"sluice/internal/header"
)

// What a [Head] says of the length of a body, where it is no number of bytes.
const (
	Chunks   int64 = -1 // chunks follow (RFC 9112, section 7.1)
	UntilEnd int64 = -2 // the body of an answer that ends with the connection
)

// A Head is the head of a message. Its strings are parts of one string, a copy of the
// bytes that it was read from.
type Head struct {
	Method string // of a request
	Target string // of a request, as it was sent
	Host   string // of a request: from the target if that has a host, else from the Host field; "" in HTTP/1.0

	Status int    // of an answer
	Reason string // of an answer; may be ""

	Minor  int           // HTTP/1.Minor; 1 for later versions too
	Fields header.Fields // its strings are parts of the same string, except for known names
	Length int64         // of the body in bytes, or Chunks or UntilEnd
	Size   int           // of the head in bytes

	Close    bool // the connection must not be used for another message
	Expects  bool // the client waits for a 100 before it sends the body
	Upgrades bool // Connection names upgrade
}

// Limits bound a head.
type Limits struct {
	Size   int // bytes, all of it
	Fields int // lines of fields
}

// EndOfHead returns the length of the head that in begins with, or 0 if its end has not
// come. The first seen bytes of in were searched before.
func EndOfHead(in []byte, seen int) int {
	from := max(seen-3, 0)
	if i := bytes.Index(in[from:], []byte("\r\n\r\n")); i >= 0 {
		return from + i + 4
	}
	return 0
}

// line cuts the first line off s, which is a head. The line must end with CRLF; a CR or
// LF elsewhere is no part of any line.
func line(s string) (first, rest string, ok bool) {
	i := strings.IndexByte(s, '\n')
	if i < 1 || s[i-1] != '\r' {
		return "", "", false
	}
	return s[:i-1], s[i+1:], true
}

// parseField reads one line of a field.
func parseField(text string) (header.Field, *Refusal) {
	if text[0] == ' ' || text[0] == '\t' {
		return header.Field{}, errFold
	}
	name, value, ok := strings.Cut(text, ":")
	if !ok || name == "" || !all(name, inToken) { // white space in front of the colon too
		return header.Field{}, errName
	}
	if value = header.Trim(value); !isValue(value) {
		return header.Field{}, errValue
	}
	f := header.Field{Name: name, Value: value, ID: header.Lookup(name)}
	if f.ID != header.Other {
		f.Name = f.ID.String()
	}
	return f, nil
}

// parseFields appends the fields in s, which ends with an empty line, to fields.
func parseFields(fields header.Fields, s string, most int) (header.Fields, *Refusal) {
	if fields == nil {
		fields = make(header.Fields, 0, min(strings.Count(s, "\n"), most))
	}
	for {
		text, rest, ok := line(s)
		switch {
		case !ok:
			return fields, errLineEnd
		case text == "":
			return fields, nil
		case len(fields) == most:
			return fields, errFields
		}
		f, refusal := parseField(text)
		if refusal != nil {
			return fields, refusal
		}
		fields = append(fields, f)
		s = rest
	}
}

// parseLength reads a Content-Length: digits alone (RFC 9110, section 8.6).
func parseLength(s string) (n int64, ok bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int64(s[i]-'0')
	}
	return n, true
}
