package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/gobwas/ws"
	"github.com/rs/zerolog"

	"sluice/config"
	"sluice/proxy/answer"
	"sluice/proxy/backend"
	"sluice/proxy/compress"
	"sluice/proxy/forward"
	"sluice/proxy/relay"
	"sluice/route"
	"sluice/upgrade"
)

// builder turns a configuration into a snapshot. It does everything that can
// fail, touches nothing that runs, and collects every mistake.
type builder struct {
	cfg      *config.Config
	old      *snapshot // parts of it that are still the same live on
	problems config.Problems
	unread   []string // backends whose statuses are said neither to be failures nor not to be
	state    string   // directory for what outlives the process
	tell     func(backend.Event)
	cookies  *signer // nil until it is needed

	compressors map[string]*compress.Compressor // by their options
}

func newBuilder(cfg *config.Config, old *snapshot) *builder {
	return &builder{cfg: cfg, old: old, state: cfg.StateDir, compressors: make(map[string]*compress.Compressor)}
}

func (b *builder) fail(pos config.Pos, path string, err error) {
	b.problems = append(b.problems, b.cfg.Problem(pos, path, "%v", err))
}

// split returns the errors that were joined to err, or err alone.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// build returns a snapshot without listeners and a logger.
func (b *builder) build() *snapshot {
	s := &snapshot{
		services:        make(map[string]*service),
		pools:           make(map[string]*backend.Pool),
		settings:        make(map[string]backend.Settings),
		supplies:        make(map[string]*supply),
		log:             zerolog.Nop(),
		proxies:         b.cfg.TrustedProxies,
		access:          b.cfg.Log.Access,
		via:             b.cfg.Via,
		redact:          b.cfg.Log.Redact,
		shutdownTimeout: b.cfg.ShutdownTimeout,
		maxSessions:     b.cfg.MaxSessions,
	}
	if b.cfg.TLS != nil {
		s.store = b.certificates(s, b.cfg.TLS)
	}
	for i := range b.cfg.Backends {
		b.backend(s, &b.cfg.Backends[i])
	}
	entries := make([]route.Entry[*service], len(b.cfg.Routes))
	for i := range b.cfg.Routes {
		c := &b.cfg.Routes[i]
		svc := b.service(c, s)
		entries[i] = route.Entry[*service]{Pattern: pattern(c), Value: svc}
		s.services[svc.group.Name] = svc
	}
	var conflicts []route.Conflict
	s.routes, conflicts = route.Compile(entries)
	for _, c := range conflicts {
		r := &b.cfg.Routes[c.Route]
		err := errors.New(c.Message)
		if c.By >= 0 {
			err = fmt.Errorf("%w (line %d)", err, b.cfg.Routes[c.By].Pos.Line)
		}
		b.fail(r.Pos, place(r), err)
	}
	return s
}

// place is the path of a route in its file.
func place(c *config.Route) string { return fmt.Sprintf("routes[%d]", c.Index) }

func pattern(c *config.Route) route.Pattern {
	return route.Pattern{
		Host: c.Host, Path: c.Path, Methods: c.Methods,
		Headers: c.Headers, Query: c.Query, Protocol: c.Protocol,
	}
}

// identity is what decides whether a route of two configurations is the same.
func identity(c *config.Route) string {
	if c.Name != "" {
		return c.Name
	}
	return pattern(c).String()
}

