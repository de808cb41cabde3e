package forward

import (
	"net/http"
	"net/netip"
	"strings"
)

// way is how a request came to the peer, as a trusted proxy tells: the same
// nodes in two forms.
type way struct {
	hops        []string // of X-Forwarded-For
	elements    []string // of Forwarded
	proto, host string   // of the last element that came in Forwarded
}

// wayOf reads the way from X-Forwarded-For, or else from Forwarded: a proxy
// that writes one of them passes the other on as anybody sent it.
func wayOf(h http.Header) (w way) {
	if w.hops = list(h["X-Forwarded-For"]); len(w.hops) > 0 {
		for _, hop := range w.hops {
			node := "unknown"
			if a, ok := address(hop); ok {
				node = nodeOf(a)
			}
			w.elements = append(w.elements, "for="+node)
		}
		return w
	}
	elements := forwarded(h["Forwarded"])
	for _, e := range elements {
		w.elements = append(w.elements, e.text)
		if node, ok := e.pairs["for"]; ok {
			hop := "unknown"
			if a, ok := address(node); ok {
				hop = a.String()
			}
			w.hops = append(w.hops, hop)
		}
	}
	if n := len(elements); n > 0 {
		w.proto, w.host = elements[n-1].pairs["proto"], elements[n-1].pairs["host"]
	}
	return w
}

// nodeOf writes an address as a node of Forwarded (RFC 7239, section 6).
func nodeOf(a netip.Addr) string {
	if a.Is6() {
		return `"[` + a.String() + `]"`
	}
	return a.String()
}

// maxForwarded bounds a Forwarded header that is read, in bytes.
const maxForwarded = 4 << 10

// element is what one proxy has added to Forwarded.
type element struct {
	text  string            // as it came
	pairs map[string]string // values, unquoted, by names in lower case
}

// forwarded reads the elements of a Forwarded header (RFC 7239, section 4), and
// none where one of them is malformed: what was added behind an open quote
// would be a part of it. Values that need quotes and have none are read too.
func forwarded(values []string) (elements []element) {
	for _, v := range values {
		if len(v) > maxForwarded {
			return nil
		}
		for text := range splitQuoted(v, ',') {
			e := element{text: strings.TrimSpace(text), pairs: make(map[string]string)}
			if e.text == "" {
				continue
			}
			for pair := range splitQuoted(e.text, ';') {
				if pair = strings.TrimSpace(pair); pair == "" {
					continue
				}
				name, value, _ := strings.Cut(pair, "=")
				name = strings.ToLower(name)
				_, twice := e.pairs[name]
				plain, ok := unquote(value)
				if !ok || twice || name == "" || !only(name, letters+"!#$%&'*+-.^_`|~") {
					return nil
				}
				e.pairs[name] = plain
			}
			elements = append(elements, e)
		}
	}
	return elements
}

// unquote returns the value of a pair: as it is, or the text of a quoted-string
// (RFC 9110, section 5.6.4).
func unquote(s string) (string, bool) {
	inner, quoted := strings.CutPrefix(s, `"`)
	if !quoted {
		return s, s != "" && !strings.ContainsAny(s, "\" \t\\=")
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		switch inner[i] {
		case '"':
			return b.String(), i == len(inner)-1
		case '\\':
			if i++; i == len(inner) {
				return "", false
			}
		}
		b.WriteByte(inner[i])
	}
	return "", false
}

// splitQuoted splits s at sep, but not inside quotes.
func splitQuoted(s string, sep byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		quoted, start := false, 0
		for i := 0; i < len(s); i++ {
			switch {
			case quoted && s[i] == '\\':
				i++
			case s[i] == '"':
				quoted = !quoted
			case s[i] == sep && !quoted:
				if !yield(s[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(s[start:])
	}
}
