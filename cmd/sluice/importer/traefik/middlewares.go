package traefik

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/mapping"
	"sluice/cmd/sluice/importer/match"
	"sluice/cmd/sluice/importer/traefik/document"
)

// pass takes the requests of s through the middlewares of a router from one on, and then to its service.
func (c *config) pass(r *router, at int, s state) {
	if at == len(r.middlewares) {
		c.serve(r, s)
		return
	}
	c.middleware(r, r.middlewares[at], 0, s, func(s state) { c.pass(r, at+1, s) })
}

// middleware takes the requests of s through one that is named.
func (c *config) middleware(r *router, named *document.Node, depth int, s state, next func(state)) {
	name := local(named.Value)
	m := c.root.Get("http", "middlewares", name)
	switch {
	case !c.step():
		return
	case m == nil || len(m.Entries) != 1 || depth > importer.MaxDepth:
		next(s.refuse(named, missing("middleware", name)))
		return
	}
	kind, n := strings.ToLower(m.Entries[0].Key), m.Entries[0].Value
	refuse := func(why string) { next(s.refuse(m, why)) }
	switch kind {
	case "chain":
		c.chain(r, n.Get("middlewares").Items(), depth+1, s, next)
	case "stripprefix":
		c.strip(n, n.Get("prefixes").Items(), s, next)
	case "addprefix":
		next(replace(s, m, "", n.String("prefix")))
	case "replacepath":
		if path := n.String("path"); strings.HasPrefix(path, "/") && !strings.ContainsAny(path, "?%*") {
			s.Fixed = path
			next(s)
			return
		}
		refuse("sluice rewrites to a path")
	case "replacepathregex":
		prefix, with, ok := prefixExpression(n.String("regex"), n.String("replacement"))
		if !ok {
			refuse("sluice replaces the beginning of a path, and has no regular expressions")
			return
		}
		c.replaced(m, prefix, with, s, next)
	case "redirectscheme":
		c.redirectScheme(r, m, n, s, next)
	case "redirectregex":
		c.redirectRegex(r, m, n, s, next)
	case "headers":
		next(headers(s, m, n, c.secure()))
	case "compress":
		next(compress(s, m, n))
	case "buffering":
		next(buffering(s, m, n))
	case "retry":
		if tries, ok := n.Int("attempts"); ok && tries > 0 {
			s.retry = min(tries, 20)
		}
		next(s)
	case "contenttype":
		next(s)
	case "circuitbreaker", "errors", "passtlsclientcert", "grpcweb":
		next(s.note(importer.Lost, m, "sluice has nothing like it"))
	case "basicauth", "digestauth":
		refuse("sluice does not ask for passwords")
	case "forwardauth":
		refuse("sluice does not ask another server whether a client may pass")
	case "ipallowlist", "ipwhitelist":
		refuse("sluice does not decide by the client's address")
	case "ratelimit", "inflightreq":
		refuse("sluice bounds the requests and connections of a client for a whole listener: 'request_rate' and 'connections_per_ip'")
	default:
		refuse("sluice does not know " + m.Entries[0].Key)
	}
}

func (c *config) chain(r *router, names []*document.Node, depth int, s state, next func(state)) {
	if len(names) == 0 {
		next(s)
		return
	}
	c.middleware(r, names[0], depth, s, func(s state) { c.chain(r, names[1:], depth, s, next) })
}

// replace changes the beginning of the path, or refuses where that cannot be told.
func replace(s state, m *document.Node, prefix, with string) state {
	changed, ok := s.Replace(prefix, with)
	if !ok {
		return s.refuse(m, "sluice cannot tell what this makes of the path")
	}
	s.Requests = changed
	return s
}

// strip removes the first of several prefixes that a path has.
func (c *config) strip(m *document.Node, prefixes []*document.Node, s state, next func(state)) {
	switch {
	case !c.step():
	case len(prefixes) == 0:
		next(s)
	default:
		prefix := "/" + strings.Trim(prefixes[0].Value, "/")
		if strings.ContainsAny(prefix, "{%*?") || prefix == "/" {
			next(s.refuse(m, "sluice removes a prefix that is a text"))
			return
		}
		stripped := func(s state) { next(replace(s, m, prefix, "")) }
		rest := func(s state) { c.strip(m, prefixes[1:], s, next) }
		match.Split(s, below(prefix), stripped, rest)
	}
}

// below matches a path and what is below it.
func below(path string) *match.Matcher {
	return &match.Matcher{Kind: match.Path, Paths: []importer.Paths{importer.Exactly(path), importer.Beginning(path + "/")}}
}

// replaced puts another prefix in the place of one, where a path has it.
func (c *config) replaced(m *document.Node, prefix, with string, s state, next func(state)) {
	do := func(s state) { next(replace(s, m, prefix, with)) }
	paths := &match.Matcher{Kind: match.Path, Paths: []importer.Paths{importer.Beginning(prefix + "/")}}
	match.Split(s, paths, do, next)
}

