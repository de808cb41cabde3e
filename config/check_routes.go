package config

import (
	"io/fs"
	"net/url"
	"slices"
	"strings"

	"sluice/config/report"
	"sluice/config/spelling"
)

func (k *checker) routes(at report.Path) {
	k.references(at)
	names := map[string]report.Path{} // of routes
	for i := range k.config.Routes {
		r, at := &k.config.Routes[i], at.Index(i)
		r.Index = i
		k.name(r, at, names)
		k.matchers(r, at)
		k.actions(r, at)
		k.split(r, at)
		k.mirror(r, at)
		k.rewriting(r, at)
		k.headers(&r.Request, at.Key("request"), onRequest, r.Paths)
		k.headers(&r.Response, at.Key("response"), onResponse, r.Paths)
		k.webSocket(r, at)
		k.tap(r, at)
		k.http(r, at)
	}
}

func (k *checker) name(r *Route, route report.Path, seen map[string]report.Path) {
	at := route.Key("name")
	if !k.text(at, r.Name) {
		return
	}
	if first, twice := seen[r.Name]; twice {
		k.Reject(at, "is already the name of the route at %s", k.Where(first))
		return
	}
	seen[r.Name] = route
}

// maxPairs is the most pairs of a host and a path in a route: each is matched like a route of its own.
const maxPairs = 1000

func (k *checker) matchers(r *Route, at report.Path) {
	host, path := at.Key("host"), at.Key("path")
	k.list(host, r.Hosts, func(name *string) (wrong string) {
		*name, wrong = spelling.Host(*name)
		return wrong
	})
	k.list(path, r.Paths, func(path *string) string {
		if strings.Contains(*path, ", /") {
			return "has a ',': write several as a list, as in [/ws, /chat/*]"
		}
		return spelling.CheckPath(*path)
	})
	switch hosts, paths := max(len(r.Hosts), 1), max(len(r.Paths), 1); {
	case hosts*paths <= maxPairs:
	case paths == 1:
		k.Fail(host, "%d hosts are more than %d: make several routes of it", hosts, maxPairs)
	case hosts == 1:
		k.Fail(path, "%d paths are more than %d: make several routes of it", paths, maxPairs)
	default:
		k.Fail(path, "%d hosts with %d paths are %d pairs, more than %d: make several routes of it", hosts, paths, hosts*paths, maxPairs)
	}
	k.methods(at.Key("methods"), r.Methods)
	k.headerNames(at.Key("headers"), r.Headers, func(name string) string {
		if strings.EqualFold(name, "Host") {
			return "is matched with the key 'host'"
		}
		return ""
	})
	k.headerValues(at.Key("headers"), r.Headers)
	for name := range r.Query {
		if name == "" {
			k.Fail(at.Key("query").Key(name), "a query parameter needs a name")
		}
	}
}

func (k *checker) methods(at report.Path, methods []string) {
	k.list(at, methods, func(method *string) string { return spelling.CheckMethod(*method) })
}

// actions checks that the route does exactly one thing, and how it does it.
func (k *checker) actions(r *Route, at report.Path) {
	const all = "backend, split, redirect, respond, files"
	var given []string
	for action := range strings.SplitSeq(all, ", ") {
		if k.Has(at.Key(action)) {
			given = append(given, action)
		}
	}
	switch len(given) {
	case 0:
		if !k.Good(at) {
			break // it is no mapping
		}
		k.Fail(at, "the route does nothing: add one of %s", all)
	case 1:
	default:
		k.Fail(at.Key(given[1]), "the route has %s: keep one of %s", strings.Join(given, " and "), all)
	}
	if r.Redirect != nil {
		k.redirect(r, at.Key("redirect").Key("to"))
	}
	if r.Respond != nil {
		k.respond(r.Respond, at.Key("respond"))
	}
	if r.Files != nil {
		k.files(r.Files, at.Key("files"))
	}
}

func (k *checker) redirect(r *Route, at report.Path) {
	if !k.Good(at) {
		return
	}
	to := r.Redirect.To
	wrong := r.star(to)
	u, err := url.Parse(to)
	switch {
	case wrong != "":
	case strings.Contains(to, "{"+PathVariable):
		wrong = "has a segment {path.name}, which stands in 'rewrite' and 'set_headers' only"
	case spelling.HasControl(to) || strings.ContainsAny(to, " \\"):
		wrong = "has a space, a backslash or a control character: escape it"
	case err != nil:
		wrong = "is neither a URL nor an absolute path"
	case u.Host == "" && (u.Scheme != "" || !strings.HasPrefix(to, "/")):
		wrong = "is neither an absolute path nor a URL with a host, as in https://example.com/new"
	case u.Scheme == "" && u.Host != "":
		wrong = "begins with '//': write the scheme of the URL too"
	case u.Scheme != "" && !strings.Contains(" http https ws wss ", " "+u.Scheme+" "):
		wrong = "has a scheme that is not one of http, https, ws, wss"
	}
	if wrong != "" {
		k.Reject(at, "%s", wrong)
	}
}

