package route

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"sluice/internal/httpsyntax"
)

// Clean returns the one spelling of an escaped path. Matching and forwarding both use it, so that
// both always mean the same resource.
//
// The path is split at '/' before anything is decoded: an escaped slash is data, and so is a
// backslash in any form. Segments that then read "." or ".." are resolved (RFC 3986, section 5.2.4),
// never above the root; empty segments are kept. Unreserved characters are written unescaped.
// Reserved ones stay as they came, escaped or not, because the backend may take them for delimiters:
// "/a;b" and "/a%3Bb" are different paths (section 2.2). All other bytes are written as %XX, with
// upper-case digits. A clean path is returned as it is, without allocation.
//
// It is an error if the path does not start with '/', or if it has a broken escape, a NUL in any
// form or an unescaped control character.
func Clean(escaped string) (string, error) {
	if !strings.HasPrefix(escaped, "/") {
		return "", errors.New("path does not start with '/'")
	}
	if isClean(escaped) {
		return escaped, nil
	}
	clean := make([]byte, 0, len(escaped)+len("%XX"))
	for rest, more := escaped[1:], true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		end := len(clean)
		var err error
		if clean, err = appendSegment(append(clean, '/'), segment); err != nil {
			return "", err
		}
		switch string(clean[end:]) {
		case "/..":
			end = max(0, bytes.LastIndexByte(clean[:end], '/'))
			fallthrough
		case "/.":
			clean = clean[:end]
			if !more {
				clean = append(clean, '/')
			}
		}
	}
	return string(clean), nil
}

// isClean reports whether Clean has nothing to change in path.
func isClean(path string) bool {
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '/':
			if startsWithDots(path[i+1:]) {
				return false
			}
		case c == '%':
			b, ok := httpsyntax.Unescape(path[i:])
			if !ok || b == 0 || httpsyntax.IsUnreserved(b) || isLowerHex(path[i+1]) || isLowerHex(path[i+2]) {
				return false
			}
			i += len("XX")
		case !httpsyntax.IsUnreserved(c) && !isReserved(c):
			return false
		}
	}
	return true
}

// startsWithDots reports whether the first segment of path is "." or "..".
func startsWithDots(path string) bool {
	segment, _, _ := strings.Cut(path[:min(len(path), len("../"))], "/")
	return segment == "." || segment == ".."
}

// appendSegment appends one segment in its clean form.
func appendSegment(dst []byte, segment string) ([]byte, error) {
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		escaped := c == '%'
		if escaped {
			var ok bool
			if c, ok = httpsyntax.Unescape(segment[i:]); !ok {
				return dst, fmt.Errorf("path holds %q, which is not an escape: write '%%' as %%25", segment[i:min(i+len("%XX"), len(segment))])
			}
			i += len("XX")
		}
		switch {
		case c == 0:
			return dst, errors.New("path holds a NUL")
		case !escaped && (c < ' ' || c == 0x7f):
			return dst, fmt.Errorf("path holds the control character 0x%02x", c)
		case httpsyntax.IsUnreserved(c), isReserved(c) && !escaped:
			dst = append(dst, c)
		default:
			dst = httpsyntax.AppendEscape(dst, c)
		}
	}
	return dst, nil
}

// isReserved reports whether c may be a delimiter within a segment (RFC 3986, section 2.2): any
// reserved character but '/', which ends the segment, and '?' and '#', which end the path.
func isReserved(c byte) bool { return strings.IndexByte("!$&'()*+,;=:@[]", c) >= 0 }

func isLowerHex(c byte) bool { return 'a' <= c && c <= 'f' }
