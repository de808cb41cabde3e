package config

import (
	"cmp"
	"maps"
	"net/textproto"
	"slices"
	"strings"

	"sluice/config/report"
	"sluice/config/spelling"
	"sluice/internal/fieldname"
	"sluice/internal/httpsyntax"
)

// What a change to headers is made to.
const (
	onRequest  = true
	onResponse = false
)

// headers checks a change to headers of a route with these paths, and adds the content of files to what
// is set.
func (k *checker) headers(h *Headers, at report.Path, request bool, paths []string) {
	if request && k.Has(at) && !k.hasBackend(at.Parent()) {
		k.Fail(at, "no backend sees these headers: the route has none; remove the section")
	}
	set, setFile, remove := at.Key("set_headers"), at.Key("set_headers_file"), at.Key("remove_headers")
	allowed := func(name string) string {
		if strings.EqualFold(name, "Host") && !request {
			return "is a header of requests"
		}
		return owned(name)
	}
	k.headerNames(set, h.Set, allowed)
	k.headerNames(setFile, h.SetFile, allowed)
	k.headerValues(set, h.Set)
	k.variables(set, h, paths)
	seen := map[string]report.Path{} // by the folded name
	for _, name := range k.inOrder(set, h.Set) {
		seen[fieldname.Fold(name)] = set.Key(name)
	}
	for name, file := range h.SetFile {
		at := setFile.Key(name)
		if value, twice := seen[fieldname.Fold(name)]; twice {
			k.Fail(at, "%s is set to a value too, at %s", report.Quote(name), k.Where(value))
		}
		if k.resolve(at, &file); k.Good(at) {
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

// headerFile sets a header to the content of its file, which is checked as a value.
func (k *checker) headerFile(h *Headers, name string, at report.Path) {
	value, ok := k.secret(at, h.SetFile[name])
	if !ok {
		return
	}
	if !spelling.IsHeaderValue(value) {
		k.Reject(at, "is a file whose content is "+spelling.NotHeaderValue)
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

// headerNames checks the keys of a mapping of headers and that none is there twice in different
// spellings.
func (k *checker) headerNames(at report.Path, headers map[string]string, wrong func(name string) string) {
	seen := map[string]report.Path{} // by the canonical name
	for _, name := range k.inOrder(at, headers) {
		at := at.Key(name)
		if !httpsyntax.IsToken(name) {
			k.Fail(at, "%s is not a name of a header", report.Quote(name))
			continue
		}
		if wrong := wrong(name); wrong != "" {
			k.Fail(at, "%s %s", report.Quote(name), wrong)
		}
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if first, twice := seen[canonical]; twice {
			k.Fail(at, "%s is given twice, first at %s: names of headers ignore case", report.Quote(name), k.Where(first))
		}
		seen[canonical] = at
	}
}

// inOrder returns the keys of a mapping in the order of the configuration.
func (k *checker) inOrder(at report.Path, m map[string]string) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(k.Pos(at.Key(a)).Compare(k.Pos(at.Key(b))), strings.Compare(a, b))
	})
}

func (k *checker) headerValues(at report.Path, headers map[string]string) {
	for name, value := range headers {
		if at := at.Key(name); k.Good(at) && !spelling.IsHeaderValue(value) {
			k.Reject(at, "is "+spelling.NotHeaderValue)
		}
	}
}

// owned returns why only sluice decides about a header, or "". Other spellings count too, because a
// backend may take them for the header.
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
