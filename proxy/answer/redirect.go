package answer

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sluice/internal/httpsyntax"
	"sluice/internal/message"
)

// Redirect answers with a Location.
type Redirect struct {
	status   int
	base     string // escaped, without the '*' and the fragment
	fragment string // with its '#'
	rest     bool   // what the '*' of the route matched comes behind base
}

// NewRedirect returns a redirect to an absolute path or a URL with http, https, ws or wss. A '*' at
// the end of it stands for the rest that [Redirect.Serve] is given.
func NewRedirect(to string, status int) (*Redirect, error) {
	target, rest := strings.CutSuffix(to, "*")
	target, fragment, hasFragment := strings.Cut(target, "#")
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return nil, fmt.Errorf("redirect to %q: %w", to, err)
	case hasFragment && rest:
		return nil, fmt.Errorf("redirect to %q: the '*' cannot stand in a fragment", to)
	case u.Scheme == "" && (u.Host != "" || !strings.HasPrefix(target, "/")):
		return nil, fmt.Errorf("redirect to %q: neither a URL nor an absolute path", to)
	case u.Scheme != "" && (u.Host == "" || !slices.Contains([]string{"http", "https", "ws", "wss"}, u.Scheme)):
		return nil, fmt.Errorf("redirect to %q: not a URL with http, https, ws or wss and a host", to)
	}
	if u.Path == "" && rest && !strings.Contains(target, "?") {
		target += "/" // else the rest would extend the name of the host
	}
	// URL.String would escape the path in its own way.
	d := &Redirect{status: status, base: httpsyntax.Escape(target, inQuery), rest: rest}
	if hasFragment {
		d.fragment = "#" + httpsyntax.Escape(fragment, inQuery)
	}
	return d, nil
}

// Serve answers with the redirect. Rest is the escaped part of the path that the '*' of the route
// matched. The query of r is kept unless the target has a query. Whatever rest is, the host is that
// of the target, or the one that the client asked for if the target is a path.
func (d *Redirect) Serve(w http.ResponseWriter, r *message.Request, rest string) {
	redirect(w, d.status, d.location(rest, r.RawQuery))
}

func (d *Redirect) location(rest, query string) string {
	to := d.base
	inQuery := strings.Contains(to, "?")
	if d.rest && inQuery {
		to += httpsyntax.Escape(rest, inQueryValue)
	} else if d.rest {
		to += httpsyntax.Escape(rest, inPath)
	}
	if to[0] == '/' {
		to = local(to)
	}
	if !inQuery {
		to = withQuery(to, query)
	}
	return to + d.fragment
}

func redirect(w http.ResponseWriter, status int, to string) {
	w.Header().Set("Location", to)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}

// local returns an escaped path with one '/' at its front, so that no client takes it for "//host".
func local(path string) string { return "/" + strings.TrimLeft(path, "/") }

func withQuery(to, query string) string {
	if query == "" {
		return to
	}
	return to + "?" + httpsyntax.Escape(query, inQuery)
}

// inPath reports whether c may stand in a path as it is: what RFC 3986, section 3.3, allows, the '%'
// of escapes, and brackets, which browsers leave as they are. Browsers read a backslash as a slash
// and skip control characters; neither may stand there.
func inPath(c byte) bool {
	return c == '%' || httpsyntax.IsUnreserved(c) || strings.IndexByte("!$&'()*+,;=:@/[]", c) >= 0
}

// inQuery is inPath for a query or a fragment (RFC 3986, sections 3.4 and 3.5).
func inQuery(c byte) bool { return c == '?' || inPath(c) }

// inQueryValue is inQuery without the bytes that separate the parameters of a query or mean
// something else there.
func inQueryValue(c byte) bool {
	return c == '%' || httpsyntax.IsUnreserved(c) || strings.IndexByte(":@/", c) >= 0
}
