package haproxy

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/haproxy/section"
	"sluice/cmd/sluice/importer/mapping"
	"sluice/cmd/sluice/importer/match"
)

// redirect reads a redirect for requests; nil if there is no counterpart.
func (w *walker) redirect(r match.Requests, s step) (match.Requests, *importer.Redirect) {
	to := importer.Redirect{Status: 302}
	if n, err := strconv.Atoi(s.after("code")); err == nil {
		to.Status = n
	}
	for _, word := range []string{"set-cookie", "clear-cookie", "append-slash"} {
		if slices.Contains(s.args, word) {
			r = r.Note(importer.Lost, s.Pos, s.Text, "sluice redirects without it: "+word)
		}
	}
	target := ""
	switch {
	case s.after("scheme") != "":
		if len(r.Hosts) != 1 || strings.HasPrefix(r.Hosts[0], "*") {
			return r, nil
		}
		target, to.Keep = s.after("scheme")+"://"+r.Hosts[0], true
	case s.after("prefix") != "":
		target, to.Keep = strings.TrimSuffix(s.after("prefix"), "/"), true
	default:
		target = s.after("location")
		for _, path := range []string{"%[capture.req.uri]", "%[path]", "%[pathq]", "%[url]", "%HU", "%HP", "%HPO"} {
			if rest, ok := strings.CutSuffix(target, path); ok {
				target, to.Keep = rest, true
				break
			}
		}
	}
	if len(r.Hosts) == 1 && !strings.HasPrefix(r.Hosts[0], "*") {
		target = ownHost.ReplaceAllString(target, r.Hosts[0])
	}
	u, err := url.Parse(target)
	if err != nil || strings.Contains(target, "%[") || u.Host == "" && !strings.HasPrefix(target, "/") || !slices.Contains([]int{301, 302, 303, 307, 308}, to.Status) {
		return r, nil
	}
	to.To = target
	return r, &to
}

// ownHost matches what stands for the host that the client asked for.
var ownHost = regexp.MustCompile(`%\[(req\.)?hdr\((?i:host)\)\]`)

// statusOf returns the status that a step answers with, if it says one.
func statusOf(s step) (int, bool) {
	for _, word := range []string{"status", "deny_status"} {
		if n, err := strconv.Atoi(s.after(word)); err == nil && n >= 200 && n <= 599 {
			return n, true
		}
	}
	return 0, false
}

// respond reads a return; nil if there is no counterpart.
func (w *walker) respond(r match.Requests, s step) (match.Requests, *importer.Respond) {
	a := importer.Respond{Status: 200}
	for i := 0; i < len(s.args); i++ {
		value := s.args[min(i+1, len(s.args)-1)]
		switch s.args[i] {
		case "status":
			n, ok := statusOf(s)
			if !ok {
				return r, nil
			}
			a.Status = n
		case "content-type":
			a.ContentType = value
		case "string":
			a.Body = value
		case "lf-string":
			if strings.Contains(value, "%") {
				return r, nil
			}
			a.Body = value
		case "hdr":
			name, text := value, ""
			if i+2 < len(s.args) {
				text = s.args[i+2]
			}
			if v, ok := format(text); ok && importer.Settable(name) {
				r = r.Set(v, "response", "set_headers", name)
			} else {
				r = r.Note(importer.Lost, s.Pos, s.Text, "sluice does not know these variables, or sets this header itself")
			}
			i++
		default:
			return r, nil
		}
		i++
	}
	return r, &a
}

// variables are those of log formats that the configuration has under another name.
var variables = map[string]string{
	"%ci": "{client_address}", "%[src]": "{client_address}", "%[req.hdr(host)]": "{host}", "%[hdr(host)]": "{host}", "%[unique-id]": "{request_id}", "%ID": "{request_id}",
	"%[ssl_fc_protocol]": "{tls_version}", "%[ssl_fc_cipher]": "{tls_cipher}", "%[ssl_fc_sni]": "{tls_server_name}", "%[ssl_c_s_dn]": "{client_subject}",
	"%%": "%",
}

