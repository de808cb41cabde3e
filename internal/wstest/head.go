package wstest

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
)

// maxHead bounds a header section that is read into memory.
const maxHead = 1 << 20

// Head is the start line and the header section of an HTTP message, verbatim:
// in order, in the spelling of the sender, without line ends.
type Head struct {
	Start string
	Lines []string
}

// readHead reads up to and including the empty line.
func readHead(r *bufio.Reader) (Head, error) {
	var h Head
	for size := 0; ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return h, fmt.Errorf("header section after %q: %w", h.Start, unexpected(err))
		}
		if size += len(line); size > maxHead {
			return h, fmt.Errorf("header section of more than %d bytes", maxHead)
		}
		switch line = strings.TrimRight(line, "\r\n"); {
		case line == "":
			return h, nil
		case h.Start == "":
			h.Start = line
		default:
			h.Lines = append(h.Lines, line)
		}
	}
}

// Values returns the values of a header in order, its name in any case.
func (h Head) Values(name string) []string {
	var values []string
	for _, line := range h.Lines {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			values = append(values, strings.TrimSpace(v))
		}
	}
	return values
}

// Get returns the first value of a header, or "".
func (h Head) Get(name string) string {
	if v := h.Values(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// Spelled reports whether a header of exactly this spelling is there.
func (h Head) Spelled(name string) bool {
	return slices.ContainsFunc(h.Lines, func(line string) bool { return strings.HasPrefix(line, name+":") })
}

// String is the head as text, for messages.
func (h Head) String() string {
	return strings.Join(append([]string{h.Start}, h.Lines...), "\n")
}

// Handshake is a valid opening handshake for path as it goes over the wire.
// Each line adds a header or replaces the one of that name; a line without a
// value removes it.
func Handshake(path string, lines ...string) string {
	return message("GET "+path+" HTTP/1.1", []string{
		"Host: gateway.test",
		"Upgrade: websocket",
		"Connection: Upgrade",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
		"Sec-WebSocket-Version: 13",
	}, lines)
}

// message joins a start line and header lines. A line replaces those of its
// name in base, or removes them when it has no value.
func message(start string, base, lines []string) string {
	for _, line := range lines {
		base = slices.DeleteFunc(base, func(b string) bool { return strings.EqualFold(name(b), name(line)) })
	}
	var b strings.Builder
	for _, line := range append(append([]string{start}, base...), lines...) {
		if !strings.HasSuffix(line, ":") {
			b.WriteString(line + "\r\n")
		}
	}
	return b.String() + "\r\n"
}

func name(line string) string {
	n, _, _ := strings.Cut(line, ":")
	return n
}
