package handle

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/caddy/caddyfile"
	"sluice/cmd/sluice/importer/mapping"
	"sluice/cmd/sluice/importer/match"
)

// do does what a directive does with the requests of s: it makes the rule that answers them, or calls
// next with what it has done to them. A directive that it does not know shuts them out.
func (w *walk) do(st *step, s state, next func(state)) {
	d := st.Directive
	refuse := func(why string) { next(s.refuse(d, why)) }
	switch d.Name {
	case "log_append", "skip_log", "log_skip", "log_name", "log_level", "map", "vars", "timeouts":
		next(s) // what uses their values is told where it stands
	case "tracing", "push":
		next(s.note(importer.Lost, d, "sluice has nothing like it for one route"))
	case "root":
		s.root = d
		next(s)
	case "header":
		next(w.responseHeaders(s, d, st.rest, d.Block))
	case "request_header":
		next(w.requestHeader(s, d, st.rest, nil))
	case "request_body":
		next(requestBody(s, d))
	case "encode":
		next(encode(s, d, st.rest))
	case "rewrite":
		next(rewrite(s, d, st.rest))
	case "uri":
		w.uri(st, s, next)
	case "try_files":
		s.fallback = d
		next(s)
	case "handle", "route", "invoke":
		w.run(st.inner, 0, s, next)
	case "handle_path":
		prefix, _ := strings.CutSuffix(d.Arg(0), "*")
		w.run(st.inner, 0, s.replace(d, prefix, ""), next)
	case "redir":
		w.redirect(st, s)
	case "respond":
		w.respond(st, s)
	case "error":
		w.error(st, s)
	case "abort":
		w.emit(d, s.note(importer.Remark, d, "Caddy closes the connection, sluice answers 403"), importer.Action{Respond: &importer.Respond{Status: 403}})
	case "reverse_proxy":
		w.proxy(st, s)
	case "file_server":
		w.files(st, s, next)
	case "basic_auth", "basicauth":
		refuse("sluice does not ask for passwords")
	case "forward_auth":
		refuse("sluice does not ask another server whether a client may pass")
	case "php_fastcgi":
		w.emit(d, s.refuse(d, "sluice speaks HTTP to backends: put a server that does too, such as FrankenPHP, behind it"), importer.Action{})
	case "metrics", "acme_server":
		w.emit(d, s.refuse(d, "sluice has nothing like it on a route; 'admin' has metrics"), importer.Action{})
	case "templates":
		refuse("sluice does not execute templates, and would send their source")
	case "method":
		refuse("sluice does not change the method of a request")
	case "intercept":
		refuse("sluice does not replace answers")
	default:
		refuse("sluice does not know " + d.Name)
	}
}

// requestBody carries the largest size of a body.
func requestBody(s state, d *caddyfile.Directive) state {
	for _, o := range d.Block {
		switch o.Name {
		case "max_size":
			n, ok := caddyfile.Size(o.Arg(0))
			if !ok || n == 0 {
				return s.refuse(d, "not a size")
			}
			if s.maxBody == 0 || n < s.maxBody { // all that are met hold
				s.maxBody = n
				s = s.set(caddyfile.Amount(n), "max_body_size")
			}
		case "read_timeout", "write_timeout":
			s = s.note(importer.Lost, o, "sluice bounds how slowly a body may come or go: 'min_body_rate'")
		default:
			s = s.refuse(d, "sluice does not know "+o.Name)
		}
	}
	return s
}

