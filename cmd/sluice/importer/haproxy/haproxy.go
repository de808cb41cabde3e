// Package haproxy reads configurations of HAProxy.
package haproxy

import (
	"errors"
	"slices"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/haproxy/section"
	"sluice/cmd/sluice/importer/match"
)

// config is a configuration while it is read.
type config struct {
	plan     *importer.Plan
	global   *section.Section // nil if there is none
	proxies  []*proxy
	others   []*proxy          // that are not in mode http: nothing but their binds is known
	backends map[*proxy]string // their names in the plan
	tls      tri               // whether requests come over TLS
	noted    map[string]bool
}

// tri is yes, no, or either.
type tri int

const (
	no tri = iota
	yes
	either
)

// A proxy is a frontend, a backend, or a listen, which is both.
type proxy struct {
	*section.Section
	acls  map[string][]section.Line
	binds []bind
	steps steps
}

func (p *proxy) isFront() bool { return p.Kind != "backend" }
func (p *proxy) isBack() bool  { return p.Kind != "frontend" }

// get returns the last line that begins with words.
func (p *proxy) get(words ...string) (last section.Line, ok bool) {
	for _, l := range p.Lines {
		if l.Has(words...) {
			last, ok = l, true
		}
	}
	return last, ok
}

// value returns the first word behind words of the last line that begins with them, or "".
func (p *proxy) value(words ...string) string {
	l, _ := p.get(words...)
	return l.Word(len(words))
}

// option reports whether an option is set, and its line.
func (p *proxy) option(name string) (last section.Line, on bool) {
	for _, l := range p.Lines {
		switch {
		case l.Has("option", name):
			last, on = l, true
		case l.Has("no", "option", name):
			on = false
		}
	}
	return last, on
}

// Read reads the files of a source one behind the other.
func Read(source importer.Source) (*importer.Plan, error) {
	sections, err := section.Read(source)
	if err != nil {
		return nil, err
	}
	c := &config{plan: &importer.Plan{From: "HAProxy"}, backends: map[*proxy]string{}, noted: map[string]bool{}}
	for _, s := range sections {
		if err := c.add(s); err != nil {
			return nil, err
		}
	}
	front, err := c.choose()
	if err != nil {
		return nil, err
	}
	if front == nil {
		return nil, errors.New(source.Files[0].Name + ": there is no frontend in it that listens and has mode http: import the files that have one together")
	}
	w := &walker{config: c, rules: match.Rules{Plan: c.plan}}
	if err := w.frontend(front); err != nil {
		return nil, err
	}
	return c.plan, nil
}

// add adds a section.
func (c *config) add(s *section.Section) error {
	switch s.Kind {
	case "global":
		if c.global != nil {
			s.Lines = append(slices.Clip(c.global.Lines), s.Lines...)
		}
		c.global = s
		for _, l := range s.Lines {
			if slices.Contains([]string{"maxconnrate", "maxsessrate", "maxsslconn", "maxsslrate"}, l.Words[0]) {
				c.lost(l, "sluice bounds connections for each listener, 'max_connections', and requests for each client, 'request_rate'")
			}
		}
	case "frontend", "backend", "listen":
		p := &proxy{Section: s, acls: map[string][]section.Line{}}
		if slices.ContainsFunc(c.proxies, func(q *proxy) bool {
			return q.Name == p.Name && (q.isFront() && p.isFront() || q.isBack() && p.isBack())
		}) {
			return s.Pos.Errorf("%s is there twice: remove one", s.Name)
		}
		if _, off := p.get("disabled"); off {
			return nil
		}
		if p.value("mode") != "http" { // tcp is what holds without it
			c.plan.Note(importer.Lost, s.Pos, s.Text, "sluice carries HTTP and WebSockets alone: it has no mode http")
			for _, l := range p.Lines {
				if l.Has("bind") && p.isFront() {
					binds, _ := readBind(l) // without those that sluice cannot read
					p.binds = append(p.binds, binds...)
				}
			}
			c.others = append(c.others, p)
			return nil
		}
		c.proxies = append(c.proxies, p)
		return p.read()
	case "userlist", "peers", "resolvers", "mailers", "ring", "traces", "log-profile", "crt-store", "acme", "http-errors":
	default:
		c.plan.Note(importer.Lost, s.Pos, s.Text, "sluice has nothing like it")
	}
	return nil
}

// backend returns the backend of a name, or nil.
func (c *config) backend(name string) *proxy {
	for _, p := range c.proxies {
		if p.isBack() && p.Name == name {
			return p
		}
	}
	return nil
}

// lost adds a note about the plan, once for each place and reason.
func (c *config) lost(l section.Line, why string) {
	if key := l.Pos.String() + why; !c.noted[key] {
		c.noted[key] = true
		c.plan.Note(importer.Lost, l.Pos, l.Text, why)
	}
}

// globally returns the last line of global that begins with a word.
func (c *config) globally(word string) (last section.Line) {
	if c.global != nil {
		for _, l := range c.global.Lines {
			if l.Has(word) {
				last = l
			}
		}
	}
	return last
}

// isWebSocket reports whether a header and its value are those of a WebSocket handshake.
func isWebSocket(name, value string) bool {
	switch strings.ToLower(name) {
	case "upgrade":
		return strings.EqualFold(value, "websocket")
	case "connection":
		return strings.EqualFold(value, "upgrade")
	}
	return false
}
