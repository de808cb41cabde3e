package haproxy

import (
	"errors"
	"slices"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/haproxy/section"
	"sluice/cmd/sluice/importer/match"
)

// A walker follows requests through the steps of the frontend and then of a backend, and makes a rule
// where they are answered.
type walker struct {
	*config
	rules match.Rules
	work  int
	err   error
}

// maxWork bounds the steps that are taken with sets of requests.
const maxWork = 50_000

// frontend makes the rules of a frontend.
func (w *walker) frontend(p *proxy) error {
	requests := w.enter(match.Everything(nil), p)
	if l, ok := p.get("monitor-uri"); ok && strings.HasPrefix(l.Word(1), "/") {
		w.rules.Add(match.Requests{Paths: []importer.Paths{importer.Exactly(l.Word(1))}},
			importer.Rule{Pos: l.Pos, Action: importer.Action{Respond: &importer.Respond{Status: 200, Body: "Service ready."}}})
	}
	w.run(requests, p, p.steps.all(), func(r match.Requests) {
		if p.isBack() && p.hasServers() {
			w.serve(r, p)
			return
		}
		w.rules.Add(r, importer.Rule{Pos: p.Pos, Action: importer.Action{Respond: &importer.Respond{Status: 503}}})
	})
	return w.err
}

// enter returns requests as they come into a proxy.
func (w *walker) enter(r match.Requests, p *proxy) match.Requests {
	for _, n := range p.restrict() {
		if n.Kind == importer.Refused {
			r = r.Note(n.Kind, n.Pos, n.Text, n.Why)
		} else {
			w.lost(section.Line{Pos: n.Pos, Text: n.Text}, n.Why)
		}
	}
	return w.answers(r, p)
}

// run takes requests through steps, and gives what goes on behind them to then.
func (w *walker) run(r match.Requests, p *proxy, all []step, then func(match.Requests)) {
	for i, s := range all {
		if w.work++; w.work > maxWork && w.err == nil {
			w.err = errors.New(p.Pos.String() + ": the conditions of its rules make too many routes: import a part of it")
		}
		m, err := reading{proxy: p, tls: w.tls, strict: s.guards() || w.leadsToGuard(s)}.matcher(s)
		if w.err != nil || err != nil {
			w.err = errors.Join(w.err, err)
			return
		}
		if slices.Contains(idle, s.verb) || s.isGateways() {
			w.plan.MergesSlashes = w.plan.MergesSlashes || s.verb == "normalize-uri" && slices.Contains(s.args, "path-merge-slashes")
			continue
		}
		rest := all[i+1:]
		known := true // which requests meet the condition
		doubt := func(part match.Requests) {
			known = false
			if part = s.because(part); s.modifies() {
				w.rules.Add(part, importer.Rule{Pos: s.Pos})
			} else {
				w.answer(part, p, s, all, then)
			}
		}
		whole := match.Take(r, m, func(part match.Requests, sure bool) {
			switch {
			case !sure:
				doubt(part)
			case s.modifies():
				w.change(part, s, func(changed match.Requests) { w.run(changed, p, rest, then) })
			default:
				w.answer(part, p, s, all, then)
			}
		}, func(others match.Requests, sure bool) {
			if !sure {
				doubt(others)
				return
			}
			w.run(others, p, rest, then)
		})
		if whole && known { // else the rules of what follows come behind those that are refused, and say what the source does
			return
		}
	}
	then(r)
}

// because returns requests that are refused for the condition of the step, with a note that says so.
func (s step) because(part match.Requests) match.Requests {
	if slices.ContainsFunc(part.Notes, func(n importer.Note) bool { return n.Kind == importer.Refused && n.Pos == s.Pos }) {
		return part
	}
	return part.Note(importer.Refused, s.Pos, s.Text, "sluice cannot tell which requests meet its condition")
}

// guards reports whether a step keeps clients from something.
func (s step) guards() bool {
	return !slices.Contains(idle, s.verb) && !slices.Contains([]string{"use_backend", "default_backend", "redirect", "set-header", "add-header", "set-path", "replace-path", "allow"}, s.verb)
}

// leadsToGuard reports whether a step leads to a backend that keeps clients from something, or answers none.
func (w *walker) leadsToGuard(s step) bool {
	if s.verb != "use_backend" {
		return false
	}
	p := w.backend(s.Word(1))
	return p == nil || !p.hasServers() || slices.ContainsFunc(p.steps.requests, step.guards) ||
		slices.ContainsFunc(p.restrict(), func(n importer.Note) bool { return n.Kind == importer.Refused })
}

// answer makes the rule of a step that ends the way of requests through a proxy, or takes them on.
func (w *walker) answer(r match.Requests, p *proxy, s step, all []step, then func(match.Requests)) {
	rule := importer.Rule{Pos: s.Pos}
	switch s.verb {
	case "allow":
		rest := all[slices.IndexFunc(all, func(other step) bool { return other.Pos == s.Pos })+1:]
		w.run(r, p, slices.DeleteFunc(slices.Clone(rest), func(s step) bool { return s.Words[0] == "http-request" }), then)
		return
	case "use_backend", "default_backend":
		w.use(r, s)
		return
	case "redirect":
		if r, rule.Action.Redirect = w.redirect(r, s); rule.Action.Redirect == nil {
			r = r.Note(importer.Refused, s.Pos, s.Text, "sluice redirects to a path or a URL, with the path of the request behind it or not")
		}
	case "deny", "tarpit", "reject", "silent-drop":
		rule.Guard = true
		status := 403
		if n, ok := statusOf(s); ok {
			status = n
		}
		if s.verb != "deny" {
			status = 403
			r = r.Note(importer.Remark, s.Pos, s.Text, "sluice answers 403 at once")
		}
		rule.Action.Respond = &importer.Respond{Status: status}
	case "return":
		if r, rule.Action.Respond = w.respond(r, s); rule.Action.Respond == nil {
			r = r.Note(importer.Refused, s.Pos, s.Text, "sluice answers with a status and a text that are in the file")
		}
	case "auth":
		r = r.Note(importer.Refused, s.Pos, s.Text, "sluice does not ask for passwords")
	default:
		r = r.Note(importer.Refused, s.Pos, s.Text, "sluice does not know "+s.verb)
	}
	w.rules.Add(r, rule)
}

// use takes requests to a backend.
func (w *walker) use(r match.Requests, s step) {
	name := s.Word(1)
	p := w.backend(name)
	switch {
	case strings.Contains(name, "%["):
		w.rules.Add(r.Note(importer.Refused, s.Pos, s.Text, "sluice does not choose a backend by a value of the request: name them one by one"), importer.Rule{Pos: s.Pos})
		return
	case p == nil:
		w.rules.Add(r.Note(importer.Refused, s.Pos, s.Text, "there is no backend "+name+" in mode http"), importer.Rule{Pos: s.Pos})
		return
	}
	steps := slices.Concat(p.steps.requests, p.steps.redirects)
	w.run(w.enter(r, p), p, steps, func(r match.Requests) { w.serve(r, p) })
}

// serve makes the rule by which requests go to the servers of a proxy.
func (w *walker) serve(r match.Requests, p *proxy) {
	rule := importer.Rule{Pos: p.Pos}
	name, err := w.servers(p)
	if err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	if rule.Action.Backend = name; name == "" {
		rule.Action.Respond = &importer.Respond{Status: 503} // as HAProxy answers without a server
		rule.Guard = true
	}
	w.rules.Add(w.timeouts(r, p), rule)
}
