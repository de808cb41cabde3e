package h1

import (
	"bytes"
	"strings"

	"sluice/internal/header"
)

// ParseRequest reads the head of a request from in, which ends with it ([EndOfHead]). The
// fields are appended to fields, an empty slice whose memory is used again.
//
// The error is a *Refusal. After it nothing is known of where the next request begins:
// the connection has to be closed.
func ParseRequest(in []byte, fields header.Fields, limits Limits) (Head, *Refusal) {
	h := Head{Size: len(in), Fields: fields}
	rest, refusal := h.start(string(in), limits)
	switch {
	case refusal != nil:
		return h, refusal
	case len(in) > limits.Size:
		return h, errHeadSize
	}
	if h.Fields, refusal = parseFields(fields, rest, limits.Fields); refusal != nil {
		return h, refusal
	}
	return h, h.requestFraming()
}

// TooLarge returns why in, the beginning of a request whose end has not come within the limit,
// is refused: for its first line, as [ParseRequest] would, else for its size.
func TooLarge(in []byte, limits Limits) *Refusal {
	if bytes.IndexByte(in, '\n') < 0 {
		return errTargetSize
	}
	if _, refusal := new(Head).start(string(in), limits); refusal != nil {
		return refusal
	}
	return errHeadSize
}

// start reads what comes before the fields, and returns what comes after it.
func (h *Head) start(text string, limits Limits) (rest string, refusal *Refusal) {
	for strings.HasPrefix(text, "\r\n") { // RFC 9112, section 2.2
		text = text[2:]
	}
	first, rest, ok := line(text)
	if !ok {
		return "", errLineEnd
	}
	if refusal := h.requestLine(first); refusal != nil {
		return "", refusal
	}
	if len(h.Target) > limits.Size {
		return "", errTargetSize
	}
	return rest, nil
}

// requestLine reads the first line (RFC 9112, section 3).
func (h *Head) requestLine(s string) *Refusal {
	method, rest, ok := strings.Cut(s, " ")
	if !ok {
		return errStartLine
	}
	target, version, ok := strings.Cut(rest, " ")
	if !ok {
		return errStartLine
	}
	h.Method, h.Target = method, target
	switch {
	case method == "" || !all(method, inToken):
		return errMethod
	case target == "" || !all(target, inTarget):
		return errTarget
	case s == "PRI * HTTP/2.0": // RFC 9113, section 3.4
		return errPreface
	}
	return h.version(version)
}

// version reads the name of a version (RFC 9112, section 2.3). A later minor version is
// taken for 1.1.
func (h *Head) version(s string) *Refusal {
	digits, ok := strings.CutPrefix(s, "HTTP/")
	if !ok || len(digits) != 3 || digits[1] != '.' || digits[0] < '0' || digits[0] > '9' || digits[2] < '0' || digits[2] > '9' {
		return errStartLine
	}
	if digits[0] != '1' {
		return errVersion
	}
	h.Minor = min(int(digits[2]-'0'), 1)
	return nil
}

// requestFraming reads what the fields say of the host, the body and the connection.
func (h *Head) requestFraming() *Refusal {
	hosts, lengths, codings := 0, 0, 0
	var host, length, coding string
	var keep bool
	for i := range h.Fields {
		switch f := &h.Fields[i]; f.ID {
		case header.Host:
			hosts, host = hosts+1, f.Value
		case header.ContentLength:
			lengths, length = lengths+1, f.Value
		case header.TransferEncoding:
			codings, coding = codings+1, f.Value
		case header.Connection:
			h.Close = h.Close || header.ListHas(f.Value, "close")
			h.Upgrades = h.Upgrades || header.ListHas(f.Value, "upgrade")
			keep = keep || header.ListHas(f.Value, "keep-alive")
		case header.Expect:
			if !header.EqualFold(f.Value, "100-continue") {
				return errExpect
			}
			h.Expects = h.Minor > 0
		}
	}
	h.Close = h.Close || h.Minor == 0 && !keep
	if refusal := h.setHost(hosts, host); refusal != nil {
		return refusal
	}
	switch {
	case codings > 0 && h.Minor == 0:
		return errTEOld
	case codings > 0 && lengths > 0:
		return errLengthTE
	case codings > 1 || codings == 1 && (!header.EqualFold(coding, "chunked")):
		return errTE
	case codings == 1:
		h.Length = Chunks
	case lengths > 1:
		return errLength
	case lengths == 1:
		var ok bool
		if h.Length, ok = parseLength(length); !ok {
			return errLength
		}
	}
	h.Expects = h.Expects && h.Length != 0
	return nil
}

// setHost checks the Host field (RFC 9112, section 3.2) and finds the host of the request.
func (h *Head) setHost(n int, host string) *Refusal {
	switch {
	case n > 1:
		return errHostSeveral
	case n == 0 && h.Minor > 0:
		return errHostMissing
	case host == "" && h.Minor > 0 || !all(host, inHost):
		return errHost
	}
	h.Host = host
	if h.Target[0] == '/' || h.Target == "*" {
		return nil
	}
	if h.Method == "CONNECT" {
		return nil // whose target is a host and a port
	}
	authority, ok := authorityOf(h.Target)
	if !ok {
		return errTarget
	}
	h.Host = authority // RFC 9112, section 3.2.2
	return nil
}

// authorityOf returns the host and port of a target in absolute form, without user
// information, which such a target must not have (RFC 9110, section 4.2.4).
func authorityOf(target string) (authority string, ok bool) {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !isHTTP(scheme) {
		return "", false
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return rest, rest != "" && all(rest, inHost)
}

func isHTTP(scheme string) bool {
	return header.EqualFold(scheme, "http") || header.EqualFold(scheme, "https")
}
