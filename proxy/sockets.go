package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"sluice/config"
	"sluice/internal/limit"
	"sluice/internal/wire"
)

// takeoverTime is how long a listener whose port another one takes over still
// accepts the connections whose handshake had begun: a client whose packet was
// lost repeats it within this time.
const takeoverTime = 5 * time.Second

// keyed yields the listeners of a configuration with what tells them apart:
// the address and, as only port 0 can be there more than once, a number.
func keyed(all []config.Listener) iter.Seq2[string, *config.Listener] {
	return func(yield func(string, *config.Listener) bool) {
		seen := make(map[string]int)
		for i := range all {
			c := &all[i]
			key := fmt.Sprintf("%s %d", c.Address, seen[c.Address])
			seen[c.Address]++
			if !yield(key, c) {
				return
			}
		}
	}
}

// opening is the step of [Gateway.Apply] that opens and changes sockets. It is
// the last that can fail, and can be undone.
type opening struct {
	b       *builder
	next    *snapshot
	leaving []*listener // whose sockets are still there, and not in next
	opened  []*listener
	undo    []func() // of changes to sockets that were there already
}

// slot is a listener of a configuration.
type slot struct {
	key    string
	index  int // in the file
	config *config.Listener
}

// openListeners fills in the listeners of next. Cancel is to be called when
// there are problems.
func (g *Gateway) openListeners(b *builder, next *snapshot) (cancel func()) {
	o := &opening{b: b, next: next}
	next.listeners = make(map[string]*listener)
	for key := range keyed(b.cfg.Listeners) {
		if l := b.old.listeners[key]; l != nil {
			next.listeners[key] = l
		}
	}
	g.takeovers = slices.DeleteFunc(g.takeovers, (*listener).isClosed)
	o.leaving = slices.Clone(g.takeovers)
	for key, l := range b.old.listeners {
		if next.listeners[key] == nil {
			o.leaving = append(o.leaving, l)
		}
	}
	// A listener that takes over from another gets its connections at once. They
	// would be lost if one after it could not be opened, so it comes late.
	var early, late []slot
	index := -1
	for key, c := range keyed(b.cfg.Listeners) {
		index++
		s := slot{key, index, c}
		switch {
		case next.listeners[key] != nil:
			o.chmod(next.listeners[key], s)
		case len(o.inTheWay(c.Address)) > 0:
			late = append(late, s)
		default:
			early = append(early, s)
		}
	}
	for _, s := range append(early, late...) {
		if len(b.problems) == 0 {
			o.open(g, s)
		}
	}
	for key, c := range keyed(b.cfg.Listeners) {
		if l := next.listeners[key]; l != nil && c.TLS && next.httpsPort == "" {
			next.httpsPort = l.port()
		}
	}
	return o.cancel
}

func (o *opening) cancel() {
	for _, l := range o.opened {
		l.close()
	}
	for _, undo := range o.undo {
		undo()
	}
}

func (o *opening) fail(s slot, err error) {
	o.b.fail(s.config.Pos, fmt.Sprintf("listeners[%d]", s.index), err)
}

// open opens a listener that is new.
func (o *opening) open(g *Gateway, s slot) {
	address := s.config.Address
	if l := o.sameFile(address); l != nil {
		o.next.listeners[s.key] = l
		o.chmod(l, s)
		return
	}
	if o.taken(s, address) {
		return
	}
	l, err := g.listen(s.config, settingsOf(o.b.cfg, s.config, nil), o.inTheWay(address))
	if err != nil {
		o.fail(s, listenError(address, err))
		return
	}
	if o.taken(s, l.address()) { // the kernel does not tell where sockets of ours are in the way, and names have addresses
		l.close()
		return
	}
	o.next.listeners[s.key] = l
	o.opened = append(o.opened, l)
}

// taken reports whether a listener of the same file gets what comes to an
// address, which is a mistake.
func (o *opening) taken(s slot, address string) bool {
	for _, l := range o.next.listeners {
		if overlap(l.address(), address) {
			o.fail(s, fmt.Errorf("address %s is in use by the listener %s of this file: remove one of the two", s.config.Address, l.name))
			return true
		}
	}
	return false
}

// inTheWay returns the listeners that leave from the port of an address. Each
// may be a reason why it cannot be listened on while their sockets are open.
func (o *opening) inTheWay(address string) []*listener {
	_, port, _ := net.SplitHostPort(address)
	return slices.DeleteFunc(slices.Clone(o.leaving), func(l *listener) bool { return port == "" || l.port() != port })
}

// sameFile returns the listener that leaves whose unix socket has the address
// too, by way of a link, or nil.
func (o *opening) sameFile(address string) *listener {
	path, ok := strings.CutPrefix(address, "unix:")
	there, err := os.Stat(path)
	if !ok || err != nil {
		return nil
	}
	i := slices.IndexFunc(o.leaving, func(l *listener) bool {
		if !l.local() {
			return false
		}
		own, err := os.Stat(l.path())
		return err == nil && os.SameFile(there, own)
	})
	if i < 0 {
		return nil
	}
	return o.leaving[i]
}

