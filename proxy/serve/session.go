package serve

import (
	"net"
	"net/netip"
	"time"

	"github.com/rs/zerolog"

	"sluice/internal/outline"
	"sluice/internal/telemetry"
	"sluice/internal/telemetry/metrics"
	"sluice/internal/wire"
	"sluice/proxy/backend"
	"sluice/proxy/listen"
	"sluice/proxy/relay"
	"sluice/upgrade"
)

// sessionRefs is what a session has to give back when it ends. There is one for each
// open session, so it is small.
type sessionRefs struct {
	lease  *backend.Lease
	count  *SessionCount
	permit listen.Permit // zero if the client's connection carries other sessions too
}

// EndpointOf returns the backend and the endpoint of a session.
func EndpointOf(v relay.View) (backend, endpoint string) {
	l := v.Owner.(*sessionRefs).lease
	return l.Backend(), l.Endpoint()
}

// join hands the session over to the engine, and with it the seat, the endpoint and both
// connections.
func (x *exchange) join(seat *seat, up *upstream, client wire.Side) {
	defer closeOnPanic(client.Conn) // net/http does not close it any more
	for _, c := range [...]net.Conn{client.Conn, up.conn} {
		if err := wire.Tune(c, x.service.KeepAlive, x.service.UserTimeout); err != nil {
			x.snap.Log.Debug().Err(err).Str("id", x.record.ID).Msg("'keepalive' or 'user_timeout' could not be set")
		}
	}
	s := x.session(seat, up.lease, up.answer)
	s.Client, s.Backend = client, wire.Side{Conn: up.conn, Early: up.answer.Early}
	handOver(&s, client.Conn, func() { x.server.engine.Join(s) })
	seat.take()
	x.server.endIfLate(x.number, x.service.Group.Name, up.take(), x.snap, 0)
}

// handOver calls join, which makes s a session of the engine: from then on it has the seat, the
// lease, and the permit of the client's connection. After a panic there is no session, and only the
// permit is given back here.
func handOver(s *relay.Session, client net.Conn, join func()) {
	refs := s.Owner.(*sessionRefs)
	refs.permit = listen.TakePermit(client)
	defer func() {
		if cause := recover(); cause != nil {
			refs.permit.Release()
			panic(cause)
		}
	}()
	join()
}

// session returns the session that the exchange becomes, without its sides and its permit, and logs
// that it is open.
func (x *exchange) session(seat *seat, lease *backend.Lease, a *upgrade.Answer) relay.Session {
	x.record.Duration = time.Since(x.started)
	x.metrics().Handshake(metrics.Accepted, x.record.Duration, x.trace.Exemplar())
	record := telemetry.Session{Exchange: x.record.Exchange, Number: x.number, Subprotocol: a.Protocol, Deflate: a.Deflate()}
	record.ClientNoTakeover, record.BackendNoTakeover = a.NoTakeover()
	record.URI = telemetry.Redact(x.r.URI(), x.snap.Redact)
	if x.trace.Sampled() {
		x.record.Status = a.Status
		x.endTrace()
	}
	if level := x.server.accessLevel(x.snap); level != zerolog.Disabled {
		record.LogOpened(x.snap.Log.WithLevel(level))
	}
	return relay.Session{
		ID:         x.number,
		Group:      x.service.Group,
		Owner:      &sessionRefs{lease: lease, count: seat.count},
		Note:       string(record.Pack()),
		Deflate:    a.Deflate(),
		BadGateway: x.service.BadGateway,
	}
}

func closeOnPanic(c net.Conn) {
	if cause := recover(); cause != nil {
		c.Close()
		panic(cause)
	}
}

// endIfLate ends a session if the listeners closed, its endpoint began to drain, or a configuration came after snap that has
// not its route or endpoint, before the session was there to be ended. One that is to end already is not drained.
func (s *Server) endIfLate(id uint64, route string, l *backend.Lease, snap *Snapshot, planned relay.Cause) {
	end := func(how relay.Cause, over time.Duration) {
		s.engine.End(func(v relay.View) bool { return v.ID == id }, relay.Ending{Cause: how}, over)
	}
	if s.Stopping.Err() != nil {
		end(relay.Shutdown, s.EndWithin())
	}
	if draining, over := l.Draining(); draining && planned == 0 {
		end(relay.Drained, over)
	}
	if now := s.Current(); now != snap {
		if cause := now.endCause(outline.Session{Route: route, Backend: l.Backend(), Endpoint: l.Configured()}); cause != 0 {
			end(cause, 0)
		}
	}
}

