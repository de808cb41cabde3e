// Package serve is the way of a request and of a handshake through the gateway: from
// the request that a listener has read to an answer, or to a session between client
// and backend (docs/architecture.md, section 3).
package serve

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"sluice/internal/clock"
	"sluice/internal/h1"
	"sluice/internal/limit"
	"sluice/internal/message"
	"sluice/internal/telemetry"
	"sluice/internal/telemetry/metrics"
	"sluice/internal/tracing"
	"sluice/proxy/clientio"
	"sluice/proxy/http1"
	"sluice/proxy/listen"
	"sluice/proxy/relay"
)

// Env is what serving needs of the gateway.
type Env struct {
	Clock     clock.Clock      // of sessions
	Current   func() *Snapshot // the configuration in force
	Log       func() *zerolog.Logger
	Shortages *telemetry.Shortages
	Metrics   *metrics.Metrics     // nil counts nothing
	Tracer    *tracing.Tracer      // nil traces nothing
	Watched   func() bool          // whether records are wanted though there is no access log; nil means no
	Stopping  context.Context      // ends when the listeners close
	EndWithin func() time.Duration // over which sessions end from then on; called after Stopping has ended
}

// JoinOn makes an engine take over a session whose sockets are on its loops: see
// [relay.Engine].
type JoinOn func(loop int, s relay.Session, client, backend relay.Socket)

// Server serves the requests of all listeners and owns the sessions that come of them.
type Server struct {
	Env
	Copies  *Budget // of requests to mirrors
	JoinOn  JoinOn  // nil where no loops serve clients
	engine  *relay.Engine
	date    date
	noRoute *metrics.Route // of requests that no route has matched
	spare   sync.Pool      // of *exchange

	headroom   limit.Headroom
	requests   atomic.Int64  // in work, handshakes among them
	clients    *limit.Counts // the same by client address
	sessions   atomic.Int64  // from the handshake on
	handshakes underway      // requests that may become sessions
	mirrored   underway      // copies of requests
	ends       ends

	overShare *telemetry.Tally // requests of clients that have their share, by what is short
	notTaken  *telemetry.Tally // sessions whose TLS records stay with crypto/tls, by reason
}

// New returns a server. The caller runs its engine ([Server.Engine]).
func New(env Env) *Server {
	s := &Server{Env: env, clients: limit.NewCounts(), Copies: newBudget(), noRoute: env.Metrics.Route("")}
	s.overShare, s.notTaken = telemetry.NewTally(s.logOverShare), telemetry.NewTally(s.logNotTaken)
	s.engine = relay.New(relay.Sink{Ended: s.sessionEnded, Closed: s.sessionClosed, Panicked: s.sessionPanicked, Stayed: s.sessionStayed, Gone: s.sessionGone}, env.Clock)
	return s
}

// Engine returns what runs the sessions.
func (s *Server) Engine() *relay.Engine { return s.engine }

// Requests returns how many requests are in work, handshakes among them.
func (s *Server) Requests() int64 { return s.requests.Load() }

// Sessions returns how many sessions are open or about to be.
func (s *Server) Sessions() int64 { return s.sessions.Load() }

// Wait returns when there was a moment at which every copy of a request had been sent, and one at which
// every handshake was a session or answered; or when ctx ends.
func (s *Server) Wait(ctx context.Context) {
	s.mirrored.wait(ctx)
	s.AwaitHandshakes(ctx)
}

// AwaitHandshakes returns when there was a moment at which every handshake was a session or answered, or when ctx ends.
func (s *Server) AwaitHandshakes(ctx context.Context) { s.handshakes.wait(ctx) }

// Refuse answers what came to l over c and is no request. R has what could be read of it.
func (s *Server) Refuse(ctx context.Context, l *listen.Listener, c *clientio.Conn, w http.ResponseWriter, r message.Request, why *h1.Refusal) {
	s.newExchange(l, c, r).serve(w, func(x *exchange) {
		x.out.CloseAfter, x.malformed = true, true
		x.fail(why.Status, why.Reason, nil)
	})
}

// Begin returns the exchange for a request that came to l over c, which an event loop has
// read.
func (s *Server) Begin(l *listen.Listener, c *clientio.Conn, r message.Request) http1.Exchange {
	return s.newExchange(l, c, r)
}

// Serve answers a request that came to l over c. It panics with [http.ErrAbortHandler] to
// cut an answer.
func (s *Server) Serve(l *listen.Listener, c *clientio.Conn, w http.ResponseWriter, r message.Request) {
	if c.Wire.ReadsEnded() { // what looks like a request is the rest of the one before
		panic(http.ErrAbortHandler)
	}
	s.newExchange(l, c, r).serve(w, (*exchange).run)
}