// encode carries the compression of answers.
func encode(s state, d *caddyfile.Directive, encodings []string) state {
	encodings = slices.Clone(encodings)
	keys := mapping.Map{}
	for _, o := range d.Block {
		switch o.Name {
		case "gzip", "zstd", "br":
			encodings = append(encodings, o.Name)
		case "minimum_length":
			if n, ok := caddyfile.Size(o.Arg(0)); ok {
				keys.Set(mapping.Size(n), "min_size")
			}
		case "match":
			types := caddyfile.All(o.Block, "header")
			if len(o.Args) > 0 {
				types = []*caddyfile.Directive{{Name: o.Arg(0), Args: o.Args[1:], Pos: o.Pos, Text: o.Text}}
			}
			for _, h := range types {
				media := strings.TrimSuffix(strings.ToLower(h.Arg(1)), ";*")
				if whole, ok := strings.CutSuffix(media, "*"); ok && !strings.HasSuffix(media, "/*") {
					media = whole
				}
				if strings.EqualFold(h.Arg(0), "Content-Type") && strings.Count(media, "/") == 1 {
					keys.Add(media, "types")
				}
			}
			if keys.Get("types") == nil {
				s = s.note(importer.Lost, o, "sluice compresses by Content-Type alone")
			}
		}
	}
	known := slices.DeleteFunc(encodings, func(name string) bool { return name != "gzip" && name != "zstd" })
	if len(encodings) == 0 {
		known = []string{"zstd", "gzip"}
	}
	if len(known) == 0 {
		return s.note(importer.Lost, d, "sluice compresses with zstd and gzip")
	}
	slices.Sort(known)
	known = slices.Compact(known)
	slices.Reverse(known) // zstd is preferred, as in Caddy
	return s.set(append(mapping.Map{{Key: "encodings", Value: known}}, keys...), "compress")
}

// rewrite carries a rewrite to one path, or of the beginning of all.
func rewrite(s state, d *caddyfile.Directive, args []string) state {
	to := strings.Join(args, " ")
	for _, query := range []string{"?{query}", "{?query}", "?{http.request.uri.query}"} {
		to = strings.TrimSuffix(to, query)
	}
	for _, path := range []string{"{uri}", "{path}", "{http.request.uri}", "{http.request.uri.path}"} {
		with, ok := strings.CutSuffix(to, path)
		if !ok || caddyfile.HasPlaceholder(with) || !strings.HasPrefix(with, "/") && with != "" {
			continue
		}
		return s.replace(d, "", with)
	}
	if caddyfile.HasPlaceholder(to) || !strings.HasPrefix(to, "/") || strings.ContainsAny(to, "?%") {
		return s.refuse(d, "sluice replaces the beginning of a path, or rewrites one path to another")
	}
	s.Fixed = to
	return s
}

// uri carries a prefix that is removed.
func (w *walk) uri(st *step, s state, next func(state)) {
	args := st.rest
	if len(args) != 2 || args[0] != "strip_prefix" || caddyfile.HasPlaceholder(args[1]) || strings.Contains(args[1], "%") || s.Fixed != "" {
		next(s.refuse(st.Directive, "sluice removes a prefix of the path, and changes nothing else in it"))
		return
	}
	prefix := "/" + strings.Trim(args[1], "/")
	strip := func(s state) { next(s.replace(st.Directive, prefix, "")) }
	below := []importer.Paths{importer.Exactly(prefix), importer.Beginning(prefix + "/")}
	match.Split(s, &match.Matcher{Kind: match.Path, Paths: below, FoldCase: true}, strip, next)
}

// redirect carries a redir.
func (w *walk) redirect(st *step, s state) {
	d := st.Directive
	status := 302
	switch code := last(st.rest[min(1, len(st.rest)):]); code {
	case "", "temporary":
	case "permanent":
		status = 301
	case "html":
		s = s.note(importer.Remark, d, "Caddy answers with a page that redirects, sluice with a redirect")
	default:
		n, err := strconv.Atoi(code)
		if err != nil || n < 300 || n > 399 {
			s = s.refuse(d, "sluice redirects with 301, 302, 303, 307 or 308")
		}
		if status = n; !slices.Contains([]int{301, 302, 303, 307, 308}, n) {
			status = 302
		}
	}
	to := ""
	if len(st.rest) > 0 {
		to = st.rest[0]
	}
	target, ok := w.target(to, s)
	if !ok {
		w.emit(d, s.refuse(d, "sluice redirects to a path or a URL, with the path of the request behind it or not"), importer.Action{})
		return
	}
	target.Status = status
	w.emit(d, s, importer.Action{Redirect: &target})
}

func last(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[len(args)-1]
}