// star returns what is wrong with the '*' of a target, or "". It stands for what the '*' of the
// route's path matched.
func (r *Route) star(target string) string {
	before, after, found := strings.Cut(target, "*")
	switch {
	case !found:
		return ""
	case after != "":
		return "has a '*' before its end"
	case slices.ContainsFunc(r.Paths, func(path string) bool { return !strings.Contains(path, "*") }):
		return "ends in '*', but 'path' has none that it could stand for"
	case strings.ContainsAny(before, "?#"):
		return "has a '*' in its query"
	}
	return ""
}

func (k *checker) respond(r *Respond, at report.Path) {
	if r.Body != "" && (r.Status == 204 || r.Status == 304) {
		k.Fail(at.Key("body"), "an answer with this status has no body: remove the key")
	}
	if contentType := at.Key("content_type"); k.text(contentType, r.ContentType) && !spelling.IsHeaderValue(r.ContentType) {
		k.Reject(contentType, "is not a value for a header")
	}
}

func (k *checker) files(f *Files, at report.Path) {
	k.resolve(at.Key("root"), &f.Root)
	if index := at.Key("index"); k.text(index, f.Index) && strings.ContainsAny(f.Index, `/\`) {
		k.Reject(index, "has a '/': it is the name of a file in the directory asked for")
	}
	if fallback := at.Key("fallback"); k.text(fallback, f.Fallback) && !fs.ValidPath(f.Fallback) {
		k.Reject(fallback, "is not a path below 'root': write it without a leading '/', '.' and '..'")
	}
	for _, key := range []struct {
		at   report.Path
		name string
	}{{at.Key("index"), f.Index}, {at.Key("fallback"), f.Fallback}} {
		if k.Good(key.at) && strings.Contains("/"+key.name, "/.") {
			k.Reject(key.at, "has a name that starts with a dot; such files are never served")
		}
	}
}

// rewriting checks the keys that change the path for a backend or for files.
func (k *checker) rewriting(r *Route, at report.Path) {
	strip, rewrite := at.Key("strip_prefix"), at.Key("rewrite")
	for _, key := range []report.Path{strip, rewrite} {
		if k.Has(key) && !k.hasBackend(at) && !k.Has(at.Key("files")) {
			k.Fail(key, "there is no path to change without 'backend' or 'files': remove the key")
		}
	}
	if k.Has(strip) && k.Has(rewrite) {
		k.Fail(rewrite, "excludes strip_prefix: a rewrite replaces the whole path")
	}
	if k.Good(strip) {
		switch {
		case !strings.HasPrefix(r.StripPrefix, "/"):
			k.Reject(strip, "does not begin with '/'")
		case strings.Contains(r.StripPrefix, "{"):
			k.Reject(strip, "has a '{': a segment in braces cannot be removed; change the path with 'rewrite' instead")
		case strings.HasSuffix(r.StripPrefix, "/"):
			k.Reject(strip, "ends in '/': leave it off, it stays as the first of the new path")
		case slices.ContainsFunc(r.Paths, func(path string) bool { return !isBelow(path, r.StripPrefix) }):
			k.Reject(strip, "is not how 'path' begins, up to a '/'")
		}
	}
	if k.Good(rewrite) {
		wrong := r.star(r.Rewrite)
		if wrong == "" {
			wrong = spelling.CheckPath(r.Rewrite)
		}
		if wrong != "" {
			k.Reject(rewrite, "%s", wrong)
			return
		}
		for _, p := range Parts(r.Rewrite) {
			if wrong := lacking(p, r.Paths); wrong != "" {
				k.Fail(rewrite, "%s", wrong)
				return
			}
		}
	}
}

// isBelow reports whether the path of a route begins with a prefix, up to a '/'.
func isBelow(path, prefix string) bool {
	directory, _, _ := strings.Cut(path, "*")
	rest, ok := strings.CutPrefix(directory, prefix)
	return ok && (rest == "" || rest[0] == '/')
}