var variable = regexp.MustCompile(`%\[[^\]]*\]|%\{[^}]*\}[A-Za-z]*|%[A-Za-z]+|%%|%`)

// format returns a log format as the value of a header. ok is false if it has a variable that sluice does not
// know.
func format(text string) (value string, ok bool) {
	ok = true
	var b strings.Builder
	last := 0
	for _, at := range variable.FindAllStringIndex(text, -1) {
		name, known := variables[strings.ToLower(text[at[0]:at[1]])]
		if !known {
			name, known = variables[text[at[0]:at[1]]]
		}
		ok = ok && known
		b.WriteString(mapping.Literal(text[last:at[0]]) + name)
		last = at[1]
	}
	return b.String() + mapping.Literal(text[last:]), ok
}

// isGateways reports whether a step is about a header by which sluice itself tells backends who asks, and how.
func (s step) isGateways() bool {
	return slices.Contains([]string{"set-header", "add-header", "del-header"}, s.verb) && importer.GatewayHeader(s.Word(2))
}

// change makes the change of a step to requests, and gives them to then, in several parts if it has to.
func (w *walker) change(r match.Requests, s step, then func(match.Requests)) {
	switch s.verb {
	case "set-header", "add-header", "del-header":
		then(header(r, "request", s))
	case "set-path", "replace-path":
		w.path(r, s, then)
	default:
		then(r.Note(importer.Lost, s.Pos, s.Text, "sluice has nothing like it"))
	}
}

// header carries a change to a header of requests or responses.
func header(r match.Requests, of string, s step) match.Requests {
	name := s.Word(2)
	value, ok := format(strings.Join(s.args[min(1, len(s.args)):], " "))
	switch {
	case !importer.Settable(name), of == "response" && strings.EqualFold(name, "Host"):
		return r.Note(importer.Lost, s.Pos, s.Text, "sluice sets this header itself")
	case s.verb == "del-header" && slices.Contains(s.args, "-m"):
		kind := importer.Lost
		if of == "request" { // backends may believe what clients send
			kind = importer.Refused
		}
		return r.Note(kind, s.Pos, s.Text, "sluice removes headers by their whole name")
	case s.verb == "del-header":
		if set, _ := r.Keys.Get(of, "set_headers").(mapping.Map); set.Get(name) != nil {
			r = r.Set(slices.DeleteFunc(set.Clone(), func(e mapping.Entry) bool { return e.Key == name }), of, "set_headers")
		}
		if strings.EqualFold(name, "Host") {
			return r
		}
		return r.Add(name, of, "remove_headers")
	case ok && value != "":
		return r.Set(value, of, "set_headers", name)
	case of == "request" && !strings.EqualFold(name, "Host"):
		r = r.Add(name, of, "remove_headers")
		return r.Note(importer.Lost, s.Pos, s.Text, "sluice does not know these variables; the header is removed, so that clients cannot set it")
	case of == "request":
		return r.Note(importer.Refused, s.Pos, s.Text, "sluice does not know these variables")
	}
	return r.Note(importer.Lost, s.Pos, s.Text, "sluice does not know these variables")
}

// Paths that are replaced: replace-path ^/api/(.*) /\1, set-path %[path,regsub(^/api/?,/)].
var (
	replaced    = regexp.MustCompile(`^(\^?)(/[A-Za-z0-9/_-]*)(\(\.\*\)|/\?\(\.\*\)|\(/\.\*\)|\(/\|\$\)\(\.\*\))\$?$`)
	substituted = regexp.MustCompile(`^%\[path,regsub\("?\^(/[A-Za-z0-9/_-]*?)(/\?)?"?,"?(/?[A-Za-z0-9/_-]*)"?\)\]$`)
)

