package forward

import (
	"iter"
	"net/netip"
	"slices"
	"strings"

	"sluice/internal/header"
)

// proxyChain is the nodes that a request passed before the peer, as a trusted
// proxy reports them. It has the same nodes in two forms.
type proxyChain struct {
	hops        []string // for X-Forwarded-For
	elements    []string // for Forwarded
	proto, host string   // of the last element of a Forwarded header; else ""
}

// readProxyChain reads the chain from X-Forwarded-For or, without that, from
// Forwarded. It never mixes them: a proxy that writes one of them may pass the
// other on as the client sent it.
func readProxyChain(h header.Fields) (c proxyChain) {
	if c.hops = slices.Collect(h.Elements(header.XForwardedFor)); len(c.hops) > 0 {
		for _, hop := range c.hops {
			node := "unknown"
			if a, ok := address(hop); ok {
				node = nodeOf(a)
			}
			c.elements = append(c.elements, "for="+node)
		}
		return c
	}
	elements := parseForwarded(h.Values(header.Forwarded))
	for _, e := range elements {
		c.elements = append(c.elements, e.text)
		if node, ok := e.pairs["for"]; ok {
			hop := "unknown"
			if a, ok := address(node); ok {
				hop = a.String()
			}
			c.hops = append(c.hops, hop)
		}
	}
	if n := len(elements); n > 0 {
		c.proto, c.host = elements[n-1].pairs["proto"], elements[n-1].pairs["host"]
	}
	return c
}

// nodeOf returns an address as a node of Forwarded (RFC 7239, section 6).
func nodeOf(a netip.Addr) string { return string(appendNode(nil, a)) }

// appendNode appends [nodeOf].
func appendNode(b []byte, a netip.Addr) []byte {
	if a.Is6() {
		return append(a.AppendTo(append(b, `"[`...)), `]"`...)
	}
	return a.AppendTo(b)
}

// maxForwarded is the size in bytes of the longest Forwarded value that is read.
const maxForwarded = 4 << 10

// element is an element of Forwarded, which one proxy has added.
type element struct {
	text  string            // as it was received
	pairs map[string]string // unquoted values by lower-case names
}

// parseForwarded reads the elements of a Forwarded header (RFC 7239, section 4).
// It returns none if one of them is malformed: an element with an open quote would
// swallow those that were added after it. Values may lack the quotes they need.
func parseForwarded(values iter.Seq[string]) (elements []element) {
	for v := range values {
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

// unquote returns the value of a pair: s itself, or the text of the quoted-string s
// (RFC 9110, section 5.6.4). It is not ok if s is neither.
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

// splitQuoted splits s at each sep outside of quotes.
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
