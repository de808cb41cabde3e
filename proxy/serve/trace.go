package serve

import (
	"context"
	"net"

	"sluice/internal/header"
	"sluice/internal/telemetry"
	"sluice/internal/tracing"
	"sluice/proxy/backend"
	"sluice/upgrade"
)

// beginTrace begins the trace of the request, where requests are traced.
func (x *exchange) beginTrace() {
	x.server.Tracer.Begin(&x.trace, &x.r.Header, x.snap.trustsPeer(x.conn))
	x.about.Trace = x.trace.Trace
	if began, ended, ok := x.conn.TakeHandshake(); ok {
		x.trace.Secured(began, ended, x.r.TLS)
	}
}

// beginTry begins an attempt at the endpoint that was leased, for which the exchange may have waited.
func (x *exchange) beginTry(a *attempts, l *backend.Lease) {
	if x.trace.Sampled() {
		x.noteWait(a)
		x.trace.BeginTry(l.Backend(), l.Endpoint(), l.Server())
	}
}

// noteWait adds the last wait for an endpoint to the trace, unless that was done.
func (x *exchange) noteWait(a *attempts) {
	if w := &a.tried.Wait; w.Took > 0 {
		x.trace.Waited(a.target.Pool.Name(), w.Began, w.Took)
		*w = backend.Wait{}
	}
}

// noteDial returns what opens connections by a lease, and notes that it has.
func (x *exchange) noteDial(l *backend.Lease) upgrade.Dial {
	return func(ctx context.Context) (net.Conn, error) {
		c, err := l.Dial(ctx)
		if err == nil {
			x.trace.Connected()
		}
		return c, err
	}
}

// endTry ends the attempt under way, if there is one, as Request.EndTry says.
func (x *exchange) endTry(status int, err error) {
	if x.trace.Sampled() {
		x.trace.EndTry(x.r.Method, status, err, err != nil && isUnreachable(err))
	}
}

// endTrace exports the spans of the request, whose record is complete but for the URI.
func (x *exchange) endTrace() {
	x.record.URI = telemetry.Redact(x.r.URI(), x.snap.Redact)
	e := tracing.End{
		Began: x.started, Cut: x.record.Error != "" && !x.selfAnswered && x.record.Status != statusClientGone,
		Scheme: x.origin.Proto, Host: x.origin.Host, UserAgent: x.r.Header.Get(header.UserAgent),
	}
	if x.isHandshake() {
		e.Session = x.number
	}
	x.trace.End(x.server.Tracer, &x.record, e)
}
