package translate

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"sluice/config"
	"sluice/internal/limit"
	"sluice/proxy/answer"
	"sluice/proxy/backend/dial"
	"sluice/proxy/compress"
	"sluice/proxy/forward"
	"sluice/proxy/headers"
	"sluice/proxy/relay"
	"sluice/proxy/serve"
	"sluice/route"
	"sluice/upgrade"
)

// Pattern returns what a route matches.
func Pattern(c *config.Route) route.Pattern {
	return route.Pattern{
		Hosts: c.Hosts, Paths: c.Paths, Methods: c.Methods,
		Headers: c.Headers, Query: c.Query, Protocol: c.Protocol,
	}
}

// RoutePath is the path of a route in its file.
func RoutePath(c *config.Route) string { return fmt.Sprintf("routes[%d]", c.Index) }

// Spot returns the path in the file of what a conflict is about: of the path, if the route has several,
// else of the host, if it has several, else of the route.
func Spot(c *config.Route, at route.Spot) string {
	switch {
	case at.Path >= 0 && len(c.Paths) > 1:
		return fmt.Sprintf("%s.path[%d]", RoutePath(c), at.Path)
	case at.Host >= 0 && len(c.Hosts) > 1:
		return hostPath(c, at.Host)
	case at.Path >= 0 && at.Host < 0:
		return RoutePath(c) + ".path"
	case at.Host >= 0 && at.Path < 0:
		return RoutePath(c) + ".host"
	}
	return RoutePath(c)
}

// hostPath is the path of a host of a route in its file.
func hostPath(c *config.Route, n int) string {
	if len(c.Hosts) == 1 {
		return RoutePath(c) + ".host"
	}
	return fmt.Sprintf("%s.host[%d]", RoutePath(c), n)
}

// PathHints names the exact paths that end in '/' and below which no route takes anything: in the files
// of other proxies such a path stands for all that is below.
func PathHints[T any](cfg *config.Config, table *route.Table[T]) (hints []string) {
	for i := range cfg.Routes {
		c := &cfg.Routes[i]
		for n, text := range c.Paths {
			path, err := route.Clean(text + "x")
			if err != nil || !strings.HasSuffix(text, "/") || belowIsTaken(c, path, table) {
				continue
			}
			what := "only itself"
			if text == "/" {
				what = "only the start page"
			}
			at := RoutePath(c)
			if len(c.Paths) > 1 {
				at = Spot(c, route.Spot{Path: n})
			}
			hints = append(hints, fmt.Sprintf("%s (%s): path %s matches %s; write %s* for everything below", at, cfg.Line(cfg.Position(at)), text, what, text))
		}
	}
	return hints
}

// belowIsTaken reports whether a route takes a path on each host of the route c.
func belowIsTaken[T any](c *config.Route, path string, table *route.Table[T]) bool {
	hosts := c.Hosts
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, host := range hosts {
		q := route.Request{Method: http.MethodGet, Host: strings.Replace(host, "*", "x", 1), Path: path, WebSocket: c.Protocol == "websocket"}
		if _, miss := table.Match(&q); miss == route.NotFound {
			return false
		}
	}
	return true
}

// Identity returns what makes a route the same route in another configuration: its name,
// else all its matchers.
func Identity(c *config.Route) string {
	if c.Name != "" {
		return c.Name
	}
	return Pattern(c).String()
}

