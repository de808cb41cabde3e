package proxy

import (
	"net/http"
	"net/url"

	"sluice/config"
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

// Explanation is what a configuration would do with a request.
type Explanation struct {
	Steps  []Step        // in order of precedence
	Route  *config.Route // nil when no route takes it
	Status int           // what it is answered with then, or 0
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

// Explain answers q from cfg alone. The error tells what of q is malformed.
func Explain(cfg *config.Config, q Question) (*Explanation, error) {
	entries := make([]route.Entry[int], len(cfg.Routes))
	for i := range cfg.Routes {
		entries[i] = route.Entry[int]{Pattern: translate.Pattern(&cfg.Routes[i]), Value: i}
	}
	table, _ := route.Compile(entries) // conflicts are for Check to tell
	host, err := route.CleanHost(q.URL.Host)
	if err != nil {
		return nil, err
	}
	path, err := route.Clean(serve.RawPath(q.URL))
	if err != nil {
		return nil, err
	}
	r := &route.Request{
		Method: q.Method, Host: host, Path: path, Query: q.URL.RawQuery,
		Header: q.Header, WebSocket: q.WebSocket,
	}
	e := &Explanation{}
	for _, step := range table.Explain(r) {
		c := &cfg.Routes[step.Route]
		e.Steps = append(e.Steps, Step{c, translate.Identity(c), step.Takes, step.Reason})
	}
	m, miss := table.Match(r)
	switch miss {
	case route.None:
		return e, e.take(&cfg.Routes[m.Value], q, path, m.Rest)
	case route.MethodNotAllowed:
		e.Status = http.StatusMethodNotAllowed
	case route.UpgradeRequired:
		e.Status = http.StatusUpgradeRequired
	default:
		e.Status = http.StatusNotFound
	}
	return e, nil
}

// take fills in what the route c does with q.
func (e *Explanation) take(c *config.Route, q Question, path, rest string) error {
	e.Route = c
	w, err := route.NewRewrite(translate.Pattern(c), c.StripPrefix, c.Rewrite)
	if err != nil {
		return err
	}
	e.Path = w.Path(path, rest)
	if !q.WebSocket || c.Backend == "" && c.Split == nil {
		return nil
	}
	p, err := translate.Policy(&c.WebSocket)
	if err != nil {
		return err
	}
	hello := &upgrade.Request{Origin: q.Header.Get("Origin")}
	if len(p.Subprotocols) > 0 {
		hello.Protocols = p.Subprotocols[:1] // which the client offers is not asked here
	}
	if refusal := p.Apply(hello, upgrade.Site{Host: q.URL.Host, Secure: q.URL.Scheme == "wss" || q.URL.Scheme == "https"}); refusal != nil {
		e.Refused = refusal.Reason
	}
	return nil
}