// path carries a change to the beginning of the path.
func (w *walker) path(r match.Requests, s step, then func(match.Requests)) {
	prefix, with, ok, itself := "", "", false, true // itself: a path that is the prefix is replaced too
	if s.verb == "replace-path" && len(s.args) == 2 {
		m := replaced.FindStringSubmatch(s.args[0])
		to, isLast := strings.CutSuffix(strings.TrimSuffix(s.args[1], `\2`), `\1`)
		if m != nil && strings.HasSuffix(m[3], `(/|$)(.*)`) {
			to, isLast = strings.CutSuffix(s.args[1], `\2`)
		}
		if m != nil && isLast && (to == "" || strings.HasPrefix(to, "/")) && !strings.ContainsAny(to, `\%`) {
			prefix, with, ok = m[2], to, m[1] == "^" || begin(r.Paths, m[2])
			itself = m[3] != `(/.*)`
		}
	} else if m := substituted.FindStringSubmatch(strings.Join(s.args, " ")); s.verb == "set-path" && m != nil {
		prefix, with, ok = m[1], m[3], true
	} else if s.verb == "set-path" && len(s.args) == 1 && strings.HasPrefix(s.args[0], "/") && !strings.HasPrefix(s.args[0], "/%") {
		if to, isPath := strings.CutSuffix(s.args[0], "%[path]"); isPath && !strings.Contains(to, "%") {
			prefix, with, ok = "", to, true
		}
	}
	refused := r.Note(importer.Refused, s.Pos, s.Text, "sluice replaces the beginning of a path, up to a '/', and has no regular expressions")
	if !ok {
		then(refused)
		return
	}
	below := &match.Matcher{Kind: match.Path, Paths: []importer.Paths{importer.Beginning(strings.TrimSuffix(prefix, "/") + "/")}}
	if itself && prefix != "" && !strings.HasSuffix(prefix, "/") {
		below.Paths = append(below.Paths, importer.Exactly(prefix))
	}
	match.Split(r, below, func(part match.Requests) {
		if changed, can := part.Replace(prefix, with); can {
			then(changed)
		} else {
			then(refused)
		}
	}, then)
}

// begin reports whether all paths begin with a text.
func begin(paths []importer.Paths, text string) bool {
	return !slices.ContainsFunc(paths, func(p importer.Paths) bool { return !strings.HasPrefix(p.Text, text) })
}

// answers carries what a proxy does with all answers: headers, compression.
func (w *walker) answers(r match.Requests, p *proxy) match.Requests {
	for _, l := range p.Lines {
		if !l.Has("http-response") && !l.Has("http-after-response") {
			continue
		}
		s := newStep(l, 1)
		switch {
		case slices.Contains([]string{"deny", "return", "redirect"}, s.verb), slices.Contains(idle, s.verb):
		case len(s.condition) > 0 || s.verb != "set-header" && s.verb != "add-header" && s.verb != "del-header":
			w.lost(l, "sluice changes the headers of all answers of a route, without conditions")
		default:
			r = header(r, "response", s)
		}
	}
	if l, ok := p.get("compression", "algo"); ok && slices.Contains(l.Words, "gzip") {
		r = r.Set([]string{"gzip"}, "compress", "encodings")
		if types, ok := p.get("compression", "type"); ok {
			r = r.Set(types.Words[2:], "compress", "types")
		}
	}
	return r
}

// timeouts carries how long the servers of a proxy are waited for.
func (w *walker) timeouts(r match.Requests, p *proxy) match.Requests {
	var line section.Line
	server, ok := duration(p.value("timeout", "server"))
	if ok {
		r = r.Set(mapping.Duration(server, time.Millisecond, 24*time.Hour), "timeouts", "response")
		r = r.Set(mapping.Duration(server, time.Millisecond, 7*24*time.Hour), "timeouts", "idle")
		line, _ = p.get("timeout", "server")
	}
	tunnel, isSet := duration(p.value("timeout", "tunnel"))
	if isSet {
		line, _ = p.get("timeout", "tunnel")
	} else if tunnel = server; !ok {
		return r
	}
	r = r.Set(mapping.Duration(tunnel, time.Millisecond, 30*24*time.Hour), "websocket", "idle_timeout")
	if !w.noted["idle"] {
		w.noted["idle"] = true
		w.plan.Note(importer.Remark, line.Pos, line.Text, "sluice does not count pings as traffic: where clients do nothing but ping, raise websocket.idle_timeout or set ping_interval in its place")
	}
	return r
}