// Service returns what a route does, without what it shares with other routes or with
// the configuration before: group, counts, targets, mirror, cookie and compressor.
func Service(c *config.Route) (*serve.Service, []Mistake) {
	var mistakes []Mistake
	check := func(path string, err error) {
		for _, err := range split(err) {
			mistakes = append(mistakes, Mistake{path, err})
		}
	}
	s := &serve.Service{
		RequestHeaders:   edit(&c.Request),
		MinRate:          float64(c.MinBodyRate),
		HandshakeTimeout: c.WebSocket.HandshakeTimeout,
		BadGateway:       ws.StatusCode(c.WebSocket.CloseCodeBadGateway),
		Admission:        admission(&c.WebSocket.Limits),
		Rules:            rules(&c.WebSocket),
		KeepAlive:        c.WebSocket.KeepAlive,
		UserTimeout:      c.WebSocket.UserTimeout,
	}
	if c.Tap != nil && c.Tap.Payload {
		s.TapPayload = int(c.Tap.Max)
	}
	var err error
	s.Policy, err = Policy(c)
	check("", err)
	s.Rewrite, err = route.NewRewrite(c.Paths, c.StripPrefix, c.Rewrite)
	check("", err)
	s.Pages, err = answer.NewPages(c.ErrorPages)
	check(".error_pages", err)
	var corsFields []string
	if o := c.CORS; o != nil {
		corsFields = answer.CORSFields()
		s.CORS = answer.NewCORS(answer.CORSOptions{
			Origins: o.Origins, Methods: o.Methods, Headers: o.Headers, Expose: o.Expose,
			Credentials: o.Credentials, MaxAge: o.MaxAge,
		})
	}
	s.ResponseHeaders = headers.NewResponse(c.Response.Remove, templates(&c.Response), c.CacheControl, security(c.Security), corsFields...)
	s.Forward = forward.Exchange{
		Reuse: dial.CheckIdle, Waiting: dial.Waiting, MaxBody: int64(c.MaxBodySize),
		Response: c.Timeouts.Response, Silence: c.Timeouts.Idle,
		ToBackend: *s.RequestHeaders.Names(), ToClient: *s.ResponseHeaders.Names(),
	}
	switch {
	case c.Redirect != nil:
		s.Redirect, err = answer.NewRedirect(c.Redirect.To, c.Redirect.Status)
		check(".redirect", err)
	case c.Respond != nil:
		s.Respond = &answer.Respond{Status: c.Respond.Status, ContentType: c.Respond.ContentType, Body: c.Respond.Body}
	case c.Files != nil:
		// The files are never closed: requests in work may need them after a reload, and
		// the descriptor is closed with the last reference.
		s.Files, err = answer.NewFiles(c.Files.Root, c.Files.Index, c.Files.Fallback)
		check(".files", err)
		if err == nil {
			s.Files.Pages, s.Files.Browse = s.Pages, c.Files.Browse
		}
	}
	return s, mistakes
}

// split returns the errors that were joined to err, or err alone; none for nil.
func split(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// Policy returns which handshakes a route lets through.
func Policy(c *config.Route) (upgrade.Policy, error) {
	p := upgrade.Policy{
		Subprotocols: c.WebSocket.Subprotocols, StripCompression: c.WebSocket.Compression == "strip",
		NoTakeover: c.Tap != nil && c.Tap.NoContextTakeover,
	}
	for _, text := range c.WebSocket.Origins {
		o, err := upgrade.ParseOrigin(text)
		if err != nil {
			return p, err
		}
		p.Origins = append(p.Origins, o)
	}
	return p, nil
}

// Compression returns how the answers of a route are compressed.
func Compression(c *config.Compress) compress.Options {
	return compress.Options{Encodings: c.Encodings, Types: c.Types, MinSize: int64(c.MinSize)}
}

func edit(c *config.Headers) headers.Edit { return headers.NewEdit(c.Remove, templates(c)) }

func templates(c *config.Headers) map[string]headers.Template {
	set := make(map[string]headers.Template, len(c.Set))
	for name, value := range c.Set {
		if c.FromFile[name] {
			set[name] = headers.Text(value)
			continue
		}
		parts := config.Parts(value)
		t := make(headers.Template, len(parts)) // empty for the value ""
		for i, p := range parts {
			t[i] = headers.Part(p)
		}
		set[name] = t
	}
	return set
}

func security(c *config.Security) (s headers.Security) {
	if c == nil {
		return s
	}
	s.Always = make(map[string]string)
	if c.NoSniff {
		s.Always["X-Content-Type-Options"] = "nosniff"
	}
	switch c.FrameOptions {
	case "deny":
		s.Always["X-Frame-Options"] = "DENY"
	case "same-origin":
		s.Always["X-Frame-Options"] = "SAMEORIGIN"
	}
	if c.HSTS > 0 {
		s.HSTS = "max-age=" + strconv.Itoa(int(c.HSTS/time.Second))
	}
	return s
}

func admission(c *config.SessionLimits) serve.Admission {
	return serve.Admission{
		Sessions: c.Sessions, SessionsPerIP: c.SessionsPerIP,
		HandshakeRate: limit.Rate{PerSecond: float64(c.HandshakeRate), Burst: c.HandshakeBurst},
	}
}

func rules(c *config.WebSocket) relay.Rules {
	return relay.Rules{
		Client:   traffic(&c.Limits.Client),
		Backend:  traffic(&c.Limits.Backend),
		Idle:     c.IdleTimeout,
		Lifetime: c.MaxLifetime,
		Ping:     c.PingInterval,
		Pong:     c.PongTimeout,
		Stall:    c.StallTimeout,
		Buffer:   int(c.BufferSize),
	}
}

func traffic(c *config.Traffic) relay.Traffic {
	return relay.Traffic{
		Frame: int64(c.FrameSize), Message: int64(c.MessageSize),
		MessageRate: float64(c.MessageRate), MessageBurst: int64(c.MessageBurst),
		ByteRate: float64(c.ByteRate), ByteBurst: int64(c.ByteBurst),
		EndOverRate: c.OnExcess == "close",
	}
}
