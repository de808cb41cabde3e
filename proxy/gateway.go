// Package proxy is the spine of the gateway: listeners, the snapshot that one
// configuration makes, the way of a connection through the parts, and the
// drain. The parts do not know each other.
package proxy

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"sluice/config"
	"sluice/internal/limit"
	"sluice/proxy/backend"
	"sluice/proxy/relay"
	"sluice/tlsconf"
)

// Gateway is a reverse proxy that can change its configuration while it runs.
type Gateway struct {
	newLogger func(config.Log) zerolog.Logger
	current   atomic.Pointer[snapshot]
	engine    *relay.Engine
	draining  atomic.Bool
	room      limit.Room
	sessions  atomic.Int64  // from the handshake on
	requests  atomic.Int64  // in work, handshakes among them
	clients   *limit.Counts // the same by address
	shortages *shortages
	stayed    *tally  // sessions whose TLS stays with crypto/tls
	strangers *tally  // connections of proxies that are not trusted, by listener
	greedy    *tally  // requests of clients that have their share, by what is short
	floods    *tally  // connections that were closed for one, by listener
	copied    *budget // of the copies of requests

	connections connectionCount
	heads       *headRoom

	handshakes sync.WaitGroup // requests that may become sessions

	mu        sync.Mutex // one Apply at a time
	running   bool
	quit      chan struct{}   // closed when the shutdown begins
	hurry     context.Context // ends when a shutdown has taken its time
	cut       func()          // ends it
	untend    func()          // stops looking after the certificates
	copies    context.Context // of requests; ends when the shutdown begins
	endCopies func()
	tended    map[*backend.Pool]func() // stop looking after these
	takeovers []*listener              // whose port another one has taken over, until they are closed
	serving   sync.WaitGroup           // listeners, and those that finish their last requests
}

// New returns a gateway without a configuration. newLogger makes the logger
// that a configuration asks for.
func New(newLogger func(config.Log) zerolog.Logger) *Gateway {
	g := &Gateway{newLogger: newLogger, untend: func() {}, tended: make(map[*backend.Pool]func()), quit: make(chan struct{}), clients: limit.NewCounts()}
	g.connections.sessions = &g.sessions
	g.heads = newHeadRoom()
	g.hurry, g.cut = context.WithCancel(context.Background())
	g.copies, g.endCopies = context.WithCancel(context.Background())
	g.stayed, g.strangers, g.greedy = newTally(g.tellStayed), newTally(g.tellStrangers), newTally(g.tellGreedy)
	g.floods = newTally(g.tellFloods)
	g.engine = relay.New(relay.Sink{Ended: g.ended, Closed: g.closed, Stayed: g.stayed.count})
	g.shortages, g.copied = newShortages(g.logger), newBudget()
	g.current.Store(&snapshot{log: zerolog.Nop()})
	return g
}

// Change is what applying a configuration did.
type Change struct {
	Listeners     []Listener // all there are now
	RootFile      string     // certificate of the local CA, for clients to trust; "" without one
	SessionsKept  int
	SessionsEnded int // their route or endpoint is gone
}

// Listener is an open listener.
type Listener struct {
	Name    string // as configured
	Address string // the real one
	TLS     bool
}

// ErrStopped is returned for a configuration that comes after the shutdown began.
var ErrStopped = errors.New("the gateway is shutting down")

// Apply makes cfg the configuration. It either does so whole or changes
// nothing and returns [config.Problems], or [ErrStopped]. Listeners are open
// when it returns.
func (g *Gateway) Apply(cfg *config.Config) (Change, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining.Load() {
		return Change{}, ErrStopped
	}
	old := g.current.Load()
	b := newBuilder(cfg, old)
	b.tell = g.endpointEvent
	next := b.build()
	cancel := g.openListeners(b, next)
	if len(b.problems) > 0 {
		cancel()
		return Change{}, b.problems.Sorted()
	}
	next.log = g.newLogger(cfg.Log)
	for key, c := range keyed(cfg.Listeners) {
		l := next.listeners[key]
		l.set(settingsOf(cfg, c, l.settings.Load()))
	}
	changed := false
	for _, svc := range next.services {
		changed = svc.group.Set(svc.rules) || changed
	}
	g.current.Store(next)
	for name, p := range next.pools {
		p.Configure(next.settings[name])
	}
	if changed {
		g.engine.Review()
	}
	if g.running {
		g.serveAll(next)
		g.tendPools(next)
		g.tend(next.store)
	}
	change := g.retire(old, next)
	for _, w := range next.warnings() {
		next.log.Warn().Msg(w)
	}
	return change, nil
}

// serveAll has every listener served as its settings say. Where those ask for
// another HTTP server, the old one finishes its connections.
func (g *Gateway) serveAll(s *snapshot) {
	for _, l := range s.listeners {
		how := l.settings.Load().serverSettings
		switch {
		case l.server == nil:
			g.serving.Go(func() { l.accept(g.trusted) })
		case l.server.settings == how:
			continue
		default:
			g.finish(l.server, s.shutdownTimeout)
		}
		l.server = g.newServer(l, how)
		g.serving.Go(l.server.serve)
	}
}

// tend has the certificates of a store looked after, and no longer those of the
// store before. Listeners must be served already: a CA comes to check them.
func (g *Gateway) tend(s *tlsconf.Store) {
	g.untend()
	ctx, cancel := context.WithCancel(context.Background())
	var tending sync.WaitGroup
	if s != nil {
		tending.Go(func() { s.Run(ctx, g.certificateEvent) })
	}
	g.untend = func() {
		cancel()
		tending.Wait()
	}
}