func (b *builder) service(c *config.Route, next *snapshot) *service {
	name, at := identity(c), place(c)
	s := &service{
		group:            &relay.Group{Name: name},
		shares:           next.shares(c),
		request:          newEdit(&c.Request),
		cacheControl:     c.CacheControl,
		handshakeTimeout: c.WebSocket.HandshakeTimeout,
		badGateway:       ws.StatusCode(c.WebSocket.CloseCodeBadGateway),
		rules:            rulesOf(&c.WebSocket),
		keepAlive:        c.WebSocket.KeepAlive,
		userTimeout:      c.WebSocket.UserTimeout,
	}
	s.minRate = float64(c.MinBodyRate)
	s.secure, s.hsts = secure(c.Security)
	s.exchange = forward.Exchange{
		Reuse: backend.Settle, Waiting: backend.Waiting, MaxBody: int64(c.MaxBodySize),
		Response: c.Timeouts.Response, Silence: c.Timeouts.Idle,
	}
	var before *admission
	if b.old != nil {
		if same, ok := b.old.services[name]; ok {
			s.group, before = same.group, &same.admission
		}
	}
	s.admission = admissionOf(&c.WebSocket.Limits, before)
	var err error
	if c.Mirror != nil {
		s.mirror = newMirror(c.Mirror, next.supplies[c.Mirror.Backend])
	}
	if c.SplitCookie != "" {
		s.splitCookie = &sticky{signer: b.signer(next), what: "split " + name, cookie: http.Cookie{Name: c.SplitCookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}}
	}
	if s.policy, err = policy(&c.WebSocket); err != nil {
		b.fail(c.Pos, at, err)
	}
	if s.rewrite, err = route.NewRewrite(pattern(c), c.StripPrefix, c.Rewrite); err != nil {
		b.fail(c.Pos, at, err)
	}
	if s.pages, err = answer.NewPages(c.ErrorPages); err != nil {
		for _, err := range split(err) {
			b.fail(c.Pos, at+".error_pages", err)
		}
	}
	if c.Compress != nil {
		if s.compress, err = b.compressor(c.Compress); err != nil {
			b.fail(c.Pos, at+".compress", err)
		}
	}
	if o := c.CORS; o != nil {
		s.cors = answer.NewCORS(answer.CORSOptions{
			Origins: o.Origins, Methods: o.Methods, Headers: o.Headers, Expose: o.Expose,
			Credentials: o.Credentials, MaxAge: o.MaxAge,
		})
	}
	s.response = newEdit(&c.Response, s.decided()...)
	s.exchange.ToBackend, s.exchange.ToClient = s.request.names, s.response.names
	switch {
	case c.Redirect != nil:
		if s.redirect, err = answer.NewRedirect(c.Redirect.To, c.Redirect.Status); err != nil {
			b.fail(c.Pos, at+".redirect", err)
		}
	case c.Respond != nil:
		s.respond = &answer.Respond{Status: c.Respond.Status, ContentType: c.Respond.ContentType, Body: c.Respond.Body}
	case c.Files != nil:
		// Nobody closes it: requests under way may need it after a reload,
		// and its descriptor goes with the last reference.
		if s.files, err = answer.NewFiles(c.Files.Root, c.Files.Index, c.Files.Fallback); err != nil {
			b.fail(c.Pos, at+".files", err)
		} else {
			s.files.Pages = s.pages
		}
	}
	return s
}

// compressor returns one for all routes that compress alike: each bounds its
// memory by itself.
func (b *builder) compressor(c *config.Compress) (*compress.Compressor, error) {
	key := fmt.Sprint(*c)
	if same, ok := b.compressors[key]; ok {
		return same, nil
	}
	z, err := compress.New(compress.Options{Encodings: c.Encodings, Types: c.Types, MinSize: int64(c.MinSize)})
	if err == nil {
		b.compressors[key] = z
	}
	return z, err
}

// policy returns what a route lets handshakes do.
func policy(c *config.WebSocket) (upgrade.Policy, error) {
	p := upgrade.Policy{Subprotocols: c.Subprotocols, StripCompression: c.Compression == "strip"}
	for _, text := range c.Origins {
		o, err := upgrade.ParseOrigin(text)
		if err != nil {
			return p, err
		}
		p.Origins = append(p.Origins, o)
	}
	return p, nil
}

// hints says what has come to mean something else in a later version.
func (b *builder) hints() []string {
	if len(b.unread) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("passive: the statuses 502, 503 and 504 are no failures of an endpoint any more: write 'passive: { statuses: [502, 503, 504] }' where they shall be, else 'statuses: off' (backends %s)", strings.Join(b.unread, ", "))}
}

// Check runs the build step of a configuration without listening, and returns
// its mistakes, and what is no mistake but may be wrong or new. It leaves nothing
// behind: the local CA it makes is thrown away.
func Check(cfg *config.Config) (config.Problems, []string) {
	b := newBuilder(cfg, nil)
	dir, err := os.MkdirTemp("", "sluice-check-")
	if err != nil {
		b.fail(config.Pos{Line: 1, Column: 1}, "", fmt.Errorf("no temporary directory to check with: %w", err))
		return b.problems, nil
	}
	defer os.RemoveAll(dir)
	b.state = dir
	s := b.build()
	return slices.Clip(b.problems), append(s.warnings(), b.hints()...)
}
