package config

import (
	"fmt"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"sluice/internal/httpsyntax"
)

func (k *checker) routes(at path) {
	k.references(at)
	names, identities := map[string]int{}, map[string]int{} // to the line of the route
	for i := range k.config.Routes {
		r, at := &k.config.Routes[i], at.index(i)
		r.Index = i
		k.name(r, at.key("name"), names)
		k.matchers(r, at)
		k.actions(r, at)
		k.split(r, at)
		k.mirror(r, at)
		k.rewriting(r, at)
		k.headers(&r.Request, at.key("request"), onRequest)
		k.headers(&r.Response, at.key("response"), onResponse)
		k.webSocket(r, at)
		k.http(r, at)
		k.duplicate(r, at, identities)
	}
}

func (k *checker) name(r *Route, at path, lines map[string]int) {
	if !k.text(at, r.Name) {
		return
	}
	if line, twice := lines[r.Name]; twice {
		k.reject(at, "is already the name of the route at line %d", line)
		return
	}
	lines[r.Name] = r.Pos.Line
}

func (k *checker) matchers(r *Route, at path) {
	if host := at.key("host"); k.good(host) {
		var wrong string
		if r.Host, wrong = cleanHost(r.Host); wrong != "" {
			k.rejectName(host, wrong)
		}
	}
	if path := at.key("path"); k.good(path) {
		if wrong := checkPath(strings.TrimSuffix(r.Path, "/*")+"/", r.Path); wrong != "" {
			k.reject(path, "%s", wrong)
		}
	}
	k.methods(at.key("methods"), r.Methods)
	k.headerNames(at.key("headers"), r.Headers, func(name string) string {
		if strings.EqualFold(name, "Host") {
			return "is matched with the key 'host'"
		}
		return ""
	})
	k.headerValues(at.key("headers"), r.Headers)
	for name := range r.Query {
		if name == "" {
			k.fail(at.key("query").key(name), "a query parameter needs a name")
		}
	}
}

func (k *checker) methods(at path, methods []string) {
	k.list(at, methods, func(method *string) string {
		upper := strings.ToUpper(*method)
		switch {
		case !httpsyntax.IsToken(*method):
			return "is not a method"
		case *method != upper && slices.Contains(standardMethods(), upper):
			return "is not a method anyone sends: methods are case-sensitive, write " + upper
		}
		return ""
	})
}

// duplicate reports a route that matches the same requests as one before it.
func (k *checker) duplicate(r *Route, at path, lines map[string]int) {
	for _, matcher := range []string{"host", "path", "methods", "headers", "query", "protocol"} {
		if k.broken(at.key(matcher)) {
			return
		}
	}
	methods := slices.DeleteFunc(slices.Sorted(slices.Values(r.Methods)), func(m string) bool {
		return m == "HEAD" && slices.Contains(r.Methods, "GET")
	})
	headers := make(map[string]string, len(r.Headers))
	for name, value := range r.Headers {
		headers[textproto.CanonicalMIMEHeaderKey(name)] = value
	}
	identity := fmt.Sprintf("%q %q %q %q %q %q", r.Host, r.Path, methods, headers, r.Query, r.Protocol)
	if line, twice := lines[identity]; twice {
		k.fail(at, "matches the same requests as the route at line %d", line)
		return
	}
	lines[identity] = r.Pos.Line
}

func standardMethods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}
}

// checkPath returns what is wrong with the URL path p, of which only the part
// fixed may not hold a '*', or "".
func checkPath(fixed, p string) string {
	switch {
	case !strings.HasPrefix(p, "/"):
		return "does not begin with '/'"
	case strings.ContainsAny(p, "?#"):
		return "has a '?' or '#', which are no part of a path"
	case strings.Contains(fixed, "*"):
		return "has a '*' that is not a final '/*'"
	case hasControl(p):
		return "has a control character"
	}
	if _, err := url.PathUnescape(p); err != nil {
		return "has a '%' that begins no escape such as %20: write %25 for the sign itself"
	}
	return ""
}

func hasControl(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) >= 0
}
