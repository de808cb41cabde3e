// Package proxy is the spine of the gateway: it applies configurations, runs the
// listeners, and drains. What a request goes through is package serve's.
package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"sluice/config"
	"sluice/internal/activation"
	"sluice/internal/admin"
	"sluice/internal/clock"
	"sluice/internal/outline"
	"sluice/internal/telemetry"
	"sluice/internal/telemetry/metrics"
	"sluice/internal/tracing"
	"sluice/proxy/backend"
	"sluice/proxy/drain"
	"sluice/proxy/listen"
	"sluice/proxy/operate"
	"sluice/proxy/relay"
	"sluice/proxy/serve"
	"sluice/tlsconf"
)

// Gateway is a reverse proxy that can change its configuration while it runs.
type Gateway struct {
	*operate.Operator
	newLogger func(config.Log) zerolog.Logger
	clock     clock.Clock
	metrics   *metrics.Metrics
	current   atomic.Pointer[snapshot]
	server    *serve.Server
	shortages *telemetry.Shortages
	tracer    *tracing.Tracer
	untrusted *telemetry.Tally // connections of proxies that are not trusted, by listener
	floods    *telemetry.Tally // connections that were closed for one, by listener

	leaving  atomic.Bool     // the gateway is to stop: clients should go elsewhere
	stopping context.Context // ends when the listeners close
	stop     func()
	endAll   time.Time       // when the last session is to end; written before stopping ends
	overdue  context.Context // ends when the shutdown has taken its time
	cut      func()

	open   atomic.Pointer[[]*listen.Listener] // those that are open
	handed atomic.Bool                        // another process has the listeners

	started chan struct{} // closed when Run serves
	stopped chan struct{} // closed when Run returns

	mu           sync.Mutex // one Apply at a time
	running      bool
	groups       *groups
	listeners    *listen.Set
	pools        map[*backend.Pool]func() // that run; each function stops one and waits
	stopStore    func()                   // stops the store of certificates and waits
	storeStopped bool                     // for another process, which may not go on
}

// Options are what a gateway may have besides. The zero value has none of it.
type Options struct {
	Version string              // of the program, for traces
	Metrics *metrics.Metrics    // nil counts nothing
	Watched func() bool         // whether an operator wants records that the configuration switches off; nil means no
	Sockets *activation.Sockets // that listeners with their addresses use

	// Clock is that of the process whose sessions are taken over; nil means another one.
	Clock *clock.Clock
	// Inherited are the sockets of its listeners, by key: see [listen.Env].
	Inherited map[string]*os.File
}

// New returns a gateway without a configuration. newLogger makes the logger that a
// configuration asks for.
func New(newLogger func(config.Log) zerolog.Logger, o Options) *Gateway {
	m := o.Metrics
	g := &Gateway{newLogger: newLogger, metrics: m, groups: newGroups(), pools: make(map[*backend.Pool]func()), stopStore: func() {}, started: make(chan struct{}), stopped: make(chan struct{})}
	g.current.Store(&snapshot{Snapshot: &serve.Snapshot{Log: zerolog.Nop()}})
	g.stopping, g.stop = context.WithCancel(context.Background())
	g.overdue, g.cut = context.WithCancel(context.Background())
	g.shortages = telemetry.NewShortages(g.logger)
	g.untrusted, g.floods = telemetry.NewTally(g.logUntrusted), telemetry.NewTally(g.logFloods)
	g.tracer = tracing.New(tracing.Env{Version: o.Version, Log: g.logger, Count: m.Spans})
	if o.Clock == nil {
		o.Clock = new(clock.New())
	}
	g.clock = *o.Clock
	g.server = serve.New(serve.Env{
		Clock: g.clock, Current: g.serving, Log: g.logger, Shortages: g.shortages, Stopping: g.stopping, Metrics: m, Tracer: g.tracer, Watched: o.Watched,
		EndWithin: func() time.Duration { return time.Until(g.endAll) },
	})
	g.Operator = operate.New(g.server, g.operated)
	if m != nil {
		m.Register(g.Operator.Collector(m.RouteLabel))
	}
	g.listeners = listen.NewSet(listen.Env{
		Handler: g.server.Serve, Begin: g.server.Begin, Refuse: g.server.Refuse, Loops: loopsOf(g.server), TLSConfig: g.tlsConfig, Trusted: g.trusts, Traced: g.tracer.On, Sessions: g.server.Sessions, Refused: g.logRefusal, Passed: o.Sockets, Inherited: o.Inherited,
		Log: g.logger, Shortages: g.shortages, Stopping: g.stopping, Overdue: g.overdue,
	})
	return g
}

