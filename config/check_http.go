package config

import (
	"fmt"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	"sluice/internal/fieldname"
	"sluice/internal/httpsyntax"
)

// http checks what a route does with HTTP bodies and responses.
func (k *checker) http(r *Route, at path) {
	k.serves(r, at)
	k.errorPages(r.ErrorPages, at.key("error_pages"))
	if c := r.Compress; c != nil {
		k.list(at.key("compress").key("types"), c.Types, func(pattern *string) (wrong string) {
			*pattern, wrong = cleanTypes(*pattern)
			return wrong
		})
		k.list(at.key("compress").key("encodings"), c.Encodings, func(*string) string { return "" })
	}
	if cache := at.key("cache_control"); k.text(cache, r.CacheControl) && !directives.MatchString(r.CacheControl) {
		k.reject(cache, "is not a list of directives, as in public, max-age=60")
	}
	if r.CORS != nil {
		k.cors(r.CORS, at.key("cors"))
	}
	k.settled(r, at)
}

// serves checks that the route does what its keys are about.
func (k *checker) serves(r *Route, at path) {
	for _, rule := range []struct {
		keys   string
		breaks bool
		why    string
	}{
		{"timeouts", r.Protocol == "websocket", "only WebSockets reach this route: set 'handshake_timeout' of 'websocket' instead"},
		{"max_body_size compress cache_control cors", r.Protocol == "websocket", "only WebSockets reach this route: remove the key"},
		{"timeouts max_body_size", !k.hasBackend(at), "the route has no backend that this is about: remove the key"},
		{"min_body_rate error_pages compress cors", k.has(at.key("redirect")), "a redirect has nothing that this is about: remove the key"},
	} {
		for key := range strings.SplitSeq(rule.keys, " ") {
			if key := at.key(key); rule.breaks && k.good(key) {
				k.fail(key, "%s", rule.why)
			}
		}
	}
}

// errorPages checks by what errors are told apart, and resolves the files.
func (k *checker) errorPages(pages map[string]string, at path) {
	for status, file := range pages {
		at := at.key(status)
		if !errorStatus.MatchString(status) {
			k.fail(at, "%s is not a status of an error: write one from 400 to 599, or 4xx or 5xx for all of a class", quote(status))
			continue
		}
		k.resolve(at, &file)
		pages[status] = file
	}
}

func (k *checker) cors(c *CORS, at path) {
	k.list(at.key("origins"), c.Origins, func(origin *string) (wrong string) {
		switch *origin {
		case "*":
			return ""
		case "same-origin":
			return "needs no permission: a page may always read from its own origin"
		}
		*origin, wrong = cleanOrigin(*origin)
		return wrong
	})
	k.methods(at.key("methods"), c.Methods)
	for key, names := range map[string][]string{"headers": c.Headers, "expose": c.Expose} {
		k.list(at.key(key), names, func(name *string) string {
			if !httpsyntax.IsToken(*name) {
				return "is not a name of a header"
			}
			return ""
		})
	}
	anyOrigin := slices.Contains(c.Origins, "*")
	if anyOrigin && len(c.Origins) > 1 {
		k.fail(at.key("origins"), `"*" is every origin: remove it or the others`)
	}
	if !c.Credentials {
		return
	}
	if anyOrigin || slices.Contains(c.Origins, "null") {
		k.fail(at.key("credentials"), `origins "*" and "null" are every page there is, and would act with each visitor's cookies: list the origins`)
	}
	for key, values := range map[string][]string{"methods": c.Methods, "headers": c.Headers, "expose": c.Expose} {
		if slices.Contains(values, "*") {
			k.fail(at.key(key), `browsers take "*" literally when there are credentials: list them`)
		}
	}
}

// settled refuses to set a header of responses that another key decides about.
func (k *checker) settled(r *Route, at path) {
	for name := range r.Response.Set {
		by := r.settledBy(textproto.CanonicalMIMEHeaderKey(fieldname.Fold(name)))
		if by == "" {
			continue
		}
		for _, set := range []string{"set_headers", "set_headers_file"} {
			if at := at.key("response").key(set).key(name); k.good(at) {
				k.fail(at, "%s is what '%s' of this route sets: keep one of the two", quote(name), by)
			}
		}
	}
}

// settledBy returns the key that decides about a header of responses, or "".
func (r *Route) settledBy(header string) (key string) {
	s := r.Security
	switch {
	case header == "Cache-Control" && r.CacheControl != "":
		return "cache_control"
	case s == nil:
	case header == "Strict-Transport-Security" && s.HSTS > 0,
		header == "X-Content-Type-Options" && s.NoSniff,
		header == "X-Frame-Options" && s.FrameOptions != "":
		return "security"
	}
	if r.CORS != nil && strings.HasPrefix(header, "Access-Control-") {
		return "cors"
	}
	return ""
}

// cleanTypes checks a pattern of media types and returns it in lower case. The
// second result is what is wrong.
func cleanTypes(pattern string) (string, string) {
	pattern = strings.ToLower(pattern)
	if strings.Contains(pattern, ";") {
		return "", "has parameters, which do not count: leave them off"
	}
	if !mediaTypes.MatchString(pattern) {
		return "", "is not a content type, as in text/html, text/* or *+json"
	}
	return pattern, ""
}

const token = "[!#$%&'+.^_`|~0-9A-Za-z-]+" // RFC 9110, section 5.6.2, without '*'

var (
	errorStatus = regexp.MustCompile(`^[45]([0-9]{2}|xx)$`)
	mediaTypes  = regexp.MustCompile(fmt.Sprintf(`^(%[1]s/(\*|%[1]s)|\*\+%[1]s)$`, token))
	// RFC 9111, section 5.2.
	directives = regexp.MustCompile(fmt.Sprintf(`^%[1]s(=(%[1]s|"[^"]*"))?([ \t]*,[ \t]*%[1]s(=(%[1]s|"[^"]*"))?)*$`, token))
)
