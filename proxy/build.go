package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"

	"github.com/rs/zerolog"

	"sluice/config"
	"sluice/internal/cookie"
	"sluice/internal/telemetry/metrics"
	"sluice/internal/tracing"
	"sluice/proxy/backend"
	"sluice/proxy/compress"
	"sluice/proxy/drain"
	"sluice/proxy/listen"
	"sluice/proxy/serve"
	"sluice/proxy/translate"
	"sluice/route"
	"sluice/tlsconf"
)

// snapshot is everything that one configuration decides. It never changes.
type snapshot struct {
	*serve.Snapshot
	pools    map[string]*backend.Pool
	settings map[string]backend.Settings // of the pools, from Apply on
	cookies  *cookie.Key                 // nil unless a cookie is signed
	notes    []string                    // for the operator
	tracing  *tracing.Options            // nil without
	drain    drain.Plan
}

// warnings returns what may be wrong although it is no mistake.
func (s *snapshot) warnings() []string {
	if s.Store == nil {
		return s.notes
	}
	return slices.Concat(s.notes, s.Store.Warnings())
}

// count makes s count what it does.
func (s *snapshot) count(m *metrics.Metrics) {
	for name, svc := range s.Services {
		svc.Metrics = m.Route(name)
	}
	for name, settings := range s.settings {
		settings.Metrics = m.Backend(name)
		s.settings[name] = settings
	}
}

// newSnapshot returns a snapshot without backends, routes and certificates.
func newSnapshot(cfg *config.Config) *snapshot {
	return &snapshot{
		Snapshot: &serve.Snapshot{
			Services:    make(map[string]*serve.Service),
			Log:         zerolog.Nop(),
			AccessLog:   cfg.Log.Access,
			Via:         cfg.Via,
			Redact:      cfg.Log.Redact,
			MaxSessions: cfg.MaxSessions,
			Outline:     translate.Outline(cfg),
		},
		pools:    make(map[string]*backend.Pool),
		settings: make(map[string]backend.Settings),
		drain:    drain.Plan{Delay: cfg.Shutdown.Delay, Timeout: cfg.Shutdown.Timeout, Spread: cfg.Shutdown.Spread},
	}
}

// builder turns a configuration into a snapshot. It does everything that can fail, does
// not touch what runs, and collects every mistake.
type builder struct {
	cfg      *config.Config
	old      *snapshot // nil for a check; what is the same in it is used again
	next     *snapshot
	state    string // directory for what outlives the process
	problems config.Problems

	logEndpoint func(backend.Event)
	groups      *groups                         // of routes that there were before; nil for a check
	metrics     *metrics.Metrics                // nil counts nothing
	targets     map[string]*serve.Target        // by backend
	compressors map[string]*compress.Compressor // by options
}

func newBuilder(cfg *config.Config, old *snapshot, logEndpoint func(backend.Event)) *builder {
	return &builder{
		cfg: cfg, old: old, state: cfg.StateDir, logEndpoint: logEndpoint,
		targets: make(map[string]*serve.Target), compressors: make(map[string]*compress.Compressor),
	}
}

func (b *builder) fail(pos config.Pos, path string, err error) {
	b.problems = append(b.problems, b.cfg.Problem(pos, path, "%v", err))
}

// failAll reports mistakes whose paths are whole.
func (b *builder) failAll(all []translate.Mistake) {
	for _, m := range all {
		b.fail(b.cfg.Position(m.Path), m.Path, m.Err)
	}
}

func (b *builder) note(format string, args ...any) {
	b.next.notes = append(b.next.notes, fmt.Sprintf(format, args...))
}

// build returns a snapshot without logger and without listeners.
func (b *builder) build() *snapshot {
	s := newSnapshot(b.cfg)
	b.next = s
	s.notes = append(s.notes, b.cfg.Notes...)
	for _, p := range b.cfg.TrustedProxies {
		s.TrustUnix = s.TrustUnix || p.Unix
		if !p.Unix {
			s.TrustedProxies = append(s.TrustedProxies, p.Prefix)
		}
	}
	if b.cfg.TLS != nil {
		s.Store = b.certificates()
	}
	for i := range b.cfg.Backends {
		b.backend(&b.cfg.Backends[i])
	}
	s.Routes = b.routes()
	var mistakes []translate.Mistake
	s.tracing, mistakes = translate.Tracing(b.cfg.Tracing)
	b.failAll(mistakes)
	return s
}

// routes builds the services of all routes, and the table that matches requests to them.
func (b *builder) routes() *route.Table[*serve.Service] {
	entries := make([]route.Entry[*serve.Service], len(b.cfg.Routes))
	for i := range b.cfg.Routes {
		c := &b.cfg.Routes[i]
		svc := b.service(c)
		entries[i] = route.Entry[*serve.Service]{Pattern: translate.Pattern(c), Value: svc}
		b.next.Services[svc.Group.Name] = svc
	}
	table, conflicts := route.Compile(entries)
	for _, c := range conflicts {
		err := errors.New(c.Message)
		if c.By != nil {
			pos, _ := b.spot(*c.By)
			err = fmt.Errorf("%w (%s)", err, b.cfg.Line(pos))
		}
		pos, path := b.spot(c.Spot)
		b.fail(pos, path, err)
	}
	b.next.notes = append(b.next.notes, translate.PathHints(b.cfg, table)...)
	return table
}

// spot returns where a host and a path of a route stand.
func (b *builder) spot(at route.Spot) (config.Pos, string) {
	path := translate.Spot(&b.cfg.Routes[at.Route], at)
	return b.cfg.Position(path), path
}

