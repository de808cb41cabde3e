package config

import (
	"io/fs"
	"net/url"
	"strings"
)

// actions checks that the route does exactly one thing, and that thing.
func (k *checker) actions(r *Route, at path) {
	const all = "backend, split, redirect, respond, files"
	var given []string
	for action := range strings.SplitSeq(all, ", ") {
		if k.has(at.key(action)) {
			given = append(given, action)
		}
	}
	switch len(given) {
	case 0:
		k.fail(at, "the route does nothing: add one of %s", all)
	case 1:
	default:
		k.fail(at.key(given[1]), "the route has %s: keep one of %s", strings.Join(given, " and "), all)
	}
	if r.Redirect != nil {
		k.redirect(r, at.key("redirect").key("to"))
	}
	if r.Respond != nil {
		k.respond(r.Respond, at.key("respond"))
	}
	if r.Files != nil {
		k.files(r.Files, at.key("files"))
	}
}

func (k *checker) redirect(r *Route, at path) {
	if !k.good(at) {
		return
	}
	to := r.Redirect.To
	wrong := r.star(to)
	u, err := url.Parse(to)
	switch {
	case wrong != "":
	case hasControl(to) || strings.ContainsAny(to, " \\"):
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
		k.reject(at, "%s", wrong)
	}
}

// star returns what is wrong with the '*' of a target, which stands for what
// the '*' of the route's path matched, or "".
func (r *Route) star(target string) string {
	before, after, found := strings.Cut(target, "*")
	switch {
	case !found:
		return ""
	case after != "":
		return "has a '*' before its end"
	case !strings.HasSuffix(r.Path, "/*"):
		return "ends in '*', but 'path' does not end in '/*'"
	case strings.ContainsAny(before, "?#"):
		return "has a '*' in its query"
	}
	return ""
}

func (k *checker) respond(r *Respond, at path) {
	if r.Body != "" && (r.Status == 204 || r.Status == 304) {
		k.fail(at.key("body"), "an answer with this status has no body: remove the key")
	}
	if contentType := at.key("content_type"); k.text(contentType, r.ContentType) && !isHeaderValue(r.ContentType) {
		k.reject(contentType, "is not a value for a header")
	}
}

func (k *checker) files(f *Files, at path) {
	k.resolve(at.key("root"), &f.Root)
	if index := at.key("index"); k.text(index, f.Index) && strings.ContainsAny(f.Index, `/\`) {
		k.reject(index, "has a '/': it is the name of a file in the directory asked for")
	}
	if fallback := at.key("fallback"); k.text(fallback, f.Fallback) && !fs.ValidPath(f.Fallback) {
		k.reject(fallback, "is not a path below 'root': write it without a leading '/', '.' and '..'")
	}
	for _, key := range []struct {
		at   path
		name string
	}{{at.key("index"), f.Index}, {at.key("fallback"), f.Fallback}} {
		if k.good(key.at) && strings.Contains("/"+key.name, "/.") {
			k.reject(key.at, "has a name that starts with a dot; such files are never served")
		}
	}
}

// rewriting checks what changes the path for a backend or for files.
func (k *checker) rewriting(r *Route, at path) {
	strip, rewrite := at.key("strip_prefix"), at.key("rewrite")
	for _, key := range []path{strip, rewrite} {
		if k.has(key) && !k.hasBackend(at) && !k.has(at.key("files")) {
			k.fail(key, "there is no path to change without 'backend' or 'files': remove the key")
		}
	}
	if k.has(strip) && k.has(rewrite) {
		k.fail(rewrite, "excludes strip_prefix: a rewrite replaces the whole path")
	}
	if k.good(strip) {
		base := strings.TrimSuffix(r.Path, "*")
		rest, isPrefix := strings.CutPrefix(base, r.StripPrefix)
		switch {
		case !strings.HasPrefix(r.StripPrefix, "/"):
			k.reject(strip, "does not begin with '/'")
		case strings.HasSuffix(r.StripPrefix, "/"):
			k.reject(strip, "ends in '/': leave it off, it stays as the first of the new path")
		case !isPrefix || rest != "" && rest[0] != '/':
			k.reject(strip, "is not how 'path' begins, up to a '/'")
		}
	}
	if k.good(rewrite) {
		wrong := r.star(r.Rewrite)
		if wrong == "" {
			wrong = checkPath("", r.Rewrite)
		}
		if wrong != "" {
			k.reject(rewrite, "%s", wrong)
		}
	}
}
