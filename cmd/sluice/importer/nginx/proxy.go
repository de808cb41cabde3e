package nginx

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/mapping"
	"sluice/cmd/sluice/importer/nginx/syntax"
	"sluice/cmd/sluice/importer/nginx/vocabulary"
)

// proxy carries a proxy_pass or grpc_pass.
func (h *handler) proxy(r *importer.Rule, l *location, d *syntax.Directive) {
	refuse := func(why string) { r.Note(importer.Refused, d.Pos, d.Text, why) }
	target := d.Arg(0)
	if split := h.split(r, l.scope, target); split {
		h.proxied(r, l.scope, d, "")
		return
	}
	if plain, ok := strings.CutSuffix(target, "$request_uri"); ok && strings.Count(plain, "/") == 2 && len(l.scope.Own("rewrite")) == 0 {
		target = plain // the path that is sent without this, too
	}
	scheme, rest, ok := strings.Cut(target, "://")
	if d.Name == "grpc_pass" {
		if !ok {
			scheme, rest = "grpc", target
		}
		if scheme == "grpcs" {
			scheme = "https"
		}
		ok = true
	}
	switch {
	case vocabulary.HasVariable(target):
		refuse("sluice does not know these variables: name the backend")
		return
	case !ok || scheme != "http" && scheme != "https" && scheme != "grpc":
		refuse("not a URL with http or https")
		return
	}
	u := upstream{scheme: scheme, name: rest}
	uri, replaces := "", false
	if socket, isUnix := strings.CutPrefix(rest, "unix:"); isUnix {
		var path string
		socket, path, replaces = strings.Cut(socket, ":")
		u.name, uri = "unix:"+socket, path
	} else if i := strings.IndexAny(rest, "/?"); i >= 0 {
		u.name, uri, replaces = rest[:i], rest[i:], true
	}
	name, err := h.config.backend(u, l.scope)
	if err != nil {
		refuse(err.Error())
		return
	}
	r.Action.Backend = name
	if rewrites := l.scope.Own("rewrite"); len(rewrites) > 0 && l.scope != h.server.scope {
		prefix, with, ok := prefixRewrite(rewrites[0])
		if !ok || len(rewrites) > 1 || !strings.HasPrefix(l.paths.Text, prefix) {
			r.Note(importer.Refused, rewrites[0].Pos, rewrites[0].Text, "sluice replaces the beginning of a path, and has no regular expressions")
		}
		r.Action.Prefix, r.Action.With, replaces = prefix, with, false
	}
	if replaces {
		with, err := url.PathUnescape(uri)
		if err != nil || !utf8.ValidString(with) || strings.Contains(uri, "?") {
			refuse("sluice adds no query to a request, and no path that is not UTF-8")
		}
		if l.regex != "" {
			refuse("nginx allows no path here")
		}
		r.Action.Prefix, r.Action.With = l.paths.Text, with
	}
	authority := u.name
	if strings.HasPrefix(authority, "unix:") {
		authority = "localhost"
	}
	h.proxied(r, l.scope, d, authority)
}

// prefixRewrite reads a rewrite that replaces the beginning of a path: rewrite ^/a/(.*)$ /b/$1 break.
func prefixRewrite(d *syntax.Directive) (prefix, with string, ok bool) {
	text, ok := strings.CutPrefix(strings.TrimSuffix(d.Arg(0), "$"), "^")
	before, group, found := strings.Cut(text, "(")
	with, isLast := strings.CutSuffix(d.Arg(1), "$1")
	switch group {
	case ".*)":
	case "/.*)":
		before, with = before+"/", with+"/"
	default:
		found = false
	}
	flag := d.Arg(2) == "break"
	return before, with, ok && found && isLast && flag && !strings.ContainsAny(before, `\.*+?[]()|^$`) && !vocabulary.HasVariable(with) && strings.HasPrefix(with, "/")
}