// chmod gives the socket of a listener the mode that is configured, if that has
// changed: what somebody else has made of it stays otherwise.
func (o *opening) chmod(l *listener, s slot) {
	before, now := l.mode, fs.FileMode(s.config.Mode)
	if before == now || len(o.b.problems) > 0 {
		return
	}
	if err := wire.SetSocketMode(l.path(), now); err != nil {
		o.fail(s, fmt.Errorf("the mode of %s cannot be changed: %w", l.name, err))
		return
	}
	l.mode = now
	o.undo = append(o.undo, func() {
		l.mode = before
		_ = wire.SetSocketMode(l.path(), before) // as it went a moment ago
	})
}

// closeListeners ends the listeners that next has no more. Their servers finish
// what they have.
func (g *Gateway) closeListeners(old, next *snapshot) {
	kept := slices.Collect(maps.Values(next.listeners))
	for _, l := range old.listeners {
		if slices.Contains(kept, l) {
			continue
		}
		if l.server != nil && slices.ContainsFunc(kept, func(k *listener) bool { return overlap(k.address(), l.address()) }) {
			g.giveAway(l, old.shutdownTimeout)
			continue
		}
		l.close()
		if l.server != nil {
			g.finish(l.server, old.shutdownTimeout)
		}
	}
}

// giveAway closes a listener whose port another one has taken over, when the
// connections have come that were on their way to it.
func (g *Gateway) giveAway(l *listener, timeout time.Duration) {
	if err := wire.Deafen(l.net); err != nil {
		g.logger().Warn().Err(err).Str("listener", l.name).Msg(
			"connections that came to this listener while it was closed may be lost: the system cannot hand its port over without a gap")
		l.close()
		g.finish(l.server, timeout)
		return
	}
	g.takeovers = append(g.takeovers, l)
	g.serving.Go(func() {
		select {
		case <-time.After(takeoverTime):
		case <-g.quit:
		}
		l.close()
		g.finish(l.server, timeout)
	})
}

// listen opens an address as configured, which those beside it are no reason not
// to. The error is for [listenError].
func (g *Gateway) listen(c *config.Listener, how *settings, beside []*listener) (*listener, error) {
	network, address := "tcp", c.Address
	if path, ok := strings.CutPrefix(c.Address, "unix:"); ok {
		network, address = "unix", path
		if err := removeStale(path); err != nil {
			return nil, err
		}
	}
	o := wire.ListenOptions{Mode: fs.FileMode(c.Mode)}
	for _, l := range beside {
		o.Beside = append(o.Beside, l.net)
	}
	ln, err := wire.Listen(network, address, o)
	if err != nil {
		return nil, err
	}
	l := &listener{
		name: c.Address, mode: o.Mode, net: ln, log: g.logger, short: g.shortages, clients: limit.NewCounts(), all: &g.connections, strangers: g.strangers,
		accepted: make(chan net.Conn), changed: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	l.close = sync.OnceFunc(func() {
		close(l.closed)
		ln.Close()
	})
	l.settings.Store(how)
	l.tls = &tls.Config{
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			store := g.current.Load().store
			if store == nil {
				return nil, errors.New("no certificate is configured")
			}
			return wire.Of(h.Conn).Configure(store.ConfigFor(h, l.settings.Load().http2)), nil
		},
	}
	return l, nil
}

// listenError says why an address could not be listened on.
func listenError(name string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("address %s is in use: another program listens there", name)
	case errors.Is(err, syscall.EACCES) && !strings.HasPrefix(name, "unix:"):
		return fmt.Errorf("no permission to listen on %s: ports below 1024 need the CAP_NET_BIND_SERVICE capability", name)
	}
	return fmt.Errorf("cannot listen on %s: %w", name, err)
}

// removeStale removes the socket of a listener that is gone. Anything but a
// socket is left there, and an error.
func removeStale(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil // listening tells
	case info.Mode()&os.ModeSocket == 0:
		return errors.New("what is there is not a socket: remove it or choose another path")
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		os.Remove(path)
	}
	return nil
}

// overlap reports whether a connection could come to both of two addresses of
// TCP. All addresses of IPv4 are those of IPv6 too: net.Listen opens both.
func overlap(a, b string) bool {
	aHost, aPort, err := net.SplitHostPort(a)
	bHost, bPort, other := net.SplitHostPort(b)
	all := func(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }
	return err == nil && other == nil && aPort == bPort && (aHost == bHost || all(aHost) || all(bHost))
}

// path returns the file of a unix socket.
func (l *listener) path() string { return l.net.Addr().String() }

func (l *listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}
