// Package explain tells what a configuration would do with a request, without running anything.
package explain

import (
	"net/http"
	"net/url"

	"sluice/config"
	"sluice/internal/header"
	"sluice/internal/message"
	"sluice/proxy/serve"
	"sluice/proxy/translate"
	"sluice/route"
	"sluice/upgrade"
)

// Question is a request to explain, before it is sent.
type Question struct {
	Method    string
	URL       *url.URL
	Header    http.Header // Origin among them
	WebSocket bool
}

// Answer is what a configuration would do with a request.
type Answer struct {
	Steps  []Step        // in order of precedence
	Route  *config.Route // nil when no route takes it
	Status int           // what it is answered with then, or where it is refused; else 0
	Path   string        // what the backend or the files see
	// Refused is why the route's policy lets no such handshake through; "" when
	// it does, or the request is none.
	Refused string
}

// Step is what one route says to a request.
type Step struct {
	Route  *config.Route
	Name   string // its identity
	Takes  bool
	Reason string
}

// Ask returns what cfg would do with q. It reads and writes no file and asks no
// endpoint. The error says what of q is malformed.
func Ask(cfg *config.Config, q Question) (*Answer, error) {
	entries := make([]route.Entry[*config.Route], len(cfg.Routes))
	for i := range cfg.Routes {
		c := &cfg.Routes[i]
		entries[i] = route.Entry[*config.Route]{Pattern: translate.Pattern(c), Value: c}
	}
	table, _ := route.Compile(entries) // conflicts are for proxy.Check to report
	r, _, err := serve.RouteRequest(q.message(), q.WebSocket)
	if err != nil {
		return nil, err
	}
	e := &Answer{}
	for _, step := range table.Explain(&r) {
		c := &cfg.Routes[step.Route]
		e.Steps = append(e.Steps, Step{c, translate.Identity(c), step.Takes, step.Reason})
	}
	m, miss := table.Match(&r)
	if miss != route.None {
		e.Status = serve.StatusOf(miss)
		return e, nil
	}
	c := m.Value
	rewrite, err := route.NewRewrite(c.Paths, c.StripPrefix, c.Rewrite)
	if err != nil {
		return nil, err
	}
	e.Route, e.Path = c, rewrite.Path(r.Path, m.Rest, m.Variables)
	if !q.WebSocket || c.Backend == "" && c.Split == nil {
		return e, nil
	}
	policy, err := translate.Policy(c)
	if err != nil {
		return nil, err
	}
	e.Status, e.Refused = refused(policy, q)
	return e, nil
}

func (q *Question) message() *message.Request {
	return &message.Request{
		Method: q.Method, Host: q.URL.Host, Path: message.PathOf(q.URL), RawQuery: q.URL.RawQuery, Header: header.FromHTTP(q.Header),
	}
}

// refused returns with which status and why a policy lets no such handshake through, or "".
func refused(p upgrade.Policy, q Question) (status int, reason string) {
	hello := &upgrade.Request{Origin: q.Header.Get("Origin")}
	if len(p.Subprotocols) > 0 {
		hello.Protocols = p.Subprotocols[:1] // the subprotocols that the client would offer are not in q
	}
	site := upgrade.Site{Host: q.URL.Host, Secure: q.URL.Scheme == "wss" || q.URL.Scheme == "https"}
	if refusal := p.Apply(hello, site); refusal != nil {
		return refusal.Status, refusal.Reason
	}
	return 0, ""
}