// serving returns what the configuration in force decides about requests.
func (g *Gateway) serving() *serve.Snapshot { return g.current.Load().Snapshot }

// operated returns what an operator sees of the configuration in force.
func (g *Gateway) operated() operate.State {
	s := g.current.Load()
	return operate.State{Snapshot: s.Snapshot, Pools: s.pools}
}

func (g *Gateway) logger() *zerolog.Logger { return &g.serving().Log }

// trusts reports whether an address is that of a trusted proxy.
func (g *Gateway) trusts(a netip.Addr) bool { return g.serving().Trusts(a) }

// tlsConfig returns the configuration for one TLS handshake.
func (g *Gateway) tlsConfig(h *tls.ClientHelloInfo, http2 bool) (*tls.Config, error) {
	store := g.serving().Store
	if store == nil {
		return nil, errors.New("no certificate is configured")
	}
	return store.ConfigFor(h, http2), nil
}

// Change is what applying a configuration did.
type Change struct {
	Listeners []Listener     // all that are open now
	RootFile  string         // certificate of the local CA, for clients to trust; "" without one
	Sessions  outline.Report // those that were open when the configuration came into force
}

// Listener is an open listener.
type Listener struct {
	Name    string // the configured address
	Address string // the real one
	TLS     bool
}

// ErrStopped is returned for a configuration that comes when the gateway is to stop.
var ErrStopped = errors.New("the gateway is shutting down")

// Apply makes cfg the configuration in force. It either does that completely, or changes
// nothing and returns [config.Problems] or [ErrStopped]. Listeners are open when it
// returns.
func (g *Gateway) Apply(cfg *config.Config) (Change, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leaving.Load() {
		return Change{}, ErrStopped
	}
	old := g.current.Load()
	b := newBuilder(cfg, old, g.logEndpoint)
	b.groups, b.metrics = g.groups, g.metrics
	next := b.build()
	opened, cancel := b.openListeners(g.listeners)
	if len(b.problems) > 0 {
		cancel()
		return Change{}, b.problems.Sorted()
	}
	next.Log, next.HTTPSPort = g.newLogger(cfg.Log), opened.HTTPSPort()
	closeOld := opened.Commit()
	next.count(g.metrics)
	changed := make(map[*relay.Group]bool)
	for _, svc := range next.Services {
		if svc.Group.Set(svc.Rules) {
			changed[svc.Group] = true
		}
	}
	g.current.Store(next)
	sessions := g.server.Outlook(&next.Outline) // before pools and groups end any
	g.EndForbiddenTaps()
	g.tracer.Configure(next.tracing)
	for name, p := range next.pools {
		p.Configure(next.settings[name])
	}
	if len(changed) > 0 {
		g.server.Engine().RulesChanged(changed)
	}
	if g.running {
		g.run(next)
	}
	closeOld(old.drain.Timeout)
	if dropped := g.groups.keep(next.Services, g.metrics.HasRoute); len(dropped) > 0 {
		g.server.Engine().Merge(dropped, g.groups.other)
	}
	change := g.retire(old, next)
	change.Sessions = sessions
	for _, w := range next.warnings() {
		next.Log.Warn().Msg(w)
	}
	for _, s := range g.listeners.Unused() {
		next.Log.Warn().Str("socket", s).Msg("no listener has the address of this socket, which the service manager has opened: clients that connect to it wait for ever")
	}
	return change, nil
}

// Listeners describes the open listeners.
func (g *Gateway) Listeners() (all []admin.Listener) {
	if open := g.open.Load(); open != nil {
		for _, l := range *open {
			s := l.Settings()
			all = append(all, admin.Listener{
				Name: l.Name(), Address: l.Address(), TLS: s.TLS, Connections: admin.Usage{Used: l.Connections(), Limit: int64(s.Connections)},
			})
		}
	}
	return all
}

// Draining reports whether the gateway is to stop: no client should be sent here.
func (g *Gateway) Draining() bool { return g.leaving.Load() }

// run starts what runs under s and is not running yet. A certificate authority connects
// to the listeners to check them, so they are served before the store runs.
func (g *Gateway) run(s *snapshot) {
	g.listeners.StartServers(s.drain.Timeout)
	g.runPools(s.pools)
	g.runStore(s.Store)
}

