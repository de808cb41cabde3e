package proxy

import (
	"sluice/internal/limit"
	"sluice/proxy/backend"
	"sluice/proxy/listen"
	"sluice/tlsconf"
)

// logCertificate logs what happens to certificates.
func (g *Gateway) logCertificate(e tlsconf.Event) {
	g.metrics.CertificateEvent(e.Err == nil)
	if short := limit.ShortageOf(e.Err); short != 0 {
		g.shortages.Note(short, e.Err)
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

// logEndpoint logs what happens to endpoints.
func (g *Gateway) logEndpoint(e backend.Event) {
	if short := limit.ShortageOf(e.Err); short != 0 {
		g.shortages.Note(short, e.Err)
		return
	}
	record := g.logger().Info()
	if e.Err != nil {
		record = g.logger().Warn().Err(e.Err)
	}
	record.Str("backend", e.Backend).Str("endpoint", e.Endpoint).Msg(e.What)
}

// logRefusal logs connections that listeners refuse: each at level debug, and some
// reasons as a count.
func (g *Gateway) logRefusal(r listen.Refusal) {
	record := g.logger().Debug()
	if r.Err != nil {
		record.Err(r.Err)
	}
	record.Str("listener", r.Listener).Stringer("client", r.Client)
	g.metrics.ConnectionRefused(r.Listener, r.Reason.String())
	switch r.Reason {
	case listen.UntrustedProxy:
		record.Msg("connection of a proxy that is not trusted")
		g.untrusted.Count(r.Listener)
	case listen.BadProxyHeader:
		record.Msg("no valid PROXY header")
	case listen.ConnectionRate:
		record.Msg("connection refused: its address is over 'connection_rate'")
	case listen.ConnectionsPerIP:
		record.Msg("connection refused: its address has 'connections_per_ip' open")
	case listen.Flood:
		record.Discard()
		g.floods.Count(r.Listener)
	}
}

func (g *Gateway) logUntrusted(listener string, since, total uint64) {
	g.logger().Warn().Str("listener", listener).Uint64("connections", since).Uint64("total", total).Msg(
		"connections refused: 'proxy_protocol' is on and their addresses, which the log has at level debug, are not among 'trusted_proxies'")
}

func (g *Gateway) logFloods(listener string, since, total uint64) {
	g.logger().Warn().Str("listener", listener).Uint64("connections", since).Uint64("total", total).Msg(
		"connections closed: their clients sent far more over HTTP/2 than their requests held")
}