// certificateEvent logs what happens to certificates.
func (g *Gateway) certificateEvent(e tlsconf.Event) {
	if short := limit.ShortageOf(e.Err); short != 0 {
		g.shortages.met(short, e.Err)
		return
	}
	record := g.logger().Info()
	if e.Err != nil {
		record = g.logger().Warn().Err(e.Err)
	}
	if e.Names != nil {
		record.Strs("names", e.Names)
	}
	if e.From != "" {
		record.Str("from", e.From)
	}
	if !e.Expiry.IsZero() {
		record.Time("expiry", e.Expiry)
	}
	if !e.Next.IsZero() {
		record.Time("next", e.Next)
	}
	record.Msg(e.What)
}

// tellStrangers logs that a listener refused connections.
func (g *Gateway) tellStrangers(listener string, since, total uint64) {
	g.logger().Warn().Str("listener", listener).Uint64("connections", since).Uint64("total", total).Msg(
		"connections refused: 'proxy_protocol' is on and their addresses, which the log has at level debug, are not among 'trusted_proxies'")
}

// finish shuts a server down in the background.
func (g *Gateway) finish(v *server, timeout time.Duration) {
	g.serving.Go(func() {
		ctx, cancel := context.WithTimeout(g.hurry, timeout)
		defer cancel()
		v.replaced(ctx, g.quit)
	})
}

// trusted reports whether an address is that of a proxy in front.
func (g *Gateway) trusted(a netip.Addr) bool { return g.current.Load().trusts(a) }

// retire ends what old had and next has not, and lets requests finish.
func (g *Gateway) retire(old, next *snapshot) Change {
	g.closeListeners(old, next)
	for name, p := range old.pools {
		if next.pools[name] != p {
			p.Close()
		}
	}
	change := Change{Listeners: next.open()}
	if next.store != nil {
		change.RootFile = next.store.RootFile()
	}
	for _, cause := range [...]relay.Cause{relay.RouteRemoved, relay.BackendRemoved} {
		match := func(v relay.View) bool { return next.ends(v) == cause }
		change.SessionsEnded += g.end(match, cause, next.shutdownTimeout)
	}
	g.engine.Each(func(v relay.View) bool {
		if next.ends(v) == 0 {
			change.SessionsKept++
		}
		return true
	})
	return change
}

// ends returns why a session cannot live on under s, or 0.
func (s *snapshot) ends(v relay.View) relay.Cause {
	svc := s.services[v.Group.Name]
	switch {
	case svc == nil || svc.shares == nil:
		return relay.RouteRemoved
	case !slices.ContainsFunc(svc.shares, func(s share) bool { return s.pool.Has(v.Owner.(*owner).lease.Endpoint()) }):
		return relay.BackendRemoved
	}
	return 0
}

// open describes the listeners, in order of their names.
func (s *snapshot) open() []Listener {
	var all []Listener
	for _, key := range slices.Sorted(maps.Keys(s.listeners)) {
		l := s.listeners[key]
		all = append(all, Listener{Name: l.name, Address: l.address(), TLS: l.settings.Load().tls})
	}
	return all
}

func (s *snapshot) warnings() []string {
	if s.store == nil {
		return s.notes
	}
	return slices.Concat(s.notes, s.store.Warnings())
}

func (g *Gateway) logger() *zerolog.Logger { return &g.current.Load().log }

// Run serves until ctx ends, then drains: it stops accepting, lets requests
// finish, and ends every session with a Close frame, within the configured
// shutdown timeout. Apply must have succeeded before.
func (g *Gateway) Run(ctx context.Context) {
	engine, stop := context.WithCancel(context.Background())
	var relayed sync.WaitGroup
	relayed.Go(func() { g.engine.Run(engine) })
	g.mu.Lock()
	g.running = true
	s := g.current.Load()
	g.serveAll(s)
	g.tendPools(s)
	g.tend(s.store)
	g.mu.Unlock()

	<-ctx.Done()
	g.drain()
	g.tendPools(&snapshot{})
	g.shortages.stop()
	stop()
	relayed.Wait()
}

// sessionsPerSecond is how many sessions are ended in a second, so that not all
// clients come back in the same moment.
const sessionsPerSecond = 1000

// end ends the sessions that match, spread over a time that grows with their
// number up to longest, and returns the number.
func (g *Gateway) end(match func(relay.View) bool, cause relay.Cause, longest time.Duration) int {
	n := 0
	g.engine.Each(func(v relay.View) bool {
		if match(v) {
			n++
		}
		return true
	})
	return g.engine.End(match, relay.Ending{Cause: cause}, min(time.Duration(n)*time.Second/sessionsPerSecond, longest))
}

// drain ends everything within the shutdown timeout.
func (g *Gateway) drain() {
	g.draining.Store(true)
	close(g.quit)
	g.endCopies()
	g.mu.Lock() // an Apply under way finishes; there is none after it
	g.untend()
	s := g.current.Load()
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), s.shutdownTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, g.cut)()

	var servers sync.WaitGroup
	for _, l := range s.listeners {
		l.close()
		servers.Go(func() { l.server.shutdown(ctx) })
	}
	all := func(relay.View) bool { return true }
	g.end(all, relay.Shutdown, s.shutdownTimeout/3)
	servers.Wait()
	g.serving.Wait()
	g.handshakes.Wait() // they may have left the servers and not be sessions yet
	g.end(all, relay.Shutdown, s.shutdownTimeout/3)
	g.engine.Drained(ctx)
	g.connections.ended(ctx) // whose clients still send
}