// runStore runs the store of certificates in place of the one that runs.
func (g *Gateway) runStore(s *tlsconf.Store) {
	g.stopStore()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	if s != nil {
		running.Go(func() { s.Run(ctx, g.logCertificate) })
	}
	g.stopStore = func() { cancel(); running.Wait() }
}

// retire ends what old had and next has not. Requests finish.
func (g *Gateway) retire(old, next *snapshot) Change {
	for name, p := range old.pools {
		if next.pools[name] != p {
			p.Close()
		}
	}
	var change Change
	open := g.listeners.All()
	g.open.Store(&open)
	for _, l := range open {
		change.Listeners = append(change.Listeners, Listener{Name: l.Name(), Address: l.Address(), TLS: l.Settings().TLS})
	}
	if next.Store != nil {
		change.RootFile = next.Store.RootFile()
	}
	for _, cause := range [...]relay.Cause{relay.RouteRemoved, relay.BackendRemoved} {
		match := func(v relay.View) bool { return next.EndCause(v) == cause }
		g.endSessions(match, relay.Ending{Cause: cause}, func(n int) time.Duration { return drain.Pace(n, next.drain.Timeout) })
	}
	return change
}

// Run serves until ctx ends, then drains as the section 'shutdown' of the configuration says: it stops
// accepting, lets requests finish, and ends every session with a Close frame. When now ends, which may
// be at any time, all of that is cut short. Apply must have succeeded before.
func (g *Gateway) Run(ctx, now context.Context) {
	defer close(g.stopped)
	engine, stop := context.WithCancel(context.Background())
	var relayed sync.WaitGroup
	relayed.Go(func() { g.server.Engine().Run(engine) })
	exporting, stopTracing := context.WithCancel(context.Background())
	var traced sync.WaitGroup
	traced.Go(func() { g.tracer.Run(exporting) })
	g.mu.Lock()
	g.running = true
	g.run(g.current.Load())
	g.mu.Unlock()
	close(g.started)

	<-ctx.Done()
	g.drain(now)
	g.runPools(nil)
	g.shortages.Stop()
	stop()
	relayed.Wait()
	stopTracing() // when no more spans come
	traced.Wait()
}

// Running returns a channel that is closed when Run serves.
func (g *Gateway) Running() <-chan struct{} { return g.started }

// Stopped returns a channel that is closed when Run has returned.
func (g *Gateway) Stopped() <-chan struct{} { return g.stopped }

// OpenSessions returns how many sessions are open.
func (g *Gateway) OpenSessions() int { return int(g.server.Sessions()) }

// drain ends everything as the configuration says, or at once when now ends.
func (g *Gateway) drain(now context.Context) {
	g.leaving.Store(true)
	g.mu.Lock() // an Apply under way finishes; there is none after it
	plan := g.current.Load().drain
	g.mu.Unlock()
	how := relay.Ending{Cause: relay.Shutdown}
	if g.handed.Load() { // clients come to the new process when they come back
		plan.Delay, how.Cause = 0, relay.Restarted
	}
	var answered sync.WaitGroup
	plan.Run(now, drain.Steps{
		Leave: g.listeners.Leave,
		Close: func(ctx context.Context) {
			context.AfterFunc(ctx, g.cut)
			g.endAll = time.Now().Add(plan.Over(int(g.server.Sessions())))
			g.stop()
			g.mu.Lock()
			stopStore := g.stopStore
			g.mu.Unlock()
			stopStore()
			g.listeners.StopAccepting()
			answered.Go(func() { g.listeners.Shutdown(ctx) })
			g.endSessions(func(relay.View) bool { return true }, how, plan.Over)
		},
		Await: func(ctx context.Context) {
			answered.Wait()
			g.server.Wait(ctx) // for handshakes that have left the listeners and are not sessions yet
			g.server.Engine().Drained(ctx)
			g.listeners.AwaitConnections(ctx) // whose clients still send
		},
	})
}

// endSessions ends the sessions that match, over the time for their number, and returns the number.
func (g *Gateway) endSessions(match func(relay.View) bool, how relay.Ending, over func(sessions int) time.Duration) int {
	engine, n := g.server.Engine(), 0
	engine.Each(func(v relay.View) bool {
		if match(v) {
			n++
		}
		return true
	})
	return engine.End(match, how, over(n))
}
