package config

import (
	"maps"
	"net/textproto"
	"slices"
	"strings"

	"sluice/internal/fieldname"
	"sluice/internal/httpsyntax"
)

// Which headers a change is for.
const (
	onRequest  = true
	onResponse = false
)

// headers checks a change to headers and merges the content of files into what
// is set.
func (k *checker) headers(h *Headers, at path, request bool) {
	if request && k.has(at) && !k.hasBackend(at.parent()) {
		k.fail(at, "no backend sees these headers: the route has none; remove the section")
	}
	set, setFile, remove := at.key("set_headers"), at.key("set_headers_file"), at.key("remove_headers")
	allowed := func(name string) string {
		if strings.EqualFold(name, "Host") && !request {
			return "is a header of requests"
		}
		return owned(name)
	}
	k.headerNames(set, h.Set, allowed)
	k.headerNames(setFile, h.SetFile, allowed)
	k.headerValues(set, h.Set)
	k.variables(set, h.Set)
	lines := map[string]int{}
	for name := range h.Set {
		lines[fieldname.Fold(name)] = k.pos(set.key(name)).Line
	}
	for name, file := range h.SetFile {
		at := setFile.key(name)
		if line, twice := lines[fieldname.Fold(name)]; twice {
			k.fail(at, "%s is set to a value too, at line %d", quote(name), line)
		}
		if k.resolve(at, &file); k.good(at) {
			h.SetFile[name] = file
			k.headerFile(h, name, at)
		}
	}
	k.list(remove, h.Remove, func(name *string) string {
		switch {
		case !httpsyntax.IsToken(*name):
			return "is not a name of a header"
		case strings.EqualFold(*name, "Host"):
			return "cannot be removed: requests need it, answers lack it"
		}
		return owned(*name)
	})
}

// headerFile sets a header to the content of its file.
func (k *checker) headerFile(h *Headers, name string, at path) {
	value, ok := k.secret(at, h.SetFile[name])
	if !ok {
		return
	}
	if !isHeaderValue(value) {
		k.reject(at, "is a file whose content is "+notHeaderValue)
		return
	}
	if h.Set == nil {
		h.Set = map[string]string{}
	}
	if h.FromFile == nil {
		h.FromFile = map[string]bool{}
	}
	h.Set[name], h.FromFile[name] = value, true
}

// headerNames checks the keys of a mapping of headers and that none comes twice
// in different spellings.
func (k *checker) headerNames(at path, headers map[string]string, wrong func(name string) string) {
	inOrder := func(a, b string) int { return k.pos(at.key(a)).compare(k.pos(at.key(b))) }
	names := slices.SortedFunc(maps.Keys(headers), inOrder)
	lines := map[string]int{}
	for _, name := range names {
		at := at.key(name)
		if !httpsyntax.IsToken(name) {
			k.fail(at, "%s is not a name of a header", quote(name))
			continue
		}
		if wrong := wrong(name); wrong != "" {
			k.fail(at, "%s %s", quote(name), wrong)
		}
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if line, twice := lines[canonical]; twice {
			k.fail(at, "%s is given twice, first at line %d: names of headers ignore case", quote(name), line)
		}
		lines[canonical] = k.pos(at).Line
	}
}

func (k *checker) headerValues(at path, headers map[string]string) {
	for name, value := range headers {
		if at := at.key(name); k.good(at) && !isHeaderValue(value) {
			k.reject(at, "is "+notHeaderValue)
		}
	}
}

// owned says why sluice alone decides about a header, or "". A backend may take
// another spelling for it too.
func owned(name string) string {
	switch folded := fieldname.Fold(name); folded {
	case "connection", "upgrade", "transfer-encoding", "content-length", "te", "trailer", "keep-alive", "proxy-connection":
		return "belongs to the connection: sluice sets it itself"
	default:
		if strings.HasPrefix(folded, "sec-websocket-") {
			return "belongs to the WebSocket handshake: sluice sets it itself"
		}
	}
	return ""
}

const notHeaderValue = "not a value for a header: it has a line break, another control character or a space at an end"

// isHeaderValue tells whether s can be the value of a header (RFC 9110, section
// 5.5): no control character but the tab, no space at its ends.
func isHeaderValue(s string) bool {
	return !hasControl(strings.ReplaceAll(s, "\t", " ")) && strings.Trim(s, " \t") == s
}