// split carries a proxy_pass to a variable of split_clients.
func (h *handler) split(r *importer.Rule, s *syntax.Scope, target string) bool {
	scheme, variable, _ := strings.Cut(target, "://")
	d := h.config.splits[variable]
	if d == nil {
		return false
	}
	total := 0.0
	var parts []importer.Part
	for _, part := range d.Block {
		name, err := h.config.backend(upstream{scheme: scheme, name: part.Arg(0)}, s)
		share, isShare := strings.CutSuffix(part.Name, "%")
		percent, notNumber := strconv.ParseFloat(share, 64)
		if part.Name == "*" {
			percent, isShare, notNumber = max(100-total, 0), true, nil
		}
		if err != nil || !isShare || notNumber != nil || !(percent >= 0 && percent <= 100) {
			r.Note(importer.Refused, d.Pos, d.Text, "not shares of backends")
			return true
		}
		total += percent
		parts = append(parts, importer.Part{Backend: name, Weight: int(percent * 10)})
	}
	r.Action.Split = parts
	return true
}

// proxied carries what holds for requests to a backend.
func (h *handler) proxied(r *importer.Rule, s *syntax.Scope, pass *syntax.Directive, authority string) {
	keys := &r.Action.Keys
	host := false
	for _, d := range s.All("proxy_set_header") {
		if strings.EqualFold(d.Arg(0), "Host") {
			host = true
		}
		h.requestHeader(r, d, authority)
	}
	if !host && authority != "" && pass.Name == "proxy_pass" {
		keys.Set(mapping.Literal(authority), "request", "set_headers", "Host")
	}
	for _, d := range s.All("proxy_hide_header") {
		if removable(d.Arg(0)) {
			keys.Add(d.Arg(0), "response", "remove_headers")
		}
	}
	if d := s.Get("proxy_read_timeout"); d != nil {
		if t, ok := vocabulary.Duration(d.Arg(0)); ok && t > 0 {
			keys.Set(mapping.Duration(t, time.Millisecond, 24*time.Hour), "timeouts", "response")
			keys.Set(mapping.Duration(t, time.Millisecond, 7*24*time.Hour), "timeouts", "idle")
			keys.Set(mapping.Duration(t, time.Millisecond, 30*24*time.Hour), "websocket", "idle_timeout")
			if !h.config.noted["idle_timeout"] {
				h.config.noted["idle_timeout"] = true
				r.Note(importer.Remark, d.Pos, d.Text, "sluice does not count pings as traffic: where clients do nothing but ping, raise websocket.idle_timeout or set ping_interval in its place")
			}
		}
	}
	body := int64(1 << 20) // nginx's default
	if d := s.Get("client_max_body_size"); d != nil {
		if n, ok := vocabulary.Size(d.Arg(0)); ok {
			body = n
		} else {
			r.Note(importer.Refused, d.Pos, d.Text, "not a size")
		}
	}
	if body > 0 {
		keys.Set(mapping.Size(body), "max_body_size")
	}
	h.mirror(r, s)
	h.response(r, s)
}

// requestHeader carries one proxy_set_header.
func (h *handler) requestHeader(r *importer.Rule, d *syntax.Directive, authority string) {
	name := d.Arg(0)
	value, ok := vocabulary.HeaderValue(d.Arg(1))
	keys := &r.Action.Keys
	own := importer.GatewayHeader(name)
	switch {
	case !importer.Settable(name): // of the connection or the handshake
	case strings.EqualFold(name, "Host"):
		switch d.Arg(1) {
		case "$host", "$http_host", "${host}":
		case "$proxy_host":
			keys.Set(mapping.Literal(authority), "request", "set_headers", "Host")
		default:
			if ok && value != "" {
				keys.Set(value, "request", "set_headers", "Host")
				return
			}
			r.Note(importer.Refused, d.Pos, d.Text, "sluice does not know these variables")
		}
	case d.Arg(1) == "":
		keys.Add(name, "request", "remove_headers")
	case own && (ok && vocabulary.HasVariable(d.Arg(1)) || strings.Contains(d.Arg(1), "$proxy_add_x_forwarded_for") || d.Arg(1) == "$server_port"):
	case own && !ok:
		h.config.lost(d, "sluice sets this header itself; if a proxy stands in front, list it in 'trusted_proxies', and what it says is passed on")
	case ok:
		keys.Set(value, "request", "set_headers", name)
	default:
		keys.Add(name, "request", "remove_headers")
		r.Note(importer.Lost, d.Pos, d.Text, "sluice does not know these variables; the header is removed, so that clients cannot set it")
	}
}

func removable(name string) bool {
	return importer.Settable(name) && !strings.EqualFold(name, "Host")
}