// prefixExpression reads an expression that replaces the beginning of a path: ^/a/(.*) by /b/$1.
func prefixExpression(expression, replacement string) (prefix, with string, ok bool) {
	prefix, ok = strings.CutSuffix(strings.TrimSuffix(strings.TrimPrefix(expression, "^"), "$"), "/(.*)")
	replacement = strings.ReplaceAll(replacement, "${1}", "$1")
	with, isLast := strings.CutSuffix(replacement, "/$1")
	plain := regexp.QuoteMeta(prefix) == prefix && !strings.ContainsAny(with, "$?%*")
	return prefix, with, ok && isLast && plain && strings.HasPrefix(expression, "^/") && (with == "" || strings.HasPrefix(with, "/"))
}

// redirectScheme carries a redirect to the same URL with another scheme.
func (c *config) redirectScheme(r *router, m, n *document.Node, s state, next func(state)) {
	scheme, port := n.String("scheme"), n.String("port")
	same := scheme == "https" && c.secure() || scheme == "http" && c.plain()
	switch {
	case same && (port == "" || port == "443" || port == "80"):
		next(s)
	case !c.secure() && !c.plain() || len(s.Hosts) != 1 || strings.HasPrefix(s.Hosts[0], "*") || s.Hosts[0] == "" || port != "" && port != "443" || scheme != "https" && scheme != "http":
		next(s.refuse(m, "sluice redirects one host to one URL, or whole listeners to https: 'redirect_https'"))
	default:
		c.redirect(r, s, scheme+"://"+s.Hosts[0], n.Bool("permanent"))
	}
}

// redirect makes the rule for a redirect that keeps the path.
func (c *config) redirect(r *router, s state, to string, permanent bool) {
	status := 302
	if permanent {
		status = 301
	}
	c.answer(r, s, importer.Action{Redirect: &importer.Redirect{To: to, Keep: true, Status: status}})
}

var hostExpression = regexp.MustCompile(`^\^?https?(?:\??)://((?:[a-z0-9-]|\\\.|\.)+)/\(\.[*+]\)\$?$`)

