package nginx

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/nginx/syntax"
	"sluice/cmd/sluice/importer/nginx/vocabulary"
)

// beforeLocations carries what a server does before it looks for a location: return, and the rewrites
// and ifs that are redirects. end is the directive that answers all requests which come to it, or nil. A rewrite that
// is refused may lead to a location before it.
func (h *handler) beforeLocations() (rules []*importer.Rule, end *syntax.Directive) {
	block := h.server.d.Block
	last := func(r *importer.Rule, d *syntax.Directive) ([]*importer.Rule, *syntax.Directive) {
		r.Unsure = len(rules) > 0
		return append(rules, r), d
	}
	for _, d := range block {
		switch d.Name {
		case "return":
			return last(h.returned(d, block, importer.Beginning("/"), h.server.scope), d)
		case "rewrite":
			r := &importer.Rule{Pos: d.Pos}
			carried := h.redirectByRewrite(r, d)
			if !carried {
				r.Note(importer.Refused, d.Pos, d.Text, "sluice has no regular expressions")
			}
			h.notBefore(r, d, block)
			if carried {
				return last(r, d)
			}
			r.Unsure = true
			rules = append(rules, r)
		case "if":
			host, ok := ifHost(d)
			if !ok || len(d.Block) != 1 || d.Block[0].Name != "return" {
				continue
			}
			h.passed = append(h.passed, d)
			switch {
			case len(h.hosts) == 1 && h.hosts[0] == host:
				r := h.returned(d.Block[0], d.Block, importer.Beginning("/"), h.server.scope)
				h.notBefore(r, d, block)
				return last(r, d)
			case slices.Contains(h.hosts, host) || h.hosts == nil || importer.HostContains(h.hosts[0], host):
				// The rule stands before those of the server, for its host alone.
				of := &handler{config: h.config, server: h.server, hosts: []string{host}, passed: h.passed}
				r := of.returned(d.Block[0], d.Block, importer.Beginning("/"), h.server.scope)
				of.notBefore(r, d, block)
				r.Hosts = []string{host}
				h.config.plan.Rules = append(h.config.plan.Rules, r)
			}
		}
	}
	return rules, nil
}

// notBefore refuses an answer if an if or a rewrite of the same block stands before the directive that gives it.
func (h *handler) notBefore(r *importer.Rule, d *syntax.Directive, block []*syntax.Directive) {
	for _, before := range block[:slices.Index(block, d)] {
		if before.Name == "rewrite" || before.Name == "if" && before != h.server.plainTo && !slices.Contains(h.passed, before) {
			r.Note(importer.Refused, before.Pos, before.Text, "sluice has no conditions like this")
		}
	}
}

// returned carries a return of a block, with what holds for it.
func (h *handler) returned(d *syntax.Directive, block []*syntax.Directive, paths importer.Paths, s *syntax.Scope) *importer.Rule {
	r := h.answer(d, paths, s)
	h.notBefore(r, d, block)
	if r.Action.Redirect == nil && !r.Guard {
		h.restrict(r, s, func(name string) bool {
			return vocabulary.AfterReturn[name] || vocabulary.Passes[name] || vocabulary.Harmless[name]
		})
	}
	return r
}

var code = regexp.MustCompile(`^[1-5][0-9][0-9]$`)

// answer carries a return.
func (h *handler) answer(d *syntax.Directive, paths importer.Paths, s *syntax.Scope) *importer.Rule {
	r := &importer.Rule{Pos: d.Pos, Paths: []importer.Paths{paths}}
	status, text := 302, d.Arg(0)
	if code.MatchString(d.Arg(0)) {
		status, _ = strconv.Atoi(d.Arg(0))
		text = d.Arg(1)
	}
	switch {
	case status == 444:
		r.Note(importer.Remark, d.Pos, d.Text, "nginx closes the connection, sluice answers 403")
		r.Guard, r.Action.Respond = true, &importer.Respond{Status: 403}
	case status >= 300 && status < 400 && status != 304 && status != 300:
		if !h.redirect(r, text, status) {
			r.Note(importer.Refused, d.Pos, d.Text, "sluice redirects to a path or a URL, with the path of the request behind it or not")
		}
	case status < 200 || vocabulary.HasVariable(text):
		r.Note(importer.Refused, d.Pos, d.Text, "sluice does not know these variables or this status")
	default:
		r.Guard = status >= 400
		r.Action.Respond = &importer.Respond{Status: status, Body: text}
		if text != "" {
			r.Action.Respond.ContentType = s.Value("default_type")
		}
	}
	return r
}

// redirect carries a redirect to a text with variables. It returns whether it could.
func (h *handler) redirect(r *importer.Rule, to string, status int) bool {
	if !slices.Contains([]int{301, 302, 303, 307, 308}, status) {
		status = 302
	}
	target := importer.Redirect{Status: status}
	to = strings.TrimSuffix(to, "$is_args$args")
	for _, uri := range []string{"$request_uri", "$uri", "${request_uri}", "${uri}"} {
		if rest, ok := strings.CutSuffix(to, uri); ok {
			to, target.Keep = rest, true
			break
		}
	}
	scheme := "http"
	if h.config.tls {
		scheme = "https"
	}
	to = strings.NewReplacer("$scheme", scheme, "${scheme}", scheme).Replace(to)
	if host, ok := h.ownName(); ok {
		to = ownName.ReplaceAllString(to, "//"+host)
	}
	if vocabulary.HasVariable(to) || to == "" && !target.Keep {
		return false
	}
	if u, err := url.Parse(to); err != nil || u.Host == "" && !strings.HasPrefix(to, "/") || to == "/" && target.Keep {
		return false
	}
	target.To = to
	r.Action = importer.Action{Redirect: &target}
	return true
}

var ownName = regexp.MustCompile(`//\$\{?(http_host|host|server_name)\b\}?`)

// ownName returns the one name that the handler is for.
func (h *handler) ownName() (string, bool) {
	if len(h.hosts) == 1 && !strings.HasPrefix(h.hosts[0], "*") {
		return h.hosts[0], true
	}
	return "", false
}

// redirectByRewrite carries a rewrite of every path that is a redirect.
func (h *handler) redirectByRewrite(r *importer.Rule, d *syntax.Directive) bool {
	to, status := strings.TrimSuffix(d.Arg(1), "?"), 0
	switch {
	case d.Arg(2) == "permanent":
		status = 301
	case d.Arg(2) == "redirect" || strings.HasPrefix(to, "http://") || strings.HasPrefix(to, "https://") || strings.HasPrefix(to, "$scheme"):
		status = 302
	default:
		return false
	}
	switch d.Arg(0) {
	case "^", ".*", "^.*$":
	case "^(.*)$", "(.*)", "^(.*)":
		to = strings.Replace(to, "$1", "$request_uri", 1)
	case "^/(.*)$", "^/(.*)":
		to = strings.Replace(to, "/$1", "$request_uri", 1)
	default:
		return false
	}
	return h.redirect(r, to, status)
}