// mirror carries the mirror of a location, whose own location has to lead to a backend.
func (h *handler) mirror(r *importer.Rule, s *syntax.Scope) {
	d := s.Get("mirror")
	if d == nil || d.Arg(0) == "off" {
		return
	}
	if l := h.location(d.Arg(0)); l != nil {
		if pass := l.scope.Own("proxy_pass"); len(pass) > 0 {
			scheme, rest, _ := strings.Cut(strings.TrimSuffix(pass[0].Arg(0), "$request_uri"), "://")
			if name, err := h.config.backend(upstream{scheme, rest}, l.scope); err == nil && !vocabulary.HasVariable(rest) && !strings.Contains(rest, "/") {
				r.Action.Keys.Set(name, "mirror")
				return
			}
		}
	}
	r.Note(importer.Lost, d.Pos, d.Text, "sluice mirrors to a backend; this leads to none that it can tell")
}

// response carries what holds for all answers.
func (h *handler) response(r *importer.Rule, s *syntax.Scope) {
	keys := &r.Action.Keys
	for _, d := range s.All("add_header") {
		value, ok := vocabulary.HeaderValue(d.Arg(1))
		switch {
		case !ok || !removable(d.Arg(0)):
			r.Note(importer.Lost, d.Pos, d.Text, "sluice does not know these variables, or sets this header itself")
		case d.Arg(1) != "":
			keys.Set(value, "response", "set_headers", d.Arg(0))
		}
	}
	if d := s.Get("expires"); d != nil && d.Arg(0) != "off" {
		h.expires(r, d)
	}
	if s.Value("gzip") == "on" && r.Action.Redirect == nil {
		h.compress(keys, s)
	}
	h.errorPages(r, s)
}

// expires carries an expires as a Cache-Control.
func (h *handler) expires(r *importer.Rule, d *syntax.Directive) {
	switch t, ok := vocabulary.Duration(strings.TrimPrefix(d.Arg(0), "+")); {
	case d.Arg(0) == "epoch" || strings.HasPrefix(d.Arg(0), "-"):
		r.Action.Keys.Set("no-cache", "cache_control")
	case d.Arg(0) == "max":
		r.Action.Keys.Set("max-age=315360000", "cache_control")
	case ok && len(d.Args) == 1:
		r.Action.Keys.Set("max-age="+strconv.FormatInt(int64(t/time.Second), 10), "cache_control")
	default:
		r.Note(importer.Lost, d.Pos, d.Text, "sluice sets one Cache-Control for all answers of a route")
	}
}

func (h *handler) compress(keys *mapping.Map, s *syntax.Scope) {
	keys.Set([]string{"gzip"}, "compress", "encodings")
	types := []string{"text/html"}
	if d := s.Get("gzip_types"); d != nil {
		for _, t := range d.Args {
			if t == "*" {
				types = nil
				break
			}
			if t = strings.ToLower(t); strings.Count(t, "/") == 1 && !slices.Contains(types, t) {
				types = append(types, t)
			}
		}
	}
	if len(types) > 0 {
		keys.Set(types, "compress", "types")
	}
	if n, ok := vocabulary.Size(s.Value("gzip_min_length")); ok {
		keys.Set(mapping.Size(n), "compress", "min_size")
	}
}

// errorPages carries pages that are files.
func (h *handler) errorPages(r *importer.Rule, s *syntax.Scope) {
	for _, d := range s.All("error_page") {
		if len(d.Args) < 2 {
			continue
		}
		page := d.Args[len(d.Args)-1]
		codes := d.Args[:len(d.Args)-1]
		root := s.Value("root")
		if l := h.location(page); l != nil {
			root = l.scope.Value("root")
		}
		if strings.HasPrefix(codes[len(codes)-1], "=") || !strings.HasPrefix(page, "/") || vocabulary.HasVariable(page) || root == "" || vocabulary.HasVariable(root) {
			if !slices.Contains(codes, "497") {
				r.Note(importer.Lost, d.Pos, d.Text, "sluice answers its own errors with a file, and no others")
			}
			continue
		}
		for _, status := range codes {
			if code.MatchString(status) && (status[0] == '4' || status[0] == '5') {
				r.Action.Keys.Set(h.config.absolute(root)+"/"+strings.TrimLeft(page, "/"), "error_pages", status)
			}
		}
	}
}
