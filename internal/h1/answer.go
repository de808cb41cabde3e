package h1

import (
	"strings"

	"sluice/internal/header"
)

// ParseAnswer is [ParseRequest] for the head of an answer to a request with that method.
// Lines may end with a bare LF (RFC 9112, section 2.2): in must end with an empty line of
// either kind ([EndOfAnswerHead]).
func ParseAnswer(in []byte, fields header.Fields, method string, limits Limits) (Head, *Refusal) {
	h := Head{Size: len(in), Fields: fields}
	if len(in) > limits.Size {
		return h, errAnswerSize
	}
	text := canonicalLines(string(in))
	first, rest, ok := line(text)
	if !ok || !h.statusLine(first) {
		return h, errStatusLine
	}
	var refusal *Refusal
	if h.Fields, refusal = parseFields(fields, rest, limits.Fields); refusal != nil {
		return h, errAnswerHead
	}
	return h, h.answerFraming(method)
}

// EndOfAnswerHead is [EndOfHead] for an answer, whose lines may end with a bare LF.
func EndOfAnswerHead(in []byte, seen int) int {
	for i := max(seen-3, 0); i < len(in); i++ {
		if in[i] != '\n' {
			continue
		}
		switch rest := in[i+1:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return i + 2
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return i + 3
		}
	}
	return 0
}

// canonicalLines returns s with CRLF where a line ends with a bare LF. It seldom has to
// copy.
func canonicalLines(s string) string {
	if strings.Count(s, "\n") == strings.Count(s, "\r\n") {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// statusLine reads the first line (RFC 9112, section 4). The space in front of an absent
// reason may be missing, as some servers have it.
func (h *Head) statusLine(s string) bool {
	version, rest, ok := strings.Cut(s, " ")
	if !ok || h.version(version) != nil {
		return false
	}
	code, reason, _ := strings.Cut(rest, " ")
	n, ok := parseLength(code)
	if !ok || len(code) != 3 || n < 100 || !all(reason, inValue) {
		return false
	}
	h.Status, h.Reason = int(n), reason
	return true
}

// answerFraming reads what the fields say of the body and the connection (RFC 9112,
// section 6.3).
func (h *Head) answerFraming(method string) *Refusal {
	lengths, codings := 0, 0
	var length, coding string
	var keep bool
	for i := range h.Fields {
		switch f := &h.Fields[i]; f.ID {
		case header.ContentLength:
			lengths, length = lengths+1, f.Value
		case header.TransferEncoding:
			codings, coding = codings+1, f.Value
		case header.Connection:
			h.Close = h.Close || header.ListHas(f.Value, "close")
			h.Upgrades = h.Upgrades || header.ListHas(f.Value, "upgrade")
			keep = keep || header.ListHas(f.Value, "keep-alive")
		}
	}
	h.Close = h.Close || h.Minor == 0 && !keep
	switch {
	case codings > 0 && lengths > 0:
		return errAnswerFraming
	case codings > 1 || codings == 1 && (h.Minor == 0 || !header.EqualFold(coding, "chunked")):
		return errAnswerTE
	case lengths > 1:
		return errAnswerLength
	}
	n := UntilEnd
	if lengths == 1 {
		var ok bool
		if n, ok = parseLength(length); !ok {
			return errAnswerLength
		}
	}
	switch {
	case method == "HEAD", h.Status < 200, h.Status == 204, h.Status == 304, method == "CONNECT" && h.Status < 300:
		h.Length = 0
	case codings == 1:
		h.Length = Chunks
	default:
		h.Length = n
		h.Close = h.Close || n == UntilEnd
	}
	return nil
}