// redirectRegex carries a redirect of one host to another URL: ^https?://www\.a\.test/(.*) to
// https://a.test/${1}.
func (c *config) redirectRegex(r *router, m, n *document.Node, s state, next func(state)) {
	h := hostExpression.FindStringSubmatch(n.String("regex"))
	to, keeps := strings.CutSuffix(strings.ReplaceAll(n.String("replacement"), "${1}", "$1"), "/$1")
	u, err := url.Parse(to)
	if h == nil || !keeps || err != nil || strings.Contains(to, "$") || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" {
		next(s.refuse(m, "sluice redirects a host to a URL, with the path of the request behind it"))
		return
	}
	host := &match.Matcher{Kind: match.Host, Words: []string{strings.ReplaceAll(h[1], `\`, "")}, Pos: m.Pos}
	match.Split(s, host, func(s state) { c.redirect(r, s, to, n.Bool("permanent")) }, next)
}

// headers carries changes to headers, of requests and of answers.
func headers(s state, m, n *document.Node, secure bool) state {
	const conditions = "sluice has no such condition"
	n.Each(func(key string, value *document.Node) {
		on := n.Bool(key)
		switch strings.ToLower(key) {
		case "customrequestheaders":
			s = customHeaders(s, value, "request")
		case "customresponseheaders":
			s = customHeaders(s, value, "response")
		case "framedeny":
			if on {
				s = s.set("DENY", "response", "set_headers", "X-Frame-Options")
			}
		case "contenttypenosniff":
			if on {
				s = s.set("nosniff", "response", "set_headers", "X-Content-Type-Options")
			}
		case "browserxssfilter":
			if on {
				s = s.set("1; mode=block", "response", "set_headers", "X-XSS-Protection")
			}
		case "customframeoptionsvalue", "contentsecuritypolicy", "contentsecuritypolicyreportonly", "referrerpolicy", "permissionspolicy", "custombrowserxssvalue":
			name := map[string]string{
				"customframeoptionsvalue": "X-Frame-Options", "contentsecuritypolicy": "Content-Security-Policy", "referrerpolicy": "Referrer-Policy",
				"contentsecuritypolicyreportonly": "Content-Security-Policy-Report-Only", "permissionspolicy": "Permissions-Policy", "custombrowserxssvalue": "X-XSS-Protection",
			}[strings.ToLower(key)]
			if value.Value != "" {
				s = s.set(mapping.Literal(value.Value), "response", "set_headers", name)
			}
		case "stsseconds":
			age, ok := n.Int(key)
			if !ok || age <= 0 || !secure && !n.Bool("forceSTSHeader") {
				break
			}
			policy := "max-age=" + strconv.Itoa(age)
			if n.Bool("stsIncludeSubdomains") {
				policy += "; includeSubDomains"
			}
			if n.Bool("stsPreload") {
				policy += "; preload"
			}
			s = s.set(policy, "response", "set_headers", "Strict-Transport-Security")
		case "stsincludesubdomains", "stspreload", "forcestsheader", "addvaryheader", "isdevelopment":
		case "allowedhosts":
			if len(value.Strings()) > 0 {
				s = s.refuse(value, conditions)
			}
		case "sslredirect", "ssltemporaryredirect", "sslhost", "sslforcehost":
			if on && !secure {
				s = s.refuse(value, "sluice redirects whole listeners to https: 'redirect_https'")
			}
		default:
			if name := strings.ToLower(key); strings.HasPrefix(name, "accesscontrol") {
				break
			}
			s = s.note(importer.Lost, value, "sluice has nothing like it")
		}
	})
	return cors(s, n)
}

// cors carries which other origins may read answers.
func cors(s state, n *document.Node) state {
	origins := n.Strings("accessControlAllowOriginList")
	if more := n.Get("accessControlAllowOriginListRegex"); more != nil {
		s = s.note(importer.Lost, more, "sluice allows single origins and https://*.example.com")
	}
	if len(origins) == 0 {
		return s
	}
	policy := mapping.Map{{Key: "origins", Value: origins}}
	methods := slices.DeleteFunc(n.Strings("accessControlAllowMethods"), func(m string) bool {
		return m == "GET" || m == "HEAD" || m == "POST" || m == "OPTIONS"
	})
	for _, list := range []struct {
		key    string
		values []string
	}{{"methods", methods}, {"headers", n.Strings("accessControlAllowHeaders")}, {"expose", n.Strings("accessControlExposeHeaders")}} {
		if slices.Contains(list.values, "*") {
			s = s.note(importer.Lost, n.Get("accessControlAllowOriginList"), "sluice allows methods and headers by name: "+list.key)
			continue
		}
		if len(list.values) > 0 {
			policy.Set(list.values, list.key)
		}
	}
	if n.Bool("accessControlAllowCredentials") {
		policy.Set(true, "credentials")
	}
	if age, ok := n.Int("accessControlMaxAge"); ok && age > 0 {
		policy.Set(mapping.Amount(strconv.Itoa(min(age, 86400))+"s"), "max_age")
	}
	return s.set(policy, "cors")
}

// customHeaders carries headers that are set, or removed where they have no value.
func customHeaders(s state, n *document.Node, side string) state {
	n.Each(func(name string, value *document.Node) {
		switch {
		case !importer.Settable(name) && value.Value == "" && side == "request":
			s = s.refuse(value, "sluice removes no header of a connection or a handshake")
		case !importer.Settable(name):
			s = s.note(importer.Lost, value, "sluice does not change this header")
		case value.Value == "" && !strings.EqualFold(name, "Host"):
			s = s.add(name, side, "remove_headers")
		case strings.EqualFold(name, "Host") && side == "response":
		case value.Value != "":
			s = s.set(mapping.Literal(value.Value), side, "set_headers", name)
		}
	})
	return s
}

// compress carries the compression of answers.
func compress(s state, m, n *document.Node) state {
	keys := mapping.Map{}
	encodings := n.Strings("encodings")
	known := slices.DeleteFunc(slices.Clone(encodings), func(e string) bool { return e != "gzip" && e != "zstd" })
	switch {
	case len(encodings) == 0:
		known = []string{"gzip"}
	case len(known) == 0:
		return s.note(importer.Lost, m, "sluice compresses with zstd and gzip")
	}
	keys.Set(known, "encodings")
	if least, ok := n.Int("minResponseBodyBytes"); ok && least > 0 {
		keys.Set(mapping.Size(int64(least)), "min_size")
	}
	if types := n.Strings("includedContentTypes"); len(types) > 0 {
		keys.Set(types, "types")
	}
	if not := n.Get("excludedContentTypes"); not != nil {
		s = s.note(importer.Lost, not, "sluice compresses the types that it is given: 'types'")
	}
	return s.set(keys, "compress")
}

// buffering carries the largest body of a request.
func buffering(s state, m, n *document.Node) state {
	n.Each(func(key string, value *document.Node) {
		switch strings.ToLower(key) {
		case "maxrequestbodybytes":
			if most, err := strconv.ParseInt(value.Value, 10, 64); err != nil || most < 0 || most > 1<<50 {
				s = s.refuse(value, "not a size")
			} else if most > 0 && (s.maxBody == 0 || most < s.maxBody) { // all that are met hold
				s.maxBody = most
				s = s.set(mapping.Size(most), "max_body_size")
			}
		case "memrequestbodybytes", "memresponsebodybytes":
		default:
			s = s.note(importer.Lost, value, "sluice has nothing like it")
		}
	})
	return s
}