// EndCause returns why a session cannot live on under s, or 0 if it can.
func (s *Snapshot) EndCause(v relay.View) relay.Cause { return s.endCause(outlined(v)) }

func (s *Snapshot) endCause(session outline.Session) relay.Cause {
	switch s.Outline.Fate(session) {
	case outline.RouteRemoved:
		return relay.RouteRemoved
	case outline.BackendRemoved:
		return relay.BackendRemoved
	}
	return 0
}

// outlined returns what decides about a session.
func outlined(v relay.View) outline.Session {
	l := v.Owner.(*sessionRefs).lease
	return outline.Session{Route: v.Group.Name, Backend: l.Backend(), Endpoint: l.Configured()}
}

// Outlook counts what a configuration does to the sessions that are open, if it comes into force now.
func (s *Server) Outlook(o *outline.Outline) outline.Report {
	count := outline.NewCount(o)
	s.engine.Each(func(v relay.View) bool {
		state := outline.Open
		switch {
		case v.Cause != 0, v.Planned != 0 && v.Planned != relay.Drained:
			state = outline.Ending
		case v.Planned == relay.Drained:
			state = outline.Draining
		}
		count.Add(outlined(v), state)
		return true
	})
	return count.Report()
}

// sessionEnded takes the reports of the engine (step 10). It does not block.
func (s *Server) sessionEnded(r relay.Report) {
	refs := r.Owner.(*sessionRefs)
	record := telemetry.Packed(r.Note).Session()
	defer s.giveBack(refs, record.Client) // after the session is in the log
	s.Metrics.Route(r.Group.Name).SessionEnded(r.By.String(), r.Cause.String(), int(r.Code), r.Duration)
	record.Number = r.ID
	record.Route, record.Backend, record.Endpoint = r.Group.Name, refs.lease.Backend(), refs.lease.Endpoint()
	record.Duration = r.Duration
	record.FromClient, record.FromBackend = r.FromClient, r.FromBackend
	record.Code, record.Reason, record.Detail = r.Code, r.Reason, r.Detail
	record.EndedBy, record.Cause = r.By.String(), r.Cause.String()
	if r.Cause == relay.Lost {
		record.Cause = r.By.String() + " lost"
	}
	s.ends.add(End{time.Now(), record})
	s.Tracer.Ended(&record)
	snap := s.Current()
	if level := s.accessLevel(snap); level != zerolog.Disabled {
		record.LogEnded(snap.Log.WithLevel(level))
	}
}

// giveBack gives back what a session has, but for the permit, which it has until its sockets are closed.
func (s *Server) giveBack(refs *sessionRefs, client netip.Addr) {
	refs.lease.Release()
	refs.count.release(client)
	s.sessions.Add(-1)
}

// sessionGone is called when another process has a session.
func (s *Server) sessionGone(v relay.View) {
	s.giveBack(v.Owner.(*sessionRefs), telemetry.Packed(v.Note).Session().Client)
}

// accessLevel returns the level of records of requests and sessions.
func (s *Server) accessLevel(snap *Snapshot) zerolog.Level {
	switch {
	case snap.AccessLog:
		return zerolog.InfoLevel
	case s.Watched != nil && s.Watched():
		return telemetry.Hidden
	}
	return zerolog.Disabled
}

// sessionStayed is called when crypto/tls keeps the TLS records of a session.
func (s *Server) sessionStayed(why string) {
	if s.Metrics != nil {
		s.Metrics.RecordsLeft.Inc()
	}
	s.notTaken.Count(why)
}

// sessionClosed is called when the sockets of a session are closed.
func (s *Server) sessionClosed(owner any) { owner.(*sessionRefs).permit.Release() }

// sessionPanicked logs a panic in a session, which ends it.
func (s *Server) sessionPanicked(v relay.View, cause any, stack []byte) {
	s.Log().Error().Str("id", telemetry.Packed(v.Note).Session().ID).Str("route", v.Group.Name).
		Msgf("panic in a session: %v\n%s", cause, stack)
}

// logNotTaken logs how many sessions cost more than 'records: sluice' promises.
func (s *Server) logNotTaken(why string, since, total uint64) {
	s.Log().Info().Str("reason", why).Uint64("sessions", since).Uint64("total", total).
		Msg("TLS records stay with crypto/tls although 'records' is sluice: such a session costs tens of kilobytes")
}
