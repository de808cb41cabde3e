//go:build linux && !portable

package http1

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/h1"
	"sluice/internal/loop"
	"sluice/internal/record"
	"sluice/proxy/clientio"
)

// firstRequestTime is how long a shutdown waits for the first request of a connection.
const firstRequestTime = 5 * time.Second

// A Server serves connections in one way. Any goroutine may call its methods.
type Server struct {
	engine  *Engine
	options Options
	limits  h1.Limits

	stopping atomic.Bool // a connection ends with the next answer that begins
	draining atomic.Bool // it ends too if its answer has begun before
	ending   atomic.Bool // no connection waits for a request any more

	mu     sync.Mutex
	conns  int           // that are served
	unused int           // how many of them have had no request
	fewer  chan struct{} // closed when there are fewer of either; nil while nobody waits
}

// NewServer returns a server.
func (e *Engine) NewServer(o Options) *Server {
	return &Server{engine: e, options: o, limits: h1.Limits{Size: o.MaxHeader, Fields: o.MaxFields}}
}

// Serve takes a connection over, which is a [loop.Conn], or a [record.Conn] over one. It is
// false if no loop can have it: then nothing has happened.
func (s *Server) Serve(client *clientio.Conn) bool { return s.take(client, beginning{}) }

// beginning is what a connection begins with that was served before; the zero value is for a new one.
type beginning struct {
	ahead    []byte
	requests int32
	since    int64 // 0 means now
	begun    bool
}

// take takes a connection over.
func (s *Server) take(client *clientio.Conn, b beginning) bool {
	c := &conn{Conn: client, server: s, sock: loop.ConnOf(client.Wire.Conn), secure: secure{records: records{cell: noTLS}}, ahead: b.ahead, requests: b.requests}
	client.BeginHead()
	if len(b.ahead) > 0 && client.CountRead(len(b.ahead)) != nil {
		client.EndHead()
		return false
	}
	if c.loop = s.engine.loopOf(c.sock); c.loop == nil || !c.loop.Reserve() {
		client.EndHead()
		return false
	}
	s.mu.Lock()
	s.conns++
	if c.requests == 0 {
		s.unused++
	}
	s.mu.Unlock()
	if t, ok := client.Conn.(*record.Conn); ok {
		c.about = t.About()
	} else if unread := client.Wire.TakeAhead(); unread != nil {
		c.ahead = unread
	}
	c.loop.Enter(func() { c.loop.start(c, b.since, b.begun) })
	return true
}

// used notes that a connection has its first request.
func (s *Server) used() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unused--
	s.signal()
}

// remove forgets a connection that is not served any more. It may be called again.
func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.removed {
		return
	}
	c.removed = true
	if s.conns--; c.requests == 0 {
		s.unused--
	}
	s.signal()
}

// signal wakes who waits for fewer connections. It is called with the lock held.
func (s *Server) signal() {
	if s.fewer != nil {
		close(s.fewer)
		s.fewer = nil
	}
}

// await returns when done holds, which is called with the lock held, or when ctx ends.
func (s *Server) await(ctx context.Context, done func() bool) {
	for {
		s.mu.Lock()
		if done() {
			s.mu.Unlock()
			return
		}
		if s.fewer == nil {
			s.fewer = make(chan struct{})
		}
		fewer := s.fewer
		s.mu.Unlock()
		select {
		case <-fewer:
		case <-ctx.Done():
			return
		}
	}
}

// Leave makes every connection end with its next answer, which says so.
func (s *Server) Leave() { s.stopping.Store(true) }

// Drain makes every connection end with the answer to the request that it has or, if it has
// had none, to its first one. It returns when all have had one, or when ctx ends.
func (s *Server) Drain(ctx context.Context) {
	s.Leave()
	s.draining.Store(true)
	s.closeIdle(false)
	s.await(ctx, func() bool { return s.unused == 0 })
}

// Shutdown closes the connections that are idle, and returns when the requests of the others
// are answered. It waits some seconds for the first request of a connection. When ctx ends,
// it cuts what is left. No connection may come any more.
func (s *Server) Shutdown(ctx context.Context) {
	first, cancel := context.WithTimeout(ctx, firstRequestTime)
	defer cancel()
	s.Drain(first)
	s.ending.Store(true)
	s.closeIdle(true)
	s.await(ctx, func() bool { return s.conns == 0 })
	if ctx.Err() == nil {
		return
	}
	s.each(func(l *loopConns, p *slot, r *refs) { l.cut(p, r) })
}

// closeIdle closes the connections that wait for a request; those that wait for their first
// one only if all is set.
func (s *Server) closeIdle(all bool) {
	s.each(func(l *loopConns, p *slot, r *refs) {
		if p.phase == readingPhase && (all || r.conn.requests > 0) {
			l.close(p, r)
		}
	})
}

// each calls f on the loops with the server's connections.
func (s *Server) each(f func(*loopConns, *slot, *refs)) {
	for _, l := range s.engine.loops {
		l.Call(func() {
			l.slots.Each(func(p *slot, r *refs) {
				if r.conn.server == s {
					f(l, p, r)
				}
			})
		})
	}
}