// respond carries a fixed answer.
func (w *walk) respond(st *step, s state) {
	d := st.Directive
	status, body := 200, ""
	switch {
	case len(st.rest) == 1 && code.MatchString(st.rest[0]):
		status, _ = strconv.Atoi(st.rest[0])
	case len(st.rest) > 0:
		body = st.rest[0]
	}
	bad := false
	if len(st.rest) > 1 {
		var err error
		status, err = strconv.Atoi(st.rest[1])
		bad = err != nil
	}
	if b := caddyfile.Get(d.Block, "body"); b != nil {
		body = b.Arg(0)
	}
	if bad || status < 200 || status > 599 {
		w.emit(d, s.refuse(d, "sluice answers with a status of 200 to 599"), importer.Action{})
		return
	}
	if caddyfile.HasPlaceholder(body) {
		s = s.note(importer.Lost, d, "sluice has no placeholders in a body")
	}
	answer := &importer.Respond{Status: status, Body: body}
	if media, ok := s.Keys.Get("response", "set_headers", "Content-Type").(string); ok {
		answer.ContentType = media
	}
	w.emit(d, s, importer.Action{Respond: answer})
}

// error carries an error that a directive makes.
func (w *walk) error(st *step, s state) {
	status := 500
	for _, arg := range st.rest {
		if code.MatchString(arg) {
			status, _ = strconv.Atoi(arg)
		}
	}
	if status < 400 || status > 599 {
		w.emit(st.Directive, s.refuse(st.Directive, "not the status of an error"), importer.Action{})
		return
	}
	w.emit(st.Directive, s, importer.Action{Respond: &importer.Respond{Status: status}})
}

// files carries a file_server.
func (w *walk) files(st *step, s state, next func(state)) {
	d := st.Directive
	f := &importer.Files{Index: "index.html"}
	root := ""
	if s.root != nil {
		root = last(s.root.Args)
	}
	f.Browse = slices.Contains(st.rest, "browse")
	for _, o := range d.Block {
		switch o.Name {
		case "root":
			root = o.Arg(0)
		case "browse":
			f.Browse = true
		case "index":
			f.Index = o.Arg(0)
		case "hide":
			for _, name := range o.Args {
				if !strings.HasPrefix(filepath.Base(name), ".") {
					s = s.refuse(o, "sluice hides nothing but names that begin with a dot")
				}
			}
		case "precompressed", "etag_file_extensions", "disable_canonical_uris":
		case "pass_thru":
			s = s.note(importer.Lost, o, "sluice answers 404 for a file that is missing")
		default:
			s = s.refuse(o, "sluice does not know "+o.Name)
		}
	}
	switch f.Root = w.config.absolute(root); {
	case root == "":
		s = s.refuse(d, "no root says which directory it is about")
	case caddyfile.HasPlaceholder(root):
		s = s.refuse(d, "sluice serves one directory, whatever the request")
	case inside(f.Root, w.config.absolute(".")):
		s = s.refuse(d, "the Caddyfile is in this directory: Caddy hides it, sluice would serve it. Move it")
	}
	if strings.Contains(f.Index, "/") || f.Index == "" || caddyfile.HasPlaceholder(f.Index) {
		s = s.refuse(d, "not the name of a file")
	}
	if s.fallback != nil {
		s = fallback(s, f)
	}
	w.emit(d, s, importer.Action{Files: f})
}

// inside reports whether a directory is below root or the same.
func inside(root, dir string) bool {
	rel, err := filepath.Rel(root, dir)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// fallback carries what try_files tries last, and says what else it tries.
func fallback(s state, f *importer.Files) state {
	d := s.fallback
	for i, name := range d.Args {
		name = strings.TrimSuffix(name, "?{query}")
		switch {
		case name == "{path}" || name == "{path}/" || name == "{path}/"+f.Index || strings.HasPrefix(name, "=4"):
		case i == len(d.Args)-1 && strings.HasPrefix(name, "/") && !caddyfile.HasPlaceholder(name) && !strings.ContainsAny(name, "?%") && !strings.HasSuffix(name, "/"):
			if strings.HasSuffix(name, ".php") {
				return s.refuse(d, "sluice would send the source of PHP files")
			}
			if f.Fallback = strings.TrimPrefix(name, "/"); s.Prefix != "" || s.With != "" {
				s = s.note(importer.Remark, d, "the file is "+f.Fallback+" below the root")
			}
		default:
			s = s.note(importer.Lost, d, "sluice looks for the file and for the index of a directory, then for one other file, not for "+name)
		}
	}
	for _, o := range d.Block {
		s = s.note(importer.Lost, o, "sluice takes the first file that is there")
	}
	return s
}
