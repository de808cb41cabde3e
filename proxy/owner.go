package proxy

import (
	"net"

	"sluice/config"
	"sluice/internal/telemetry"
	"sluice/internal/wire"
	"sluice/proxy/backend"
	"sluice/proxy/relay"
	"sluice/upgrade"
)

// owner is what the gateway has to know of a session when it ends. There is one
// for each that is open, so it is small.
type owner struct {
	lease  *backend.Lease
	seats  *seats
	client *guest
}

// join hands the session over, and with it the seat, the endpoint and both
// connections. The goroutine of the request ends with it.
func (x *exchange) join(place *seat, up *upstream, client wire.Side, a *upgrade.Answer) {
	defer func() {
		if cause := recover(); cause != nil {
			client.Conn.Close() // it is no longer net/http's to close
			panic(cause)
		}
	}()
	x.record.URI = telemetry.Redact(x.r.URL.RequestURI(), x.s.redact)
	record := telemetry.Session{Exchange: x.record.Exchange, Subprotocol: a.Protocol, Deflate: a.Deflate()}
	if x.s.access {
		record.LogOpened(&x.s.log)
	}
	for _, c := range [...]net.Conn{client.Conn, up.conn} {
		if err := wire.Tune(c, x.svc.keepAlive, x.svc.userTimeout); err != nil {
			x.s.log.Debug().Err(err).Str("id", x.record.ID).Msg("'keepalive' or 'user_timeout' could not be set")
		}
	}
	session := relay.Session{
		ID:         x.number,
		Group:      x.svc.group,
		Note:       string(record.Pack()),
		Client:     client,
		Backend:    wire.Side{Conn: up.conn, Early: a.Early},
		Deflate:    a.Deflate(),
		BadGateway: x.svc.badGateway,
	}
	x.client.wire.Linger(false) // the relay ends it
	place.taken = true
	lease := up.take()
	session.Owner = &owner{lease, x.svc.admission.seats, guestOf(x.client.wire)}
	x.g.engine.Join(session)
	x.g.drainLate(lease, x.number)
	if now := x.g.current.Load(); now != x.s {
		// A reload came in between and did not see this session.
		id := x.number
		for _, cause := range [...]relay.Cause{relay.RouteRemoved, relay.BackendRemoved} {
			x.g.engine.End(func(v relay.View) bool { return v.ID == id && now.ends(v) == cause }, relay.Ending{Cause: cause}, 0)
		}
	}
}

// ended is the one sink of session reports (step 10). It does not block.
func (g *Gateway) ended(r relay.Report) {
	o := r.Owner.(*owner)
	rec := telemetry.Packed(r.Note).Session()
	defer func() { // once it is in the log, the books are closed
		o.lease.Release()
		o.seats.leave(rec.Client)
		g.sessions.Add(-1)
	}()
	s := g.current.Load()
	if !s.access {
		return
	}
	rec.Route, rec.Backend, rec.Endpoint = r.Group.Name, o.lease.Backend(), o.lease.Endpoint()
	rec.Duration = r.Duration
	rec.FromClient, rec.FromBackend = r.FromClient, r.FromBackend
	rec.Code, rec.Reason, rec.Detail = r.Code, r.Reason, r.Detail
	rec.EndedBy, rec.Cause = r.By.String(), r.Cause.String()
	if r.Cause == relay.Lost {
		rec.Cause = r.By.String() + " lost"
	}
	rec.LogEnded(&s.log)
}

// closed is told when the sockets of a session are closed.
func (g *Gateway) closed(of any) { of.(*owner).client.Leave() }

// tellStayed says how many sessions cost more than 'records: sluice' promises.
func (g *Gateway) tellStayed(why string, since, total uint64) {
	g.logger().Info().Str("reason", why).Uint64("sessions", since).Uint64("total", total).
		Msg("TLS records stay with crypto/tls although 'records' is sluice: such a session costs tens of kilobytes")
}

// rulesOf returns what the sessions of a route are held to.
func rulesOf(c *config.WebSocket) relay.Rules {
	return relay.Rules{
		Client:   trafficOf(&c.Limits.Client),
		Backend:  trafficOf(&c.Limits.Backend),
		Idle:     c.IdleTimeout,
		Lifetime: c.MaxLifetime,
		Ping:     c.PingInterval,
		Pong:     c.PongTimeout,
		Stall:    c.StallTimeout,
		Buffer:   int(c.BufferSize),
	}
}

func trafficOf(c *config.Traffic) relay.Traffic {
	return relay.Traffic{
		Frame: int64(c.FrameSize), Message: int64(c.MessageSize),
		MessageRate: float64(c.MessageRate), MessageBurst: int64(c.MessageBurst),
		ByteRate: float64(c.ByteRate), ByteBurst: int64(c.ByteBurst),
		Close: c.OnExcess == "close",
	}
}
