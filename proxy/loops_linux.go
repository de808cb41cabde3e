//go:build !portable

package proxy

import (
	"net"

	"sluice/internal/loop"
	"sluice/proxy/clientio"
	"sluice/proxy/http1"
	"sluice/proxy/listen"
	"sluice/proxy/serve"
)

// clientLoops is the event loops of the relay, with connections of clients.
type clientLoops struct{ *http1.Engine }

// loopsOf makes the loops of an engine serve clients of s.
func loopsOf(s *serve.Server) listen.Loops {
	s.JoinOn = s.Engine().JoinOn
	return clientLoops{http1.New(s.Engine().Loops())}
}

// NewAcceptor implements [listen.Loops].
func (clientLoops) NewAcceptor(l net.Listener) (listen.Acceptor, error) { return loop.NewAcceptor(l) }

// StopIdle implements [listen.Loops].
func (l clientLoops) StopIdle(add func(c *clientio.Conn, state *http1.Moved, socket int) (taken, more bool)) listen.Stopped {
	if s := l.Engine.StopIdle(func(o http1.Offer) (taken, more bool) { return add(o.Client, o.Moved, o.FD) }); s != nil {
		return s
	}
	return nil
}

// Socket implements [listen.Loops].
func (clientLoops) Socket(descriptor int) (net.Conn, error) { return loop.Open(descriptor) }

// NewServer implements [listen.Loops].
func (l clientLoops) NewServer(o http1.Options) listen.Server { return l.Engine.NewServer(o) }