// service builds what a route does. What lives longer than a configuration comes from
// the route of the same identity in the old one.
func (b *builder) service(c *config.Route) *serve.Service {
	s, mistakes := translate.Service(c)
	for _, m := range mistakes {
		path := translate.RoutePath(c) + m.Path
		b.fail(b.cfg.Position(path), path, m.Err)
	}
	name := translate.Identity(c)
	s.Group = b.groups.of(name)
	var before *serve.Admission
	if same := b.old.service(name); same != nil {
		before = &same.Admission
	}
	s.Admission.Inherit(before)
	s.Targets = b.targetsOf(c)
	if c.Mirror != nil && b.targets[c.Mirror.Backend] != nil {
		s.Mirror = serve.NewMirror(b.targets[c.Mirror.Backend], float64(c.Mirror.Share), int64(c.Mirror.MaxBody))
	}
	if c.SplitCookie != "" {
		s.SplitCookie = &cookie.Cookie{Key: b.cookieKey(), Purpose: "split " + name, Attrs: http.Cookie{
			Name: c.SplitCookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		}}
	}
	if c.Compress != nil {
		var err error
		if s.Compress, err = b.compressor(translate.Compression(c.Compress)); err != nil {
			b.fail(c.Pos, translate.RoutePath(c)+".compress", err)
		}
	}
	return s
}

// service returns the service of a route, or nil.
func (s *snapshot) service(identity string) *serve.Service {
	if s == nil {
		return nil
	}
	return s.Services[identity]
}

// targetsOf returns the backends of a route; nil when it has none.
func (b *builder) targetsOf(c *config.Route) (all []serve.WeightedTarget) {
	if t := b.targets[c.Backend]; t != nil {
		return []serve.WeightedTarget{{Target: t, Weight: 1}}
	}
	for _, part := range c.Split {
		if t := b.targets[part.Backend]; t != nil {
			all = append(all, serve.WeightedTarget{Target: t, Weight: part.Weight})
		}
	}
	return all
}

// compressor returns one compressor for all routes that compress alike: each bounds its
// memory by itself.
func (b *builder) compressor(o compress.Options) (*compress.Compressor, error) {
	key := fmt.Sprint(o)
	if same, ok := b.compressors[key]; ok {
		return same, nil
	}
	c, err := compress.New(o)
	if err == nil {
		b.compressors[key] = c
	}
	return c, err
}

// backend builds the pool of a backend, or the next settings of the one there is.
func (b *builder) backend(c *config.Backend) {
	settings, mistakes := translate.Backend(c, translate.TakesRecords(b.cfg))
	b.failAll(mistakes)
	t := translate.Target(c)
	if t.Pool = b.old.pool(c.Name); t.Pool == nil {
		t.Pool = backend.New(c.Name, settings, b.logEndpoint)
	}
	if c.Sticky != nil {
		t.Sticky = &cookie.Cookie{Key: b.cookieKey(), Purpose: "endpoint of " + c.Name, Attrs: translate.StickyCookie(c.Sticky)}
	}
	b.next.pools[c.Name], b.next.settings[c.Name], b.targets[c.Name] = t.Pool, settings, t
	if c.TLS.Insecure {
		b.note("backend %s: tls.insecure is set: the certificates of its endpoints are NOT verified, anyone in between can read and change everything", c.Name)
	}
}

// pool returns the pool of a backend, or nil.
func (s *snapshot) pool(name string) *backend.Pool {
	if s == nil {
		return nil
	}
	return s.pools[name]
}

// cookieKey returns what signs cookies. If it cannot be kept, clients lose their place
// with a restart.
func (b *builder) cookieKey() *cookie.Key {
	if b.next.cookies != nil {
		return b.next.cookies
	}
	k, err := cookie.OpenKey(b.state)
	if err != nil {
		b.note("state_dir: the key of cookies cannot be kept, clients lose their place when sluice restarts: %v", err)
		if k = cookie.NewKey(); b.old != nil && b.old.cookies != nil {
			k = b.old.cookies
		}
	}
	b.next.cookies = k
	return k
}

// certificates returns the store of certificates. It keeps what the old one has.
func (b *builder) certificates() *tlsconf.Store {
	var old *tlsconf.Store
	if b.old != nil {
		old = b.old.Store
	}
	options := translate.TLS(b.cfg, b.state)
	options.Handshake = b.metrics.TLSHandshake
	store, err := tlsconf.New(options, old)
	if err != nil {
		b.failAll(translate.TLSMistakes(err))
		return nil
	}
	if b.cfg.TLS.ACME != nil {
		mistakes, notes := translate.OrderMistakes(b.cfg, store)
		b.failAll(mistakes)
		b.next.notes = append(b.next.notes, notes...)
	}
	return store
}

// openListeners opens the listeners of the configuration, unless there are problems
// already. Cancel must be called when there are problems afterwards.
func (b *builder) openListeners(set *listen.Set) (change *listen.Change, cancel func()) {
	if len(b.problems) > 0 {
		return nil, func() {}
	}
	change, problems := set.Open(translate.Listeners(b.cfg))
	for _, p := range problems {
		b.fail(b.cfg.Listeners[p.Index].Pos, fmt.Sprintf("listeners[%d]", p.Index), p.Err)
	}
	return change, change.Cancel
}

// Check runs the build step of a configuration without listening. It returns its mistakes,
// and what is no mistake but may be wrong. It leaves nothing behind: the local CA
// that it makes is removed.
func Check(cfg *config.Config) (config.Problems, []string) {
	b := newBuilder(cfg, nil, nil)
	dir, err := os.MkdirTemp("", "sluice-check-")
	if err != nil {
		b.fail(config.Pos{Line: 1, Column: 1}, "", fmt.Errorf("no temporary directory to check with: %w", err))
		return b.problems, nil
	}
	defer os.RemoveAll(dir)
	b.state = dir
	notes := b.build().warnings()
	return slices.Clip(b.problems), notes
}
